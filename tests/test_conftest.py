"""This suite's own guard: an error that any emitter swallows fails the test that caused it."""

import pytest

from charter_otel.emit import Emitter
from charter_otel.testing import Failure


@pytest.mark.swallows
def test_every_emitter_is_watched(nothing_swallowed: list[Failure]) -> None:
    """Also an emitter that a test, or a service in a test, made itself."""
    Emitter().emit("metrics.aggregation_started", {})
    assert [failure.sink for failure in nothing_swallowed] == ["validation"]


def test_redis_is_empty(redis_url: str) -> None:
    """The shared Redis is empty for each test."""
    assert redis_url.startswith("redis://127.0.0.1:")
