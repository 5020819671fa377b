"""Test doubles: everything that an event becomes, captured in memory, with fixed clock and ids.

What is captured is deterministic, so a test can compare it whole::

    with capture() as captured:
        emit("metrics.aggregation_started", {"job_id": "nightly", "started_at": 1.5})
    assert [event.type for event in captured.events] == ["metrics.aggregation_started"]

An error that the emitter swallows, as its contract asks, is raised when the capture ends. With
pytest, ``pytest_plugins = ["charter_otel.testing"]`` in ``conftest.py`` gives the fixture
`charter_capture`. ``@pytest.mark.swallows`` marks tests in which the emitter has to swallow one.
"""

from collections.abc import Iterator

from charter_otel.charter.event_types import declarations_restored
from charter_otel.testing.capturing import Capture, Failure, capture, logging_restored
from charter_otel.testing.conformance import StreamConformance
from charter_otel.testing.doubles import FixedClock, IncrementalIdGenerator, RecordingStream
from charter_otel.testing.views import (
    CapturedPoint,
    CapturedRecord,
    CapturedSpan,
    CapturedSpanEvent,
)

__all__ = [
    "Capture",
    "CapturedPoint",
    "CapturedRecord",
    "CapturedSpan",
    "CapturedSpanEvent",
    "Failure",
    "FixedClock",
    "IncrementalIdGenerator",
    "RecordingStream",
    "StreamConformance",
    "capture",
    "declarations_restored",
    "logging_restored",
]

try:
    import pytest
except ImportError:  # `capture` works without pytest
    pass
else:
    __all__ += ["charter_capture"]

    @pytest.fixture
    def charter_capture(request: pytest.FixtureRequest) -> Iterator[Capture]:
        """Capture events, log records, spans, metrics and lines; see `capture`."""
        marked = request.node.get_closest_marker("swallows") is not None
        with capture(swallows=marked) as captured:
            yield captured

    def pytest_configure(config: pytest.Config) -> None:
        """Register the marker if this module is loaded as a plugin."""
        config.addinivalue_line(
            "markers", "swallows: the test makes the emitter swallow an error on purpose"
        )
