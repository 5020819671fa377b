"""Fixtures for the tests of the Collector: its binary, and a stand-in for a vendor."""

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from collector.harness import ROOT
from collector.standin import StandIn
from support import require


def collector_binary() -> Path:
    """Return the project's Collector; without one, skip, or fail where it is required."""
    path = Path(os.environ.get("CHARTER_COLLECTOR_BINARY") or ROOT / "build" / "otelcol-charter")
    require(
        "collector",
        available=os.access(path, os.X_OK),
        reason=f"there is none at {path}: run `make collector`",
    )
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
