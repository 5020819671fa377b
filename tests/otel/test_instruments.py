"""The instruments: made as the registry says, and what each event implies for them."""

import pytest
from opentelemetry.metrics import NoOpMeter

from charter_otel import emit
from charter_otel.otel import semconv
from charter_otel.otel.instruments import Instruments
from charter_otel.testing import Capture, CapturedPoint
from support.events import EXAMPLES, PAYLOADS

CLOSED = "telemetry.connection_closed"


@pytest.mark.parametrize("event_type", EXAMPLES)
def test_every_event_is_counted_by_type(event_type: str, charter_capture: Capture) -> None:
    """The count has the type as its one attribute."""
    for _ in range(3):
        emit(event_type, PAYLOADS[event_type])
    assert charter_capture.metrics()["charter.event.emitted"] == [
        CapturedPoint({"charter.event.type": event_type}, 3)
    ]


def test_completed_job_gives_its_duration_in_seconds(charter_capture: Capture) -> None:
    """Milliseconds of the payload are seconds of the metric."""
    emit("metrics.aggregation_completed", PAYLOADS["metrics.aggregation_completed"])
    assert charter_capture.metrics()["charter.job.run.duration"] == [
        CapturedPoint({"charter.job.id": "aggregate_mission_metrics"}, 3.323, 1)
    ]


@pytest.mark.parametrize(
    ("reason", "attribute"),
    [("superseded", "superseded"), ("a text of the robot's", "other"), (None, "other")],
)
def test_closed_connection_gives_its_duration(
    reason: str | None, attribute: str, charter_capture: Capture
) -> None:
    """The reason is a metric attribute from a closed list, whatever the payload says."""
    payload = {k: v for k, v in PAYLOADS[CLOSED].items() if k != "reason"}
    emit(CLOSED, payload | ({"reason": reason} if reason else {}))
    assert charter_capture.metrics()["charter.connection.duration"] == [
        CapturedPoint({"charter.connection.close_reason": attribute}, 1111.101, 1)
    ]


def test_other_providers_get_all_three_signals(charter_capture: Capture) -> None:
    """A process that starts its service again has new ones; the former are shut down."""
    former, new = charter_capture, Capture()
    for _ in range(2):
        with former.instrumentation.tracer.start_as_current_span("work"):
            emit("metrics.aggregation_started", PAYLOADS["metrics.aggregation_started"])
        former.instrumentation.use(*new.instrumentation.providers)
    for captured in (former, new):
        assert len(captured.spans) == len(captured.log_records) == 1
        assert captured.metrics()["charter.event.emitted"][0].value == 1


def test_no_id_becomes_an_attribute(charter_capture: Capture) -> None:
    """No series of the implied metrics has the id of a robot, a connection or an event."""
    for event_type, payload in PAYLOADS.items():
        emit(event_type, payload)
    keys = {
        k for points in charter_capture.metrics().values() for p in points for k in p.attributes
    }
    assert keys == {"charter.event.type", "charter.job.id", "charter.connection.close_reason"}


def test_histograms_have_the_registry_s_boundaries(charter_capture: Capture) -> None:
    """Boundaries are in the metric's unit, not the SDK's default of milliseconds."""
    emit(CLOSED, PAYLOADS[CLOSED])
    data = charter_capture.raw_metrics
    assert data is not None
    [metric] = [
        metric
        for scope in data.resource_metrics[0].scope_metrics
        for metric in scope.metrics
        if metric.name == "charter.connection.duration"
    ]
    [point] = metric.data.data_points
    boundaries = semconv.CHARTER_CONNECTION_DURATION.boundaries
    assert tuple(getattr(point, "explicit_bounds")) == boundaries  # noqa: B009 - of one kind only
    assert metric.unit == "s"


def test_observed_metric_is_read_at_each_collection(charter_capture: Capture) -> None:
    """An observed value is asked for when it is collected, so it cannot drift."""
    connections = [1]
    instruments = charter_capture.instrumentation.instruments
    instruments.observe(
        semconv.CHARTER_CONNECTION_ACTIVE, lambda: [(len(connections), {"instance": "a"})]
    )
    name = "charter.connection.active"
    assert charter_capture.metrics()[name] == [CapturedPoint({"instance": "a"}, 1)]
    connections.clear()
    assert charter_capture.metrics()[name] == [CapturedPoint({"instance": "a"}, 0)]


@pytest.mark.parametrize(
    "metric", [m for m in semconv.METRICS if m.observable], ids=lambda m: m.name
)
def test_each_observable_metric_has_an_instrument(metric: semconv.Metric) -> None:
    """Every kind that the registry calls observable can be observed."""
    Instruments(NoOpMeter("test")).observe(metric, list)


def test_dropped_events_are_counted_by_sink_and_reason(charter_capture: Capture) -> None:
    """Several at once are counted as several."""
    charter_capture.instrumentation.instruments.dropped("stream", "queue_full", 7)
    assert charter_capture.metrics()["charter.event.dropped"] == [
        CapturedPoint({"charter.sink": "stream", "charter.drop_reason": "queue_full"}, 7)
    ]
