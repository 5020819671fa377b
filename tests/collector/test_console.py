"""A look at what the Collector gets, without any back end."""

from pathlib import Path

from opentelemetry.proto.logs.v1.logs_pb2 import LogRecord

from collector.harness import Collector, attributes, span
from support.polling import wait_until


def test_records_and_spans_are_printed_whole(binary: Path, tmp_path: Path) -> None:
    """Names, ids, attributes and span events are there; secrets are not."""
    with Collector(binary, tmp_path, "base.yaml", "console.yaml") as collector:
        values = attributes(
            {"charter.robot.id": "robot_001", "authorization": "Bearer of-a-secret"}
        )
        record = LogRecord(event_name="telemetry.connection_closed", attributes=values)
        work = span(
            "charter.connection", trace_id=bytes.fromhex("0af7651916cd43dd8448eb211c80319c")
        )
        work.events.add(name="telemetry.connection_closed", attributes=values)
        collector.send(record, work)
        wait_until(lambda: "SpanEvent #0" in collector.log, "the span is printed")
        wait_until(lambda: "LogRecord #0" in collector.log, "the record is printed")
    for text in (
        "EventName: telemetry.connection_closed",
        "-> charter.robot.id: Str(robot_001)",
        "Trace ID       : 0af7651916cd43dd8448eb211c80319c",
        "Name           : charter.connection",
    ):
        assert text in collector.log
    assert "of-a-secret" not in collector.log
