"""Many hosts: agents keep a trace together, gateways keep every failure, late spans included."""

import contextlib
from pathlib import Path

import pytest
import yaml
from opentelemetry.proto.logs.v1.logs_pb2 import LogRecord

from charter_otel.charter import EXPECTED_CLOSE_REASONS
from collector.harness import CONFIGS, Collector, span
from collector.standin import StandIn
from support.polling import wait_until

GATEWAY = ("base.yaml", "gateway.yaml", "vendors/otlp.yaml")
WAIT = 1.0
REASON = "charter.connection.close_reason"
LAST = "the last one"


@pytest.fixture
def env(vendor: StandIn) -> dict[str, str]:
    """Decide after a second, and keep nothing by chance."""
    return {
        "CHARTER_OTLP_ENDPOINT": vendor.url,
        "CHARTER_DECISION_WAIT": f"{WAIT}s",
        "CHARTER_SAMPLING_PERCENTAGE": "0",
    }


def test_failures_are_kept(
    binary: Path, tmp_path: Path, vendor: StandIn, env: dict[str, str]
) -> None:
    """Errors, failed jobs and unexpected disconnects stay with their whole trace; the rest goes."""
    job, lost = bytes([1]) * 16, bytes([2]) * 16
    failed_job = span("charter.job.run", trace_id=job)
    failed_job.events.add(name="metrics.aggregation_failed")
    with Collector(binary, tmp_path, *GATEWAY, **env) as gateway:
        gateway.validate()
        gateway.send(
            span("plain"),
            span("charter.connection.checkpoint"),
            span("refused", values={"charter.handshake.outcome": "unauthorized"}),
            span("failed", error="boom"),
            span("reading missions", trace_id=job),
            failed_job,
            span("anything", trace_id=lost, values={REASON: "connection_lost"}),
            span("part of the same", trace_id=lost),
        )
        wait_until(lambda: len(vendor.spans()) >= 5, "five spans were kept")
        _decided(gateway, vendor)
    assert sorted(got.name for got in vendor.spans()) == [
        "anything",
        "charter.job.run",
        "failed",
        "part of the same",
        "reading missions",
        LAST,
    ]


@pytest.mark.parametrize("reason", ["client_disconnect", "heartbeat_timeout"])
def test_late_span_follows_its_handshake(
    binary: Path, tmp_path: Path, vendor: StandIn, env: dict[str, str], reason: str
) -> None:
    """A connection's span comes long after the decision on its handshake, and both are kept."""
    trace_id = bytes([3]) * 16
    # Room for one trace: by then the handshake has been forgotten, only the decision is remembered.
    env["CHARTER_SAMPLING_TRACES"] = "1"
    handshake = span(
        "GET /api/telemetry/ws/{robot_id}",
        trace_id=trace_id,
        values={"charter.handshake.outcome": "accepted"},
    )
    with Collector(binary, tmp_path, *GATEWAY, **env) as gateway:
        gateway.send(handshake)
        wait_until(vendor.spans, "the handshake was kept")
        gateway.send(span("plain"))
        # No policy would keep this one for itself.
        gateway.send(span("late", trace_id=trace_id))
        wait_until(lambda: len(vendor.spans()) == 2, "a late span followed")
        gateway.send(span("charter.connection", trace_id=trace_id, values={REASON: reason}))
        wait_until(lambda: len(vendor.spans()) == 3, "the connection followed")


def test_late_span_of_a_dropped_trace_is_dropped(
    binary: Path, tmp_path: Path, vendor: StandIn, env: dict[str, str]
) -> None:
    """A trace that was not kept does not come back in pieces, not even by an error."""
    trace_id = bytes([4]) * 16
    env["CHARTER_SAMPLING_TRACES"] = "1"
    with Collector(binary, tmp_path, *GATEWAY, **env) as gateway:
        gateway.send(span("plain", trace_id=trace_id))
        _decided(gateway, vendor)
        gateway.send(span("plain"))
        gateway.send(span("late", trace_id=trace_id, error="boom"))
        _decided(gateway, vendor)
    assert {got.name for got in vendor.spans()} == {LAST}


def test_share_of_the_rest(
    binary: Path, tmp_path: Path, vendor: StandIn, env: dict[str, str]
) -> None:
    """Of traces without a failure, about the configured share stays; logs all stay."""
    env["CHARTER_SAMPLING_PERCENTAGE"] = "50"
    with Collector(binary, tmp_path, *GATEWAY, **env) as gateway:
        gateway.send(*(span("plain") for _ in range(400)), *(LogRecord() for _ in range(400)))
        wait_until(lambda: len(vendor.records()) == 400, "all log records")
        wait_until(vendor.spans, "some spans")
        _decided(gateway, vendor)
    assert 120 < len(vendor.spans()) < 280


def _decided(gateway: Collector, vendor: StandIn) -> None:
    """Wait for a trace that is kept: those that came before are decided, too."""

    def kept() -> int:
        return [got.name for got in vendor.spans()].count(LAST)

    before = kept()
    gateway.send(span(LAST, error="boom"))
    wait_until(lambda: kept() > before, "a later trace was kept")


def test_unexpected_is_what_the_service_calls_so() -> None:
    """The gateway's list of expected close reasons is the service's."""
    config = yaml.safe_load((CONFIGS / "gateway.yaml").read_text())
    policies = {p["name"]: p for p in config["processors"]["tail_sampling"]["policies"]}
    (condition,) = policies["unexpected-disconnects"]["ottl_condition"]["span"]
    listed = condition.split("^(")[1].split(")$")[0].split("|")
    assert set(listed) == set(EXPECTED_CLOSE_REASONS)


def test_agent_keeps_a_trace_together(
    binary: Path, tmp_path: Path, vendor: StandIn, env: dict[str, str]
) -> None:
    """Both halves of a trace reach one of two gateways, which keeps it whole for its one error."""
    traces = [bytes([number]) * 16 for number in range(1, 41)]
    env["CHARTER_DECISION_WAIT"] = "3s"
    with contextlib.ExitStack() as stack:
        other = stack.enter_context(StandIn())
        gateways: list[str] = []
        for back_end in (vendor, other):
            directory = tmp_path / f"gateway-{len(gateways)}"
            directory.mkdir()
            settings = env | {"CHARTER_OTLP_ENDPOINT": back_end.url}
            gateway = Collector(binary, directory, *GATEWAY, **settings)
            gateways.append(stack.enter_context(gateway).grpc)
        agent = stack.enter_context(
            Collector(
                binary,
                tmp_path,
                "base.yaml",
                "agent.yaml",
                CHARTER_GATEWAYS=f"[{','.join(gateways)}]",
                CHARTER_GATEWAY_INSECURE="true",
            )
        )
        agent.validate()
        for error in (None, "boom"):
            halves = (span(trace_id=trace, error=error) for trace in traces)
            agent.send(*halves, span("plain"), LogRecord(event_name="log"))
        wait_until(lambda: len(vendor.spans()) + len(other.spans()) >= 80, "all spans", 30)
        wait_until(lambda: len(vendor.records()) + len(other.records()) == 2, "both log records")
    here = [got.trace_id for got in vendor.spans()]
    there = [got.trace_id for got in other.spans()]
    assert here
    assert there
    assert sorted(here + there) == sorted(traces * 2)
    assert not set(here) & set(there)


def test_agent_waits_for_the_gateway(binary: Path, tmp_path: Path, vendor: StandIn) -> None:
    """While no gateway answers, the agent keeps what it took, across a SIGKILL too."""
    (tmp_path / "gateway").mkdir()
    sent = {f"event-{number}" for number in range(50)}
    late = Collector(
        binary,
        tmp_path / "gateway",
        "base.yaml",
        "vendors/otlp.yaml",
        CHARTER_OTLP_ENDPOINT=vendor.url,
    )
    env = {"CHARTER_GATEWAYS": f"[{late.grpc}]", "CHARTER_GATEWAY_INSECURE": "true"}
    with Collector(binary, tmp_path, "base.yaml", "agent.yaml", **env) as agent:
        for event in sorted(sent):
            agent.send(LogRecord(event_name=event))
        agent.kill()
        agent.start()
        with late:
            wait_until(
                lambda: {record.event_name for record in vendor.records()} >= sent,
                "every log record arrived",
                within=60,
            )
