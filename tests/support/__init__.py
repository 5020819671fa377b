"""Helpers for the tests: real servers, deadlines, and skips for missing programs."""

import os

import pytest


def require(name: str, *, available: bool, reason: str) -> None:
    """Skip the test where something is missing, or fail it where it must be there.

    Args:
        name: What is needed: ``redis``, ``collector``, ``prometheus``, ``alertmanager``,
            ``node``, ``openssl``, ``loki``, ``tempo``, ``helm``, ``root``, ``chromium``.
        available: Whether it is there.
        reason: Why it is not, and how to get it.
    """
    if available:
        return
    if name in os.environ.get("CHARTER_REQUIRE", "").split(","):
        pytest.fail(f"CHARTER_REQUIRE names {name}, but {reason}", pytrace=False)
    pytest.skip(f"{name}: {reason}")
