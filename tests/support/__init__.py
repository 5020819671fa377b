"""Helpers for the tests: real servers, deadlines, and skips for missing programs."""

import os
import re
from collections import defaultdict
from collections.abc import Iterable

import pytest


def require(name: str, *, available: bool, reason: str) -> None:
    """Skip the test where something is missing, or fail it where it must be there.

    Args:
        name: What is needed: ``redis``, ``collector``, ``prometheus``, ``alertmanager``,
            ``exporter``, ``node``, ``openssl``, ``loki``, ``tempo``, ``helm``, ``root``,
            ``chromium``, or a Python package.
        available: Whether it is there.
        reason: Why it is not, and how to get it.
    """
    if available:
        return
    if name in os.environ.get("CHARTER_REQUIRE", "").split(","):
        pytest.fail(f"CHARTER_REQUIRE names {name}, but {reason}", pytrace=False)
    pytest.skip(f"{name}: {reason}")


def not_run(skipped: Iterable[tuple[str, str]]) -> str:
    """Return in one line which files were not run, and for want of what; "" if all were.

    Args:
        skipped: File and reason of each skipped test.
    """
    files: dict[str, set[str]] = defaultdict(set)
    for file, reason in skipped:
        if named := re.match(r"(?:Skipped: )?([a-z]+): ", reason):
            files[named[1]].add(file)
    told = (f"{', '.join(sorted(found))} (needs {name})" for name, found in sorted(files.items()))
    return "; ".join(told)
