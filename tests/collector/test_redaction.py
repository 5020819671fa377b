"""No token, secret or client address leaves the Collector; identifiers do."""

from pathlib import Path

import pytest
from opentelemetry.proto.logs.v1.logs_pb2 import LogRecord

from collector.harness import Collector, Value, attributes, plain, span
from collector.standin import StandIn
from support.polling import wait_until

TOKEN = "q7Zr1x0Lw9TnVb3KdE5y"  # noqa: S105, a made-up one
JWT = f"eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiJyMSJ9.{TOKEN}"

SECRET: dict[str, Value] = {
    "http.request.header.authorization": [f"Bearer {TOKEN}"],
    "http.request.header.sec-websocket-protocol": f"charter, bearer.{TOKEN}",
    "http.request.header.x-forwarded-for": "unknown-client",
    "client.address": "robot-7.example.net",
    "network.peer.address": "fleet-host",
    "db.password": TOKEN,
    "app.api_key": TOKEN,
    "url.full": f"ws://198.51.100.7:8000/api/telemetry/ws/r1?token={TOKEN}",
    "exception.message": f"cannot reach redis://user:{TOKEN}@cache:6379/0",
    "note": f"sent {JWT} from 203.0.113.9",
    "peers": "2001:db8::8a2e:370:7334 and 2001:db8:0:1:1:1:1:1",
    "process.command_args": ["--port=8000", f"--secret={TOKEN}"],
}
LEAKS = (
    TOKEN,
    "eyJ",
    "unknown-client",
    "robot-7.example.net",
    "fleet-host",
    "198.51.100.7",
    "203.0.113.9",
    "2001:db8",
)
# Each kind of secret, as an exception's text in a span's status may hold it, and what is left.
STATUS = {
    f"no route to 203.0.113.9?token={TOKEN}": "no route to ****?****",
    f"refused Bearer {TOKEN}": "refused ****",
    "no route to 2001:db8::8a2e:370:7334": "no route to ****",
    "lost 2001:db8:0:1:1:1:1:1 at 12:30:45": "lost **** at 12:30:45",
    f"refused {JWT}": "refused ****",
    f"lost redis://user:{TOKEN}@cache:6379": "lost redis****cache:6379",
}
HARMLESS: dict[str, Value] = {
    "charter.robot.id": "10.0.0.7",
    "charter.connection.id": "ws_10.0.0.7_1703001234_ab12",
    "charter.connection.close_reason": "token_expired",
    "charter.event.id": "evt_metrics_1703001234567_a1b2c3",
    "charter.job.entries_processed": 42,
    "charter.job.duration_ms": 12.5,
    "server.address": "127.0.0.1",
    "url.path": "/api/telemetry/ws/r1",
    "http.route": "/api/telemetry/ws/{robot_id}",
    "time": "12:30:45",
    "list": ["one", "two"],
}


@pytest.fixture
def arrived(binary: Path, tmp_path: Path, vendor: StandIn) -> StandIn:
    """Send secrets everywhere they can be, and give what reached the vendor."""
    env = {"CHARTER_OTLP_ENDPOINT": vendor.url}
    with Collector(binary, tmp_path, "base.yaml", "vendors/otlp.yaml", **env) as collector:
        values = attributes(SECRET | HARMLESS)
        record = LogRecord(event_name="e", attributes=values)
        record.body.string_value = f"203.0.113.9:50123 - Bearer {TOKEN} accepted"
        failed = [span(values=SECRET | HARMLESS, error=text) for text in STATUS]
        failed[0].events.add(name="exception", attributes=values)
        collector.send(record, *failed, **SECRET)
        wait_until(vendor.records, "the log record")
        wait_until(vendor.spans, "the spans")
    return vendor


def test_secrets_do_not_come_out(arrived: StandIn) -> None:
    """Neither in attributes of any kind, nor in a body, nor in a status text."""
    assert len(arrived.requests) == 2
    for request in arrived.requests:
        text = str(request.message)
        assert [leak for leak in LEAKS if leak in text] == []
        assert "****" in text


def test_the_rest_comes_out_unchanged(arrived: StandIn) -> None:
    """Identifiers, numbers, lists and a server's own address stay as they are."""
    (record,), (got, *_) = arrived.records(), arrived.spans()
    for pairs in (record.attributes, got.attributes, got.events[0].attributes):
        values = plain(pairs)
        assert {key: values[key] for key in HARMLESS} == HARMLESS
        assert values.keys() == SECRET.keys() | HARMLESS.keys()
    assert record.body.string_value == "****:50123 - **** accepted"
    assert [one.status.message for one in arrived.spans()] == list(STATUS.values())
