"""Handshakes: who is accepted, who is refused, and what OpenTelemetry sees of it."""

import asyncio
import json
import re
import time

import pytest
from opentelemetry.trace import SpanKind, StatusCode
from structlog.testing import capture_logs
from websockets.asyncio.client import connect
from websockets.exceptions import InvalidStatus

from charter_otel.telemetry import Limits
from support.polling import eventually
from support.robots import READING, Robots

ROUTE = "/api/telemetry/ws/{robot_id}"


async def test_an_accepted_robot_is_established_at_once(robots: Robots) -> None:
    """The event comes with the accept and has its time; it waits for no frame."""
    before = time.time()
    await robots.connect("robot-7:a.b")
    await eventually(lambda: robots.established, "established")
    payload = robots.established[0].payload
    assert payload["robot_id"] == "robot-7:a.b"
    assert before - 0.001 <= payload["connected_at"] <= time.time()
    assert re.fullmatch(
        rf"ws_robot-7:a\.b_{int(payload['connected_at'])}_[0-9a-f]+", payload["connection_id"]
    )


@pytest.mark.parametrize("robot_id", ["-robot", "%20", "r" * 65, "robot%0A", "r%C3%B6bot", "a$b"])
async def test_a_wrong_robot_id_is_refused(robots: Robots, robot_id: str) -> None:
    """The refusal is a real 400 with problem details; there is no event."""
    with pytest.raises(InvalidStatus) as refused:
        await robots.connect(robot_id)
    response = refused.value.response
    assert response.status_code == 400
    assert response.headers["content-type"] == "application/problem+json"
    assert "robot id" in json.loads(response.body or b"")["detail"]
    assert robots.stream.events == []


@pytest.mark.parametrize("path", ["/ws/robot_1", "/api/telemetry/ws/", "/api/telemetry/ws/a/b"])
async def test_a_wrong_path_is_said(own: Robots, path: str) -> None:
    """The 404 at a wrong path names the WebSocket's path."""
    with pytest.raises(InvalidStatus) as refused:
        await connect(f"ws://{own.address}{path}")
    response = refused.value.response
    assert response.status_code == 404
    assert response.headers["content-type"] == "application/problem+json"
    assert ROUTE in json.loads(response.body or b"")["detail"]


@pytest.mark.parametrize(("robot_id", "named"), [("robot_1", "robot_1"), ("a$b", None)])
async def test_a_refused_robot_is_named_where_it_is_one(
    robots: Robots, robot_id: str, named: str | None
) -> None:
    """Log line and span name the robot that is refused; what is not a robot id is not repeated."""
    robots.gateway.secrets = ("s" * 32,)
    with capture_logs() as lines, pytest.raises(InvalidStatus):
        await robots.connect(robot_id)
    (line,) = [line for line in lines if line["event"] == "handshake refused"]
    assert line.get("robot_id") == named
    (span,) = robots.spans(f"GET {ROUTE}")
    assert (span.attributes or {}).get("charter.robot.id") == named


async def test_robots_beyond_the_connection_limit_are_refused(robots: Robots) -> None:
    """The last free connection is given; one more gets 503; a takeover needs none."""
    robots.gateway.limits = Limits(max_connections=2)
    await robots.connect("robot_1")
    await robots.connect("robot_2")
    with pytest.raises(InvalidStatus) as refused:
        await robots.connect("robot_3")
    assert refused.value.response.status_code == 503
    assert refused.value.response.headers["retry-after"]
    await robots.connect("robot_1")
    assert len(robots.established) == 3


async def test_nobody_is_accepted_while_the_service_stops(robots: Robots) -> None:
    """A robot that comes too late gets 503 and tries another instance."""
    robots.gateway.closing = True
    with pytest.raises(InvalidStatus) as refused:
        await robots.connect()
    assert refused.value.response.status_code == 503


async def test_handshakes_are_counted_by_outcome(robots: Robots) -> None:
    """Accepted and refused handshakes are one metric with the outcome as its only attribute."""
    await robots.connect()
    with pytest.raises(InvalidStatus):
        await robots.connect("-")
    points = robots.metric("charter.handshake.duration")
    counts = {dict(key)["charter.handshake.outcome"]: p.count for key, p in points.items()}
    assert counts == {"accepted": 1, "invalid_robot_id": 1}


async def test_the_handshake_span_ends_while_the_connection_is_open(robots: Robots) -> None:
    """The SERVER span is named by the route's template and carries the established event."""
    await robots.connect("robot_9")
    await eventually(lambda: robots.spans(f"GET {ROUTE}"), "the handshake's span")
    (span,) = robots.spans(f"GET {ROUTE}")
    assert not robots.closed
    assert span.kind is SpanKind.SERVER
    assert (span.attributes or {})["http.route"] == ROUTE
    assert (span.attributes or {})["http.response.status_code"] == 101
    assert (span.attributes or {})["url.path"] == "/api/telemetry/ws/robot_9"
    assert (span.attributes or {})["network.protocol.version"] == "1.1"
    named = [(span.attributes or {})[f"server.{part}"] for part in ("address", "port")]
    assert named == ["127.0.0.1", int(robots.address.rpartition(":")[2])]
    assert [event.name for event in span.events] == ["telemetry.connection_established"]


async def test_a_refused_handshake_has_a_span_of_its_own(robots: Robots) -> None:
    """The span tells status and outcome, and no event is on it."""
    with pytest.raises(InvalidStatus):
        await robots.connect("-")
    await eventually(lambda: robots.spans(f"GET {ROUTE}"), "the handshake's span")
    (span,) = robots.spans(f"GET {ROUTE}")
    assert (span.attributes or {})["http.response.status_code"] == 400
    assert (span.attributes or {})["charter.handshake.outcome"] == "invalid_robot_id"
    assert span.events == ()


async def test_a_traceparent_of_the_robot_is_honoured(robots: Robots) -> None:
    """Handshake, connection and both events belong to the robot's own trace."""
    trace_id, parent = "4bf92f3577b34da6a3ce929d0e0e4736", "00f067aa0ba902b7"
    client = await robots.connect(additional_headers={"traceparent": f"00-{trace_id}-{parent}-01"})
    await client.close()
    await robots.closings()
    assert {event.meta["correlation_id"] for event in robots.stream.events} == {trace_id}
    (handshake,) = robots.spans(f"GET {ROUTE}")
    assert handshake.parent is not None
    assert f"{handshake.parent.span_id:016x}" == parent


async def test_a_robot_that_is_refused_writes_into_nobodys_trace(robots: Robots) -> None:
    """Its handshake is a trace of its own, with a link to the trace that it named."""
    trace_id, parent = "4bf92f3577b34da6a3ce929d0e0e4736", "00f067aa0ba902b7"
    headers = {"traceparent": f"00-{trace_id}-{parent}-01", "origin": "https://evil.example"}
    with pytest.raises(InvalidStatus):
        await robots.connect(additional_headers=headers)
    await eventually(lambda: robots.spans(f"GET {ROUTE}"), "the handshake's span")
    (handshake,) = robots.spans(f"GET {ROUTE}")
    assert handshake.parent is None
    assert f"{handshake.context.trace_id:032x}" != trace_id
    (link,) = handshake.links
    assert f"{link.context.span_id:016x}" == parent


async def test_a_connection_is_one_small_trace(robots: Robots) -> None:
    """A thousand frames later the trace has two spans, and both events have its trace id."""
    robots.gateway.limits = Limits(max_frames_per_second=10_000)
    client = await robots.connect()
    for _ in range(1_000):
        await client.send(READING)
    await client.close()
    (closed,) = await robots.closings()
    handshake, whole = robots.exporter.get_finished_spans()
    assert whole.name == "charter.connection"
    assert whole.context.trace_id == handshake.context.trace_id
    assert whole.parent == handshake.context
    assert (whole.attributes or {})["charter.connection.frames"] == 1_000
    assert [event.name for event in whole.events] == ["telemetry.connection_closed"]
    assert closed.meta["correlation_id"] == f"{handshake.context.trace_id:032x}"
    assert robots.established[0].meta["correlation_id"] == closed.meta["correlation_id"]


async def test_the_connection_span_lasts_as_long_as_the_connection(robots: Robots) -> None:
    """Start and end are explicit: from accept to close."""
    client = await robots.connect()
    await asyncio.sleep(0.2)
    await client.close()
    (closed,) = await robots.closings()
    (whole,) = robots.spans("charter.connection")
    assert whole.start_time is not None
    assert whole.end_time is not None
    length = (whole.end_time - whole.start_time) / 1e9
    assert length >= 0.2
    assert length == pytest.approx(closed.payload["duration_seconds"], abs=1e-6)


async def test_an_unexpected_end_is_an_error_span(robots: Robots) -> None:
    """A lost connection has status ERROR, one that the robot closed has not."""
    lost = await robots.connect("robot_1")
    lost.transport.abort()
    await robots.closings()
    polite = await robots.connect("robot_2")
    await polite.close()
    await robots.closings(2)
    first, second = robots.spans("charter.connection")
    assert first.status.status_code is StatusCode.ERROR
    assert (first.attributes or {})["error.type"] == "connection_lost"
    assert second.status.status_code is StatusCode.UNSET


async def test_a_long_connection_has_checkpoints(robots: Robots) -> None:
    """A checkpoint is a trace of its own that links to the handshake."""
    robots.gateway.checkpoint_interval = 0.1
    await robots.connect()
    await eventually(lambda: robots.spans("charter.connection.checkpoint"), "a checkpoint")
    checkpoint = robots.spans("charter.connection.checkpoint")[0]
    (handshake,) = robots.spans(f"GET {ROUTE}")
    assert checkpoint.parent is None
    assert checkpoint.links[0].context == handshake.context
