"""A page in a real Chromium for each test; without one the tests are skipped by name."""

from collections.abc import AsyncIterator

import pytest

from support import require
from support.browser import Tab, find_chromium, tab


@pytest.fixture
async def page() -> AsyncIterator[Tab]:
    """Return an empty page, and hold it to what every page of the board keeps to."""
    require(
        "chromium",
        available=find_chromium() is not None,
        reason="there is no Chromium; install the package chromium",
    )
    async with tab() as opened:
        await opened.look(width=1280, height=800)
        yield opened
