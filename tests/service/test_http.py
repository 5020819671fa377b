"""Request telemetry: one span and one measurement a request, named by the route's template."""

import asyncio
from collections.abc import AsyncIterator
from importlib.metadata import version
from typing import Any

import httpx
import pytest
from hypothesis import given
from hypothesis import strategies as st
from litestar import Litestar, Response, get, post, websocket
from litestar.background_tasks import BackgroundTask
from litestar.exceptions import LitestarException, NotFoundException
from litestar.params import FromPath
from litestar.response import ServerSentEvent, Stream
from litestar.testing import TestClient
from opentelemetry import trace
from opentelemetry.sdk.trace.sampling import ALWAYS_OFF

from charter_otel.emit import emit
from charter_otel.otel import semconv
from charter_otel.otel.instrumentation import VERSION
from charter_otel.service.http import UNTRACED, RequestTelemetry
from charter_otel.service.problems import exception_handlers
from charter_otel.telemetry.session import Socket
from charter_otel.testing import Capture, CapturedPoint, capture
from support.apps import make_app
from support.events import PAYLOADS
from support.requests import requesting

DURATION = semconv.HTTP_SERVER_REQUEST_DURATION.name
PUBLISHED = "telemetry.metrics_published"
ROUTE = "/api/telemetry/robots/{robot_id}/metrics"
TRACEPARENT = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"


@get("/api/telemetry/robots/{robot_id:str}/metrics")
async def robot_metrics(robot_id: FromPath[str]) -> dict[str, str]:
    """Emit an event, as the real route does."""
    emit(PUBLISHED, {**PAYLOADS[PUBLISHED], "robot_id": robot_id})
    return {"robot_id": robot_id}


@get("/missing")
async def missing() -> None:
    """Say that there is none."""
    raise NotFoundException("there is none")


@get("/broken")
async def broken() -> None:
    """Raise what nobody expects."""
    raise LookupError("a detail of the inside")


@get("/refused")
async def refused() -> Response[None]:
    """Answer with a failure without raising."""
    return Response(None, status_code=503)


@get("/probe", opt={UNTRACED: True})
async def probe() -> str:
    """Answer a probe."""
    return "ok"


@get("/live")
async def live() -> ServerSentEvent:
    """Answer, in an event stream, whether the span is recording."""

    async def events() -> AsyncIterator[str]:
        yield str(trace.get_current_span().is_recording())

    return ServerSentEvent(events())


@get("/halfway")
async def halfway() -> Stream:
    """Fail after the response has started."""

    async def parts() -> AsyncIterator[bytes]:
        yield b"a part"
        raise LookupError("in the middle")

    return Stream(parts())


@post("/later")
async def later() -> Response[dict[str, Any]]:
    """Leave work for after the response."""
    return Response({}, background=BackgroundTask(asyncio.sleep, 1))


@websocket("/socket")
async def socket(socket: Socket) -> None:
    """Accept and close."""
    await socket.accept()
    await socket.close()


HANDLERS = [robot_metrics, missing, broken, refused, probe, live, halfway, later, socket]


def build_app(captured: Capture) -> Litestar:
    """Make an app with request telemetry and nothing else."""
    telemetry = RequestTelemetry(captured.instrumentation)
    return make_app(
        HANDLERS,
        middleware=[telemetry],
        after_exception=[telemetry.after_exception],
        exception_handlers=exception_handlers(),
        openapi_config=None,
    )


async def request(
    captured: Capture, path: str, method: str = "GET", **options: Any
) -> httpx.Response:
    """Make one request to the app, in this event loop."""
    async with requesting(build_app(captured)) as client:
        return await client.request(method, path, **options)


def durations(captured: Capture) -> list[CapturedPoint]:
    """Return the series of the duration metric."""
    return captured.metrics()[DURATION]


async def test_span_and_measurement_carry_the_conventions_attributes(
    charter_capture: Capture,
) -> None:
    """A request is one SERVER span, named by method and template, and one measurement."""
    await request(charter_capture, "/api/telemetry/robots/robot_001/metrics")
    [span] = charter_capture.spans
    shared = {
        "http.request.method": "GET",
        "url.scheme": "http",
        "http.route": ROUTE,
        "http.response.status_code": 200,
    }
    assert (span.name, span.kind, span.status) == (f"GET {ROUTE}", "server", "unset")
    assert span.attributes == {
        **shared,
        "url.path": "/api/telemetry/robots/robot_001/metrics",
        "server.address": "test",
        "server.port": 80,
        "network.protocol.version": "1.1",
    }
    [point] = durations(charter_capture)
    assert point.attributes == shared
    assert point.measurements == 1
    assert 0 < point.value < 10
    assert set(point.attributes) <= set(semconv.HTTP_SERVER_REQUEST_DURATION.attributes)


async def test_event_of_a_handler_is_its_span_event(charter_capture: Capture) -> None:
    """An event emitted while a request is handled is on its span and has its trace id."""
    await request(charter_capture, "/api/telemetry/robots/robot_001/metrics")
    [span] = charter_capture.spans
    assert [event.name for event in span.events] == [PUBLISHED]
    assert charter_capture.events[0].meta["correlation_id"] == span.trace_id


async def test_inbound_trace_is_continued(charter_capture: Capture) -> None:
    """A valid `traceparent` makes the request a child of the caller's span."""
    headers = {"traceparent": TRACEPARENT, "tracestate": "vendor=1"}
    await request(charter_capture, "/api/telemetry/robots/robot_001/metrics", headers=headers)
    [span] = charter_capture.spans
    assert (span.trace_id, span.parent_id) == (TRACEPARENT[3:35], TRACEPARENT[36:52])
    [raw] = charter_capture.raw_spans
    assert raw.context is not None
    assert raw.context.trace_state.to_header() == "vendor=1"


@given(st.text(st.characters(codec="latin-1", exclude_categories=["Cc"])))
def test_any_other_traceparent_begins_a_trace(text: str) -> None:
    """A malformed `traceparent` is ignored, whatever it holds."""
    with capture() as captured:
        headers = {"traceparent": text.encode("latin-1")}
        asyncio.run(request(captured, "/missing", headers=headers))
    assert [span.parent_id for span in captured.spans] == [None]


async def test_500_robots_make_one_series_and_one_span_name(charter_capture: Capture) -> None:
    """No robot id gets into a span name or a metric attribute."""
    app = build_app(charter_capture)
    async with requesting(app) as client:
        for number in range(500):
            await client.get(f"/api/telemetry/robots/robot_{number:03d}/metrics")
    assert {span.name for span in charter_capture.spans} == {f"GET {ROUTE}"}
    [point] = durations(charter_capture)
    assert point.measurements == 500


async def test_paths_without_a_route_make_one_series(charter_capture: Capture) -> None:
    """Scanners' paths are measured and traced together, without `http.route`."""
    for path in ("/wp-admin", "/.env", "/api/telemetry/robots/robot_001"):
        assert (await request(charter_capture, path)).status_code == 404
    assert {span.name for span in charter_capture.spans} == {"GET"}
    [point] = durations(charter_capture)
    assert point.measurements == 3
    assert point.attributes == {
        "http.request.method": "GET",
        "url.scheme": "http",
        "http.response.status_code": 404,
    }


async def test_wrong_method_is_measured(charter_capture: Capture) -> None:
    """405 comes before any middleware, and is measured all the same."""
    assert (await request(charter_capture, "/missing", "POST")).status_code == 405
    [point] = durations(charter_capture)
    assert point.attributes["http.response.status_code"] == 405


@pytest.mark.parametrize("method", ["BREW", "get", "PROPFIND"])
async def test_unknown_methods_are_folded(charter_capture: Capture, method: str) -> None:
    """A method that HTTP does not define is `_OTHER`, and `HTTP` in the span's name."""
    telemetry = RequestTelemetry(charter_capture.instrumentation)
    scope: Any = {
        "type": "http",
        "method": method,
        "path": "/missing",
        "headers": [],
        "scheme": "http",
        "state": {},
    }
    await telemetry.after_exception(NotFoundException(), scope)
    [point] = durations(charter_capture)
    assert point.attributes["http.request.method"] == "_OTHER"
    assert charter_capture.spans[0].name == "HTTP"


async def test_query_and_odd_method_are_on_the_span(charter_capture: Capture) -> None:
    """Both where there are such, and neither where there is none."""
    await request(charter_capture, "/refused?token=hunter2")
    await request(charter_capture, "/refused")
    await request(charter_capture, "/refused", "PROPFIND")
    first, second, third = (span.attributes for span in charter_capture.spans)
    assert first["url.query"] == "token=REDACTED"
    assert "url.query" not in second
    assert "http.request.method_original" not in second
    assert third["http.request.method_original"] == "PROPFIND"


def test_the_scope_has_the_package_s_version(charter_capture: Capture) -> None:
    """So that one can tell which release made a span, a record or a metric."""
    assert version("charter-otel") == VERSION
    tracer: Any = charter_capture.instrumentation.tracer
    logger: Any = charter_capture.instrumentation.logger
    for scope in (tracer._instrumentation_scope, logger._instrumentation_scope):
        assert (scope.name, scope.version) == ("charter_otel", VERSION)


async def test_clients_mistake_is_no_error(charter_capture: Capture) -> None:
    """404 leaves the span's status unset and has no `error.type`."""
    await request(charter_capture, "/missing")
    [span] = charter_capture.spans
    assert span.status == "unset"
    assert span.attributes["http.response.status_code"] == 404
    assert "error.type" not in span.attributes
    assert "error.type" not in durations(charter_capture)[0].attributes


async def test_exception_is_the_error_type(charter_capture: Capture) -> None:
    """An unhandled exception's class is `error.type`, on span and measurement."""
    await request(charter_capture, "/broken")
    [span] = charter_capture.spans
    assert span.status == "error"
    for attributes in (span.attributes, durations(charter_capture)[0].attributes):
        assert attributes["error.type"] == "LookupError"
        assert attributes["http.response.status_code"] == 500


async def test_status_is_the_error_type_where_nothing_was_raised(
    charter_capture: Capture,
) -> None:
    """A handler that answers 503 itself fails with `error.type` 503."""
    await request(charter_capture, "/refused")
    assert charter_capture.spans[0].attributes["error.type"] == "503"


async def test_failure_in_the_middle_of_a_response_is_an_error(charter_capture: Capture) -> None:
    """An error that is raised after the status was sent fails the span that says 200."""
    async with requesting(build_app(charter_capture), raises=True) as client:
        with pytest.raises(LitestarException, match="after response started"):
            await client.get("/halfway")
    [span] = charter_capture.spans
    assert span.status == "error"
    assert span.attributes["http.response.status_code"] == 200
    assert span.attributes["error.type"] == "ExceptionGroup"


async def test_span_of_an_event_stream_ends_when_it_begins(charter_capture: Capture) -> None:
    """A Server-Sent Events response holds no span open while it lasts."""
    response = await request(charter_capture, "/live")
    assert "False" in response.text
    [span] = charter_capture.spans
    assert span.attributes["http.response.status_code"] == 200
    assert len(durations(charter_capture)) == 1


async def test_work_after_the_response_does_not_count(charter_capture: Capture) -> None:
    """A background task of a second is not part of the request's duration."""
    await request(charter_capture, "/later", "POST")
    assert durations(charter_capture)[0].value < 1


async def test_untraced_routes_are_measured(charter_capture: Capture) -> None:
    """A route that opts out of traces makes no span, and a measurement."""
    await request(charter_capture, "/probe")
    assert charter_capture.spans == []
    assert durations(charter_capture)[0].attributes["http.route"] == "/probe"


async def test_unsampled_request_keeps_its_trace_id() -> None:
    """Without sampling nothing is recorded, and events still share the request's trace id."""
    with capture(sampler=ALWAYS_OFF) as captured:
        await request(
            captured, "/api/telemetry/robots/r/metrics", headers={"traceparent": TRACEPARENT}
        )
    assert captured.spans == []
    assert captured.events[0].meta["correlation_id"] == TRACEPARENT[3:35]


def test_websockets_are_not_touched(charter_capture: Capture) -> None:
    """The telemetry of requests leaves WebSockets to the room that knows them."""
    with TestClient(build_app(charter_capture)) as client, client.websocket_connect("/socket"):
        pass
    assert charter_capture.spans == []
    assert DURATION not in charter_capture.metrics()


async def test_concurrent_requests_do_not_mix(charter_capture: Capture) -> None:
    """Each of fifty requests at once has its own trace, and its own event on it."""
    app = build_app(charter_capture)
    async with requesting(app) as client:
        paths = (f"/api/telemetry/robots/robot_{number}/metrics" for number in range(50))
        await asyncio.gather(*(client.get(path) for path in paths))
    spans = charter_capture.spans
    assert len({span.trace_id for span in spans}) == 50
    assert all(
        span.attributes["url.path"].split("/")[-2] == span.events[0].attributes["charter.robot.id"]
        for span in spans
    )
