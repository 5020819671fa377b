"""Accepted telemetry survives a vendor's outage and the Collector's death."""

import re
from pathlib import Path

import pytest
from opentelemetry.proto.logs.v1.logs_pb2 import LogRecord

from collector.harness import Collector, span
from collector.standin import StandIn
from support.http import LOCAL
from support.polling import wait_until

RECORDS = 500


@pytest.mark.parametrize("name", ["otlp", "loki-tempo"])
def test_outage_and_sigkill_lose_nothing(
    binary: Path, tmp_path: Path, vendor: StandIn, name: str
) -> None:
    """The vendor refuses, the Collector is killed and restarted, and every record arrives."""
    env = {
        "otlp": {"CHARTER_OTLP_ENDPOINT": vendor.url},
        "loki-tempo": {"CHARTER_LOKI_ENDPOINT": vendor.url, "CHARTER_TEMPO_ENDPOINT": vendor.url},
    }[name]
    vendor.refuse = True
    sent = {f"event-{number}" for number in range(RECORDS)}
    with Collector(binary, tmp_path, "base.yaml", f"vendors/{name}.yaml", **env) as collector:
        for event in sorted(sent):
            collector.send(LogRecord(event_name=event), span(event))
        wait_until(lambda: vendor.refused, "the vendor refused")
        assert vendor.requests == []
        # Right after the last acceptance, in the middle of the retries.
        collector.kill()

        collector.start()
        refused = vendor.refused
        wait_until(lambda: vendor.refused > refused, "the restarted Collector tried again")
        vendor.refuse = False
        wait_until(
            lambda: {record.event_name for record in vendor.records()} >= sent,
            "every log record arrived",
            within=60,
        )
        wait_until(
            lambda: {got.name for got in vendor.spans()} >= sent, "every span arrived", within=60
        )


def test_full_queue_refuses_loudly(binary: Path, tmp_path: Path, vendor: StandIn) -> None:
    """When the queue is full the sender is told, and a counter says so."""
    vendor.refuse = True
    env = {"CHARTER_OTLP_ENDPOINT": vendor.url, "CHARTER_QUEUE_ITEMS": "1000"}
    with Collector(binary, tmp_path, "base.yaml", "vendors/otlp.yaml", **env) as collector:
        batch = [LogRecord(event_name="event") for _ in range(600)]
        collector.send(*batch)
        with pytest.raises(AssertionError, match="queue is full"):
            collector.send(*batch)
        metrics = LOCAL.get(collector.telemetry).text
    assert re.search(r"otelcol_exporter_enqueue_failed_log_records_total\{.*\} 600", metrics)
    assert re.search(r"otelcol_exporter_queue_size\{.*\} 600", metrics)
