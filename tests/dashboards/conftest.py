"""The installation that the live tests ask, run once."""

from collections.abc import Iterator

import pytest

from support.installation import Installation, installed


@pytest.fixture(scope="module")
def installation(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Installation]:
    """Yield an installation in which everything has happened that a panel shows."""
    with installed(tmp_path_factory) as running:
        yield running
