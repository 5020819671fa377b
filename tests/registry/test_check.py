"""The checker finds what breaks the registry, and what nobody exported."""

from typing import Any

import pytest
from opentelemetry.trace import SpanKind

from charter_otel import emit
from charter_otel.otel import build, semconv
from charter_otel.registry import model
from charter_otel.testing import Capture
from support.events import EXAMPLES, PAYLOADS
from support.otlp import receiving
from support.registry.check import Report, check
from support.registry.observed import (
    Record,
    Series,
    Span,
    records_of_otlp,
    records_of_sdk,
    series_of_otlp,
    series_of_sdk,
    spans_of_otlp,
    spans_of_sdk,
)

JOB = Span("charter.job.run", "internal", {"charter.job.id": "aggregate_mission_metrics"}, ())
CONNECTIONS = Series("charter.connection.active", "updowncounter", "{connection}", ({},))
STARTED = Record(
    "metrics.aggregation_started",
    {
        "charter.event.id": "evt_metrics_1703001234567_a1b2c3",
        "charter.event.type": "metrics.aggregation_started",
        "charter.event.source": "metrics_service",
        "charter.event.timestamp": 1703001234.567,
        "charter.event.version": "1.0",
        "charter.job.id": "aggregate_mission_metrics",
        "charter.job.started_at": 1703001234.567,
    },
    None,
)


def checked(captured: Capture) -> Report:
    """Hold what was captured against the registry."""
    return check(
        spans=spans_of_sdk(captured.raw_spans),
        records=records_of_sdk(captured.raw_log_records),
        series=series_of_sdk(captured.raw_metrics),
    )


def test_the_six_events_keep_to_the_registry(charter_capture: Capture) -> None:
    """Emitting exports nothing that the check complains of: records, span events and metrics."""
    tracer = charter_capture.instrumentation.tracer
    with tracer.start_as_current_span("charter.job.run", attributes=dict(JOB.attributes)):
        for event_type, payload in PAYLOADS.items():
            emit(event_type, payload)
    report = checked(charter_capture)
    assert report.findings == []
    assert report.events == report.span_events == EXAMPLES.keys()
    assert report.spans == {"charter.job.run"}
    assert report.metrics == {
        "charter.event.emitted",
        "charter.job.run.duration",
        "charter.connection.duration",
    }
    assert not any(text.startswith("event ") for text in report.unseen())
    assert "metric charter.robot.online" in report.unseen()
    assert "span charter.handshake" in report.unseen()
    assert "charter.job.run: error.type" in report.unseen_attributes()
    assert "charter.job.run: charter.job.id" not in report.unseen_attributes()


async def test_otlp_says_the_same(monkeypatch: pytest.MonkeyPatch) -> None:
    """Over the wire nothing is lost: a receiver's requests give the same report."""
    with receiving() as received:
        monkeypatch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", received.url)
        providers = build()
        instrumentation = providers.instrumentation()
        attributes = dict(JOB.attributes)
        with instrumentation.tracer.start_as_current_span(JOB.name, attributes=attributes):
            instrumentation.logger.emit(
                timestamp=1, event_name=STARTED.name, attributes=STARTED.attributes
            )
            instrumentation.instruments.dropped("stream", "queue_full")
            instrumentation.instruments.redelivered.add(1, {"wrong": "x"})
            instrumentation.instruments.request_duration.record(
                1, {"http.request.method": "GET", "url.scheme": "http"}
            )
        assert await providers.shutdown(10)
    report = check(
        spans=spans_of_otlp(r for path, r in received.requests if path == "/v1/traces"),
        records=records_of_otlp(r for path, r in received.requests if path == "/v1/logs"),
        series=series_of_otlp(r for path, r in received.requests if path == "/v1/metrics"),
    )
    name = "metric charter.subscriber.redelivered"
    assert report.findings == [
        f"{name}: required attribute messaging.consumer.group.name is missing",
        f"{name}: attribute wrong is not declared",
    ]
    assert report.spans == {"charter.job.run"}
    assert report.events == report.span_events == {STARTED.name}
    assert report.metrics == {
        "charter.event.dropped",
        "charter.subscriber.redelivered",
        "http.server.request.duration",
    }


def test_other_scopes_are_not_ours(charter_capture: Capture) -> None:
    """Signals of other libraries are none of the registry's business."""
    instrumentation = charter_capture.instrumentation
    tracer: Any = instrumentation.tracer_provider
    with tracer.get_tracer("other").start_as_current_span("GET /r/1", kind=SpanKind.SERVER):
        logger: Any = instrumentation.logger_provider
        logger.get_logger("other").emit(event_name="other", body={"a": 1})
    assert checked(charter_capture).findings == []


def with_attributes(signal: Any, **changes: Any) -> Any:
    """Return the signal with attributes changed; None takes one away."""
    attributes = dict(signal.attributes) | {k.replace("__", "."): v for k, v in changes.items()}
    kept = {key: value for key, value in attributes.items() if value is not None}
    return signal._replace(attributes=kept)


@pytest.mark.parametrize(
    ("record", "finding"),
    [
        (STARTED._replace(name="metrics.other"), "event 'metrics.other' is not declared"),
        (STARTED._replace(name=""), "event '' is not declared"),
        (STARTED._replace(body="text"), "has a body"),
        (with_attributes(STARTED, charter__job__id=None), "charter.job.id is missing"),
        (with_attributes(STARTED, charter__event__id=None), "charter.event.id is missing"),
        (with_attributes(STARTED, charter__robot__id="r"), "charter.robot.id is not declared"),
        (with_attributes(STARTED, charter__job__started_at="x"), "'x', declared as double"),
        (with_attributes(STARTED, charter__job__id=True), "True, declared as string"),
    ],
)
def test_record_that_breaks_the_registry(record: Record, finding: str) -> None:
    """Each way to break a record's declaration is one finding."""
    [found] = check(records=[record, record]).findings
    assert finding in found


@pytest.mark.parametrize(
    ("span", "finding"),
    [
        (JOB._replace(name="job"), "span 'job' of kind internal is not declared"),
        (JOB._replace(kind="server"), "span 'charter.job.run' of kind server is not declared"),
        (with_attributes(JOB, charter__job__id=None), "charter.job.id is missing"),
        (with_attributes(JOB, http__route="/x"), "http.route is not declared"),
        (JOB._replace(events=(Record("exception", {}, None),)), "span event 'exception' is not"),
        (
            JOB._replace(events=(with_attributes(STARTED, charter__job__id=None),)),
            "span event metrics.aggregation_started: required attribute charter.job.id",
        ),
    ],
)
def test_span_that_breaks_the_registry(span: Span, finding: str) -> None:
    """Each way to break a span's declaration is one finding."""
    [found] = check(spans=[span]).findings
    assert finding in found


@pytest.mark.parametrize(
    ("series", "finding"),
    [
        (CONNECTIONS._replace(name="charter.connections"), "charter.connections is not declared"),
        (CONNECTIONS._replace(instrument="gauge"), "'gauge', declared as 'updowncounter'"),
        (CONNECTIONS._replace(unit="1"), "unit is '1', declared as '{connection}'"),
        (CONNECTIONS._replace(boundaries=(1.0,)), "boundaries is (1.0,), declared as ()"),
        (CONNECTIONS._replace(points=({"a": 1},)), "attribute a is not declared"),
        (
            Series("charter.mission.entries", "counter", "{entry}", ({},)),
            "required attribute charter.mission.status is missing",
        ),
        (
            Series(
                "charter.mission.entries", "counter", "{entry}", ({"charter.mission.status": "x"},)
            ),
            "charter.mission.status is 'x', which is none of",
        ),
    ],
)
def test_metric_that_breaks_the_registry(series: Series, finding: str) -> None:
    """Each way to break a metric's declaration is one finding."""
    [found] = check(series=[series]).findings
    assert finding in found


def test_overflow_series_is_the_sdk_s() -> None:
    """The series that a cap folds the rest into has an attribute of the SDK's own."""
    series = CONNECTIONS._replace(points=({}, {"otel.metric.overflow": True}))
    assert check(series=[series]).findings == []


def test_metric_without_a_series_was_not_seen() -> None:
    """A metric counts as seen when it has a series."""
    assert check(series=[CONNECTIONS._replace(points=())]).metrics == set()


ROUTE = "/api/telemetry/ws/{robot_id}"
HANDSHAKE = {
    "http.request.method": "GET",
    "http.route": ROUTE,
    "url.path": "/api/telemetry/ws/robot_001",
    "url.scheme": "ws",
    "http.response.status_code": 101,
    "charter.handshake.outcome": "accepted",
}


@pytest.mark.parametrize(
    ("span", "kind"),
    [
        (Span(f"GET {ROUTE}", "server", HANDSHAKE, ()), "charter.handshake"),
        (
            Span(
                "GET /healthz",
                "server",
                {
                    "http.request.method": "GET",
                    "http.route": "/healthz",
                    "url.path": "/healthz",
                    "url.scheme": "http",
                },
                (),
            ),
            "http.server",
        ),
        (
            Span(
                "GET",
                "server",
                {"http.request.method": "GET", "url.path": "/nowhere", "url.scheme": "http"},
                (),
            ),
            "http.server",
        ),
    ],
)
def test_name_with_attributes_in_it(span: Span, kind: str) -> None:
    """A name is its template with the span's attributes; among equals the attributes decide."""
    report = check(spans=[span])
    assert (report.findings, report.spans) == ([], {kind})


def test_raw_path_in_a_span_s_name() -> None:
    """A robot's id in a span's name is a finding."""
    span = Span("GET /api/telemetry/ws/robot-17", "server", HANDSHAKE, ())
    assert check(spans=[span]).findings == [
        "span 'GET /api/telemetry/ws/robot-17' of kind server is not declared"
    ]


def test_every_declaration_can_be_seen() -> None:
    """A report that has seen everything has nothing left."""
    report = check()
    whole = len(report.unseen())
    registry = report.registry
    assert whole == 2 * len(registry.events) + len(registry.metrics) + len(registry.spans)
    report.events.update(e.name for e in registry.events)
    report.span_events.update(e.name for e in registry.events)
    report.metrics.update(m.name for m in semconv.METRICS)
    report.spans.update(s.name for s in registry.spans)
    assert report.unseen() == []


def test_another_registry() -> None:
    """The registry is an argument."""
    empty = model.Registry({}, (), (), ())
    report = check(empty, records=[STARTED])
    assert report.findings == ["event 'metrics.aggregation_started' is not declared"]
