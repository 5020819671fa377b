"""Doubles of a program's dependencies: the clock, trace and span ids, a stream."""

from itertools import count

from opentelemetry.sdk.trace.id_generator import IdGenerator

from charter_otel.charter import Event


class FixedClock:
    """A clock that stands still until a test moves it.

    Args:
        nanoseconds: Unix nanoseconds that it shows; by default those of the specification's
            first example.
    """

    def __init__(self, nanoseconds: int = 1_703_001_234_567_000_000) -> None:
        self.nanoseconds = nanoseconds

    def __call__(self) -> int:
        """Return Unix nanoseconds."""
        return self.nanoseconds

    @property
    def seconds(self) -> float:
        """Return the clock's time in Unix seconds."""
        return self.nanoseconds // 1_000 / 1e6

    def advance(self, seconds: float) -> None:
        """Move the clock forward."""
        self.nanoseconds += round(seconds * 1e9)


class IncrementalIdGenerator(IdGenerator):
    """Counts trace ids from 1 on, and span ids from 1 on."""

    def __init__(self) -> None:
        self._trace_ids = count(1)
        self._span_ids = count(1)

    def generate_trace_id(self) -> int:
        """Return the next trace id."""
        return next(self._trace_ids)

    def generate_span_id(self) -> int:
        """Return the next span id."""
        return next(self._span_ids)


class RecordingStream:
    """A stream that remembers published events; any module's ``set_event_stream`` takes it."""

    def __init__(self) -> None:
        self.events: list[Event] = []

    async def publish(self, event: Event) -> None:
        """Remember the event."""
        self.events.append(event)
