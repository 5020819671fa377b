"""One event to its five sinks: log record with span event, JSON line, metrics, event stream.

Emitting is synchronous, takes microseconds, waits for nothing and never raises. Each sink is
isolated from the others: if one fails, the failure is logged and counted, and the rest goes on.
"""

import contextlib
import time
from collections import Counter, deque
from collections.abc import Callable, Mapping
from functools import cached_property
from typing import Any, NamedTuple

import structlog
from msgspec import UNSET, UnsetType

from charter_otel.charter import Event, InvalidEvent, create, encode, type_of
from charter_otel.charter.envelope import random_suffix
from charter_otel.otel.context_attributes import of_payload
from charter_otel.otel.instrumentation import SCOPE, Instrumentation
from charter_otel.otel.lines.configure import event_lines
from charter_otel.otel.lines.values import Envelope
from charter_otel.otel.records import emit_record, severity
from charter_otel.otel.trace_context import TraceIds, current, trace_ids
from charter_otel.streams import EventStream
from charter_otel.streams.foreign import ForeignStream, publish

_DURATIONS_KEPT = 4_096

log = structlog.get_logger(__name__)


class Emission(NamedTuple):
    """An event on its way to the sinks."""

    event: Event
    encoded: bytes
    severity: str
    timestamp_ns: int
    ids: TraceIds | None
    stream: EventStream | None


Sink = Callable[[Emission], object]
"""Takes each event at once: it must not wait, and its exceptions are logged and counted."""


class EmitStatistics(NamedTuple):
    """Counts of an emitter, and durations of its latest emissions, in seconds of its `timer`."""

    emitted: dict[str, int]
    """Events by type."""
    failed: dict[str, int]
    """Failures by sink."""
    median: float
    p99: float


class Emitter:
    """Brings events to the sinks.

    Args:
        instrumentation: Tracer, logger and instruments; by default those of the global providers.
        stream: Where events are published, unless `emit` gets another stream.
        sinks: Your own sinks by name, beside the five.
        clock: Gives Unix nanoseconds.
        suffix: Gives the last part of an event's id.

    Raises:
        ValueError: A sink has no name, or the name of one of the five.
    """

    on_failure: Callable[[str, BaseException], None] | None = None
    """Called with the sink and the error of each failure; `charter_otel.testing` sets it."""
    timer: Callable[[], int] = staticmethod(time.perf_counter_ns)
    """Clock of the statistics, in nanoseconds; `time.thread_time_ns` leaves waiting out."""

    def __init__(
        self,
        instrumentation: Instrumentation | None = None,
        *,
        stream: EventStream | None = None,
        sinks: Mapping[str, Sink] | None = None,
        clock: Callable[[], int] = time.time_ns,
        suffix: Callable[[], str] = random_suffix,
    ) -> None:
        self.instrumentation = instrumentation or Instrumentation()
        self.stream = stream
        self._clock = clock
        self._suffix = suffix
        self._sinks: tuple[tuple[str, Sink], ...] = (
            ("log", self._to_record),
            ("line", self._to_line),
            ("metrics", self._to_metrics),
            ("stream", self._to_stream),
        )
        self._sinks += _own_sinks(sinks or {}, self._sinks)
        self._emitted: Counter[str] = Counter()
        self._failed: Counter[str] = Counter()
        self._durations: deque[int] = deque(maxlen=_DURATIONS_KEPT)

    def emit(
        self,
        event: object,
        payload: object = None,
        *,
        stream: EventStream | UnsetType | None = UNSET,
    ) -> Event | None:
        """Emit an event; never raise.

        Args:
            event: One of the catalog's types; or, alone, an object of a payload's class.
            payload: The type's fields, as a mapping or as an object of the payload's class.
            stream: Where the event is published, beside OpenTelemetry and the log. By default it
                is the emitter's own stream; None stands for nowhere.

        Returns:
            The event, or None if the payload breaks the contract.
        """
        started = self.timer()
        emission = self._prepare(event, payload, self.stream if stream is UNSET else stream)
        if emission is None:
            return None
        for sink, deliver in self._sinks:
            try:
                deliver(emission)
            except Exception as error:  # noqa: BLE001 - the contract: emitting never raises
                self._swallow(sink, "error", error)
        self._emitted[emission.event.type] += 1
        self._durations.append(self.timer() - started)
        return emission.event

    def statistics(self) -> EmitStatistics:
        """Return the counts of events and failures, and the time that emitting took."""
        durations = list(self._durations)
        if 1 < len(durations) == self._emitted.total():
            # The first emission sets up the state that the others share.
            del durations[0]
        durations = sorted(durations) or [0]
        return EmitStatistics(
            emitted=dict(self._emitted),
            failed=dict(self._failed),
            median=durations[len(durations) // 2] / 1e9,
            p99=durations[min(len(durations) - 1, len(durations) * 99 // 100)] / 1e9,
        )

    async def emit_to_foreign(
        self, event_type: str, payload: Mapping[str, Any], stream: ForeignStream
    ) -> None:
        """Emit an event and publish it to a foreign stream, within 0.25 s; never raise."""
        event = self.emit(event_type, payload, stream=None)
        if event is None:
            return
        try:
            await publish(stream, event)
        except TimeoutError as error:
            self._swallow("stream", "timeout", error)
        except Exception as error:  # noqa: BLE001 - the contract: emitting never raises
            self._swallow("stream", "error", error)

    def _prepare(
        self, given: object, payload: object, stream: EventStream | None
    ) -> Emission | None:
        try:
            if isinstance(given, str):
                event_type = given
            else:
                event_type, payload = type_of(given), given
            ids = trace_ids(current())
            now = self._clock()
            event = create(
                event_type,
                payload,
                correlation_id=ids.trace_id if ids else None,
                timestamp_ns=now,
                suffix=self._suffix(),
            )
            return Emission(event, encode(event), severity(event), now, ids, stream)
        except InvalidEvent as error:
            self._swallow("validation", "invalid", error)
        except Exception as error:  # noqa: BLE001 - the contract: emitting never raises
            self._swallow("validation", "error", error)
        return None

    def _to_record(self, emission: Emission) -> None:
        logger = self.instrumentation.logger
        emit_record(logger, emission.event, emission.severity, emission.timestamp_ns)

    def _to_line(self, emission: Emission) -> None:
        event, encoded, level = emission.event, emission.encoded, emission.severity
        lines, labels = event_lines(), of_payload(event.payload)
        if lines is not None:
            lines.write(event, encoded, level, emission.ids, labels)
        else:
            write = getattr(self._line_logger, level)
            write(event.type, timestamp=event.timestamp, charter=Envelope(event, encoded), **labels)

    def _to_metrics(self, emission: Emission) -> None:
        self.instrumentation.instruments.record(emission.event)

    def _to_stream(self, emission: Emission) -> None:
        if emission.stream is None:
            log.debug("event not published: there is no event stream", type=emission.event.type)
            return
        traceparent = emission.ids.traceparent if emission.ids else None
        emission.stream.publish_nowait(
            emission.event, encoded=emission.encoded, traceparent=traceparent
        )

    @cached_property
    def _line_logger(self) -> Any:
        return structlog.get_logger(SCOPE)

    def _swallow(self, sink: str, reason: str, error: BaseException) -> None:
        """Log and count a failure; no error on the way reaches the caller."""
        self._failed[sink] += 1
        with contextlib.suppress(Exception):
            self.instrumentation.instruments.dropped(sink, reason)
        with contextlib.suppress(Exception):
            log.error(
                "event did not reach a sink",
                sink=sink,
                reason=reason,
                error=f"{type(error).__name__}: {error}",
            )
        with contextlib.suppress(Exception):
            if self.on_failure is not None:
                self.on_failure(sink, error)


def _own_sinks(
    sinks: Mapping[str, Sink], ours: tuple[tuple[str, Sink], ...]
) -> tuple[tuple[str, Sink], ...]:
    """Return a program's own sinks, and refuse a name that is empty or taken."""
    taken = {"validation", *(name for name, _ in ours)}
    for name in sinks:
        if not name or name in taken:
            raise ValueError(f"{name!r} cannot be the name of a sink; {sorted(taken)} are taken")
    return tuple(sinks.items())
