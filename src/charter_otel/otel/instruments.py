"""The instruments behind the registry's metrics, and the measurements that each event implies."""

from collections.abc import Callable, Iterable, Mapping
from typing import Any

from opentelemetry.metrics import (
    CallbackOptions,
    Counter,
    Histogram,
    Meter,
    ObservableCounter,
    ObservableGauge,
    ObservableUpDownCounter,
    Observation,
)

from charter_otel.charter import CloseReason, Event, EventType, is_simulated
from charter_otel.otel import semconv
from charter_otel.otel.context_attributes import current_attributes
from charter_otel.otel.sdk.workarounds import forget_series
from charter_otel.otel.semconv import Metric

Observed = Iterable[tuple[float, Mapping[str, str | float]]]
"""Values with their attributes."""

Reading = Callable[[], Observed]
"""The callback that an observable metric calls at each collection."""

_CLOSE_REASONS = frozenset(CloseReason)


class Instruments:
    """The instruments of all metrics that are recorded as things happen, one for each.

    Args:
        meter: Where the instruments are made; a no-op meter makes them cost next to nothing.
    """

    def __init__(self, meter: Meter) -> None:
        self._meter = meter
        self.events_emitted = self.counter(semconv.CHARTER_EVENT_EMITTED)
        self.events_dropped = self.counter(semconv.CHARTER_EVENT_DROPPED)
        self.job_duration = self.histogram(semconv.CHARTER_JOB_RUN_DURATION)
        self.job_skipped = self.counter(semconv.CHARTER_JOB_RUN_SKIPPED)
        self.mission_entries = self.counter(semconv.CHARTER_MISSION_ENTRIES)
        self.mission_rejected = self.counter(semconv.CHARTER_MISSION_REJECTED)
        self.connection_duration = self.histogram(semconv.CHARTER_CONNECTION_DURATION)
        self.handshake_duration = self.histogram(semconv.CHARTER_HANDSHAKE_DURATION)
        self.critical_time = self.histogram(semconv.CHARTER_SUBSCRIBER_CRITICAL_TIME)
        self.redelivered = self.counter(semconv.CHARTER_SUBSCRIBER_REDELIVERED)
        self.dead_lettered = self.counter(semconv.CHARTER_SUBSCRIBER_DEAD_LETTERED)
        self.request_duration = self.histogram(semconv.HTTP_SERVER_REQUEST_DURATION)
        self.operation_duration = self.histogram(semconv.MESSAGING_CLIENT_OPERATION_DURATION)
        self.sent_messages = self.counter(semconv.MESSAGING_CLIENT_SENT_MESSAGES)
        self.process_duration = self.histogram(semconv.MESSAGING_PROCESS_DURATION)
        self._implied: dict[str, Callable[[dict[str, Any]], None]] = {
            EventType.METRICS_AGGREGATION_COMPLETED: self._job_completed,
            EventType.TELEMETRY_CONNECTION_CLOSED: self._connection_closed,
        }
        self._emitted: dict[str, dict[str, str]] = {}

    def counter(self, metric: Metric) -> Counter:
        """Make the metric's counter."""
        return self._meter.create_counter(metric.name, metric.unit, metric.description)

    def histogram(self, metric: Metric) -> Histogram:
        """Make the metric's histogram, with the registry's boundaries."""
        return self._meter.create_histogram(
            metric.name,
            metric.unit,
            metric.description,
            explicit_bucket_boundaries_advisory=metric.boundaries,
        )

    def observe(
        self, metric: Metric, reading: Reading, *, most: int | None = None
    ) -> ObservableCounter | ObservableUpDownCounter | ObservableGauge:
        """Register an observable metric, read at each collection, so that it cannot drift.

        Args:
            metric: The metric.
            reading: Returns its values.
            most: Most series of a gauge whose series come and go. So many must fit into the SDK.
        """
        create: Callable[..., Any] = {
            "counter": self._meter.create_observable_counter,
            "updowncounter": self._meter.create_observable_up_down_counter,
            "gauge": self._meter.create_observable_gauge,
        }[metric.instrument]

        known: set[frozenset[Any]] = set()

        def callback(_: CallbackOptions) -> Iterable[Observation]:
            observed = [Observation(value, attributes) for value, attributes in reading()]
            if most is not None:
                series = {frozenset((each.attributes or {}).items()) for each in observed}
                known.update(series)
                if len(known) > most:
                    forget_series(instrument)
                    known.intersection_update(series)
            return observed

        instrument: ObservableCounter | ObservableUpDownCounter | ObservableGauge = create(
            metric.name, [callback], metric.unit, metric.description
        )
        return instrument

    def record(self, event: Event) -> None:
        """Record the metrics that the event implies."""
        attributes = self._emitted.get(event.type)
        if attributes is None:
            attributes = {semconv.CHARTER_EVENT_TYPE: event.type}
            self._emitted[event.type] = attributes
        self.events_emitted.add(1, attributes)
        if implied := self._implied.get(event.type):
            implied(event.payload)

    def dropped(self, sink: str, reason: str, count: int = 1) -> None:
        """Count events that did not reach a sink."""
        self.events_dropped.add(
            count, {semconv.CHARTER_SINK: sink, semconv.CHARTER_DROP_REASON: reason}
        )

    def _job_completed(self, payload: dict[str, Any]) -> None:
        attributes = {semconv.CHARTER_JOB_ID: payload["job_id"]}
        self.job_duration.record(payload["duration_ms"] / 1000, attributes)

    def _connection_closed(self, payload: dict[str, Any]) -> None:
        # A payload's reason may be any text; a metric attribute is one of a closed list.
        reason = payload.get("reason")
        reason = reason if reason in _CLOSE_REASONS else "other"
        attributes = {semconv.CHARTER_CONNECTION_CLOSE_REASON: reason, **current_attributes()}
        if is_simulated(payload["connection_id"]):
            attributes[semconv.CHARTER_ROBOT_SIMULATED] = True
        self.connection_duration.record(payload["duration_seconds"], attributes)
