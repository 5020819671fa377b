"""The service from outside: one event, the same everywhere."""

import asyncio
import json
import re
import signal
from collections import Counter
from collections.abc import Iterator
from typing import Any

import pytest
import redis
from websockets.asyncio.client import connect
from websockets.exceptions import ConnectionClosed

from charter_otel.charter import CATALOG, decode
from support.otlp import Received, attributes, points, receiving
from support.polling import wait_until
from support.robots import READING
from support.service import ServiceProcess, service

PER_ROBOT = {
    "charter.robot.online",
    "charter.robot.cpu.utilization",
    "charter.robot.memory.utilization",
    "charter.robot.battery.charge",
    "charter.robot.network.latency",
}
"""The only metrics that may know robots."""


async def visit(running: ServiceProcess, robot_id: str = "robot_001", path: str = "") -> None:
    """Let a robot come, send a reading that somebody reads, and go."""
    async with connect(f"{running.websocket}/api/telemetry/ws/{robot_id}{path}") as client:
        await client.send(READING)
        await client.send('{"type":"ping"}')
        await client.recv()
        await asyncio.to_thread(running.get, f"/api/telemetry/robots/{robot_id}/metrics")


async def test_sigterm_closes_five_hundred_connections_once_each() -> None:
    """Each robot gets 1012, each connection its one event, and the exit code is 0."""
    with service(CHARTER_EVENT_STREAM="none") as running:
        url = f"{running.websocket}/api/telemetry/ws/robot_"
        clients = await asyncio.gather(
            *(connect(f"{url}{n}", open_timeout=30, compression=None) for n in range(500))
        )
        assert await asyncio.to_thread(running.stop) == 0
        codes = Counter([await _code(client) for client in clients])
        established = running.events("telemetry.connection_established")
        closed = running.events("telemetry.connection_closed")
    assert codes == {1012: 500}
    assert {event["payload"]["reason"] for event in closed} == {"server_shutdown"}
    assert len(closed) == 500
    assert {_connection(event) for event in closed} == {_connection(e) for e in established}


async def test_stdout_is_json_lines_whose_events_belong_to_their_trace() -> None:
    """Every line is one JSON object with the stable keys; correlation id and trace id agree."""
    with service(CHARTER_AGGREGATION_INTERVAL="1") as running:
        await visit(running)
        wait_until(lambda: len(running.events()) >= 5, "events on stdout")
        running.stop()
        lines = running.lines()
    for line in lines:
        assert list(line)[:5] == ["timestamp", "level", "event", "logger", "service.name"]
        assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{6}Z", line["timestamp"])
    for line in [line for line in lines if "charter" in line]:
        decode(json.dumps(line["charter"]))
        assert line["event"] == line["charter"]["type"]
        assert line["trace_id"] == line["charter"]["meta"]["correlation_id"]


async def test_redis_rest_and_stdout_show_the_same_envelopes(redis_url: str) -> None:
    """A stock client sees in the stream what everybody else sees, byte for byte."""
    with service(CHARTER_EVENT_STREAM=redis_url, CHARTER_AGGREGATION_INTERVAL="1") as running:
        await visit(running)
        client = redis.Redis.from_url(redis_url)
        wait_until(lambda: client.xlen("{charter}:events") >= 5, "five events in the stream")
        listed = running.get("/api/events?limit=1000")
        assert running.stop() == 0
        printed = running.events()
    raw: Any = client.xrange("{charter}:events")
    entries: list[dict[bytes, bytes]] = [fields for _, fields in raw]
    streamed = [json.loads(fields[b"event"]) for fields in entries]
    assert all(set(fields) == {b"event", b"traceparent"} for fields in entries)
    assert streamed == printed
    assert listed == streamed[: len(listed)]
    for fields, event in zip(entries, streamed, strict=True):
        assert fields[b"traceparent"].decode().split("-")[1] == event["meta"]["correlation_id"]
    client.close()


async def test_missions_in_redis_count_once_and_survive_a_restart(redis_url: str) -> None:
    """Entries from REST and from a stock client are counted; a new instance goes on from there."""
    variables = {"CHARTER_EVENT_STREAM": redis_url, "CHARTER_AGGREGATION_INTERVAL": "1"}
    entry = {"mission_id": "m1", "status": "completed", "duration_ms": 10}
    with service(**variables) as running:
        running.post("/api/metrics/missions", [entry, entry])
        client = redis.Redis.from_url(redis_url)
        client.xadd("{charter}:missions", {"data": json.dumps(entry)})
        wait_until(lambda: _counted(running) == 3, "three entries counted")
        running.stop()
    with service(**variables) as running:
        running.post("/api/metrics/missions", entry)
        wait_until(lambda: _counted(running) == 4, "the fourth entry counted")
        wait_until(lambda: _processed(running) == 1, "the second instance's runs processed one")
    client.close()


@pytest.fixture(scope="module")
def exported() -> Iterator[tuple[Received, list[dict[str, object]]]]:
    """Run the service through all six events with a receiver, and give what it exported."""
    with receiving() as received:
        variables = {
            "OTEL_EXPORTER_OTLP_ENDPOINT": received.url,
            "OTEL_METRIC_EXPORT_INTERVAL": "500",
            "CHARTER_AGGREGATION_INTERVAL": "1",
        }
        with service(**variables) as running:
            for robot_id in ("robot_001", "robot_002"):
                asyncio.run(visit(running, robot_id))
            wait_until(
                lambda: PER_ROBOT - {"charter.robot.online"} <= set(received.metrics) or 1, ""
            )
            wait_until(lambda: len(running.events("metrics.aggregation_completed")) > 1, "runs")
            # Two runs may come within a moment, before anything is exported.
            wait_until(lambda: "charter.stream.connected" in received.metrics, "an export")
            assert running.stop() == 0
            events = running.events()
        yield received, events


def test_each_event_is_one_log_record(
    exported: tuple[Received, list[dict[str, object]]],
) -> None:
    """An OTLP receiver gets each event once, as a record with event name, time and trace."""
    received, events = exported
    records = {attributes(r.attributes)["charter.event.id"]: r for r in received.log_records}
    assert len(records) == len(received.log_records) == len(events)
    for event in events:
        record = records[event["id"]]
        assert record.event_name == event["type"]
        assert record.time_unix_nano / 1e9 == pytest.approx(event["timestamp"], abs=1e-5)
        assert record.body.WhichOneof("value") is None
        assert record.trace_id.hex() == event["meta"]["correlation_id"]  # type: ignore[index]


def test_each_event_is_one_span_event(
    exported: tuple[Received, list[dict[str, object]]],
) -> None:
    """The same attributes stand on the span that was current."""
    received, events = exported
    on_spans = [(span, event) for span in received.spans for event in span.events]
    assert {event.name for _, event in on_spans} == {str(event["type"]) for event in events}
    records = {attributes(r.attributes)["charter.event.id"]: r for r in received.log_records}
    assert len(on_spans) == len(records)
    for span, event in on_spans:
        record = records[attributes(event.attributes)["charter.event.id"]]
        assert attributes(event.attributes) == attributes(record.attributes)
        assert (span.trace_id, span.span_id) == (record.trace_id, record.span_id)


def test_no_series_and_no_span_name_knows_a_robot(
    exported: tuple[Received, list[dict[str, object]]],
) -> None:
    """Ids of robots, connections and events stand on the per-robot gauges at most."""
    received, _ = exported
    known = re.compile("robot_00|ws_|evt_")
    assert not [span.name for span in received.spans if known.search(span.name)]
    routes = {attributes(span.attributes).get("http.route") for span in received.spans}
    assert "/api/telemetry/ws/{robot_id}" in routes
    assert "/api/telemetry/robots/{robot_id}/metrics" in routes
    for name, metric in received.metrics.items():
        values = [str(v) for p in points(metric) for v in attributes(p.attributes).values()]
        assert name in PER_ROBOT or not [value for value in values if known.search(value)], name


def test_a_clean_stop_does_not_look_like_an_outage(
    exported: tuple[Received, list[dict[str, object]]],
) -> None:
    """The last that is exported does not say that the stream is gone: a page would follow."""
    received, _ = exported
    assert [p.as_int for p in points(received.metrics["charter.stream.connected"])] == [1]


def test_all_six_types_were_seen(exported: tuple[Received, list[dict[str, object]]]) -> None:
    """All but the failure, which needs a broken store, come in the normal run."""
    _, events = exported
    assert {event["type"] for event in events} == set(CATALOG) - {"metrics.aggregation_failed"}


async def test_a_dead_collector_disturbs_nobody() -> None:
    """With nobody behind the endpoint, robots are served and the service stops in time."""
    variables = {"OTEL_EXPORTER_OTLP_ENDPOINT": "http://127.0.0.1:9"}
    with service(**variables) as running:
        await visit(running)
        assert running.stop(within=8) == 0


async def test_a_dead_redis_degrades_the_service() -> None:
    """Without its stream the service serves on, says so, and is still ready."""
    with service(CHARTER_EVENT_STREAM="redis://127.0.0.1:9/0") as running:
        await visit(running)
        wait_until(
            lambda: running.get("/readyz")["status"] == "degraded", "the service says degraded"
        )
        failed = running.events("metrics.aggregation_failed")
        assert failed
        assert failed[0]["payload"]["error_type"] == "ConnectionError"
        assert running.stop(signal.SIGINT) == 0
        assert len(running.events("telemetry.connection_closed")) == 1


async def _code(client: object) -> int | None:
    try:
        await asyncio.wait_for(client.recv(), 10)  # type: ignore[attr-defined]
    except ConnectionClosed as closed:
        return closed.rcvd.code if closed.rcvd else None
    return None


def _connection(event: dict[str, dict[str, str]]) -> str:
    return event["payload"]["connection_id"]


def _counted(running: ServiceProcess) -> int:
    counted: int = running.get("/api/metrics/missions")["entries_processed"]
    return counted


def _processed(running: ServiceProcess) -> int:
    completed = running.events("metrics.aggregation_completed")
    return sum(event["payload"]["entries_processed"] for event in completed)
