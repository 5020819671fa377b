"""Fixtures for the tests of the chart: Helm."""

import pytest

from charts.helm import HINT, find
from support import require


@pytest.fixture(autouse=True)
def helm() -> None:
    """Skip the test where there is no Helm, or fail it where that is required."""
    require("helm", available=find("helm") is not None, reason=f"no helm on PATH; {HINT}")
