"""A plugin of pytest that runs the tests of `MUTANTS_CHOSEN`, in that order, and no others."""

import os

import pytest

from mutants.run import say_running


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Drop all others."""
    order = {test: number for number, test in enumerate(os.environ["MUTANTS_CHOSEN"].split("\n"))}
    chosen = [item for item in items if item.nodeid in order]
    items[:] = sorted(chosen, key=lambda item: order[item.nodeid])


def pytest_runtest_logstart(nodeid: str) -> None:
    """Say which test runs."""
    say_running(nodeid)
