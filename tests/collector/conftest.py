"""Fixtures for the tests of the Collector: its binary, and a stand-in for a vendor."""

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from collector.harness import ROOT
from collector.standin import StandIn


def collector_binary() -> Path:
    """Return the project's Collector; without one, skip, or fail where it is required."""
    path = Path(os.environ.get("CHARTER_COLLECTOR_BINARY") or ROOT / "build" / "otelcol-charter")
    if not os.access(path, os.X_OK):
        reason = f"needs the Collector, and there is none at {path}: run `make collector`"
        if "collector" in os.environ.get("CHARTER_REQUIRE", "").split(","):
            pytest.fail(reason, pytrace=False)
        pytest.skip(reason)
    return path


@pytest.fixture
def binary() -> Path:
    """Return the Collector's binary."""
    return collector_binary()


@pytest.fixture
def vendor() -> Iterator[StandIn]:
    """Run a stand-in for a vendor's endpoint."""
    with StandIn() as standin:
        yield standin
