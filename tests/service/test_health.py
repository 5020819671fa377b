"""Probes: alive, and ready with the state of each dependency."""

import time
from datetime import datetime
from pathlib import Path
from typing import Any

import pytest

from charter_otel.consumers import Audit
from charter_otel.otel import semconv
from charter_otel.service.health import (
    Check,
    Dependency,
    collector_check,
    consumer_check,
    event_stream_check,
    health_router,
)
from charter_otel.service.http import RequestTelemetry
from charter_otel.streams import MemoryStream, RedisStream
from charter_otel.testing import Capture
from collector.conftest import collector_binary
from collector.harness import Collector
from support.apps import make_app
from support.polling import eventually
from support.redis import RedisServer
from support.requests import requesting
from support.service import service


def state_of(status: Any) -> Check:
    """Make a check that always says the same."""
    return lambda: Dependency(status, {"since": 1})


async def readiness(dependencies: dict[str, Check], *, running: bool = True) -> tuple[int, Any]:
    """Ask whether the service is ready."""
    app = make_app([health_router(dependencies, lambda: running)])
    async with requesting(app) as client:
        response = await client.get("/readyz")
    return response.status_code, response.json()


async def test_alive() -> None:
    """A process that answers is alive, whatever its dependencies do."""
    app = make_app([health_router({"stream": state_of("unready")})])
    async with requesting(app) as client:
        response = await client.get("/healthz")
    assert (response.status_code, response.json()) == (200, {"status": "ok"})


@pytest.mark.parametrize(("path", "code"), [("/healthz", 200), ("/readyz", 503)])
async def test_load_balancers_may_ask_with_head(path: str, code: int) -> None:
    """They get the status of the same GET."""
    app = make_app([health_router({"stream": state_of("unready")})])
    async with requesting(app) as client:
        response = await client.head(path)
    assert response.status_code == code


async def test_ready_with_the_state_of_each_dependency() -> None:
    """A ready service names each dependency, its state and what else is known."""
    assert await readiness({"stream": state_of("ready")}) == (
        200,
        {"status": "ready", "dependencies": {"stream": {"status": "ready", "since": 1}}},
    )


@pytest.mark.parametrize(
    ("states", "status", "code"),
    [
        ([], "ready", 200),
        (["ready", "degraded", "ready"], "degraded", 200),
        (["degraded", "unready"], "unready", 503),
    ],
)
async def test_worst_dependency_decides(states: list[str], status: str, code: int) -> None:
    """The service is as ready as the worst of its dependencies; degraded still takes requests."""
    checks = {f"dependency {number}": state_of(state) for number, state in enumerate(states)}
    answered, body = await readiness(checks)
    assert (answered, body["status"]) == (code, status)


async def test_unready_before_start_and_at_the_end() -> None:
    """A service that does not run, or not any more, is unready though all dependencies work."""
    code, body = await readiness({"stream": state_of("ready")}, running=False)
    assert (code, body["status"]) == (503, "unready")


async def test_failing_check_degrades_and_is_logged(charter_capture: Capture) -> None:
    """A check that raises takes nothing out of rotation and tells the client no detail."""

    def check() -> Dependency:
        raise LookupError("password=hunter2")

    code, body = await readiness({"stream": check})
    assert (code, body["status"]) == (200, "degraded")
    assert "hunter2" not in str(body)
    [line] = [line for line in charter_capture.lines if line["level"] == "error"]
    assert (line["dependency"], line["exception.type"]) == ("stream", "LookupError")


async def test_running_memory_stream_is_ready() -> None:
    """An event stream that runs is ready, with its queue's figures."""
    stream = MemoryStream()
    check = event_stream_check(lambda: stream)
    await stream.start()
    try:
        status, details = check()
        assert status == "ready"
        assert details["system"] == "memory"
        assert details["queued"] == 0
    finally:
        await stream.stop()


def test_no_stream_is_a_choice() -> None:
    """Without an event stream, which is a valid setting, the service is ready."""
    assert event_stream_check(lambda: None)() == Dependency("ready", {"system": "none"})


async def test_lost_redis_degrades(tmp_path: Path) -> None:
    """A Redis that is gone makes the service degraded, and ready again when it is back."""
    server = RedisServer(tmp_path)
    server.start()
    stream = RedisStream(server.url)
    check = event_stream_check(lambda: stream)
    await stream.start()
    try:
        await eventually(lambda: check().status == "ready", "the stream is connected")
        server.kill()
        before = time.time()
        await eventually(lambda: check().status == "degraded", "the loss is seen")
        since = datetime.fromisoformat(check().details["since"]).timestamp()
        assert since == pytest.approx(before, abs=2.0)
        assert "Error" in check().details["error"]
        server.start()
        await eventually(lambda: check().status == "ready", "the stream is back")
    finally:
        await stream.stop()
        server.stop()


async def test_a_consumer_in_trouble_degrades_the_service(tmp_path: Path) -> None:
    """It takes requests, and says since when it cannot write its audit log and why."""
    (tmp_path / "audit").write_text("a file where a directory should be")
    stream, audit = MemoryStream(redelivery_delay=0.01), Audit(tmp_path / "audit")
    check = consumer_check(audit)
    assert check().status == "ready"
    audit.attach(stream)
    await stream.start()
    await audit.start()
    try:
        await eventually(lambda: check().status == "degraded", "it is in trouble")
        details = check().details
        assert details["holder"]
        assert str(tmp_path) in details["error"]
        assert datetime.fromisoformat(details["since"]).timestamp() <= time.time()
        (tmp_path / "audit").unlink()
        await eventually(lambda: check().status == "ready", "it works")
        assert "error" not in check().details
    finally:
        await stream.stop()
        await audit.stop()


async def test_probes_make_no_spans(charter_capture: Capture) -> None:
    """Probes are measured under their routes, and leave no span."""
    telemetry = RequestTelemetry(charter_capture.instrumentation)
    app = make_app([health_router({})], middleware=[telemetry])
    async with requesting(app) as client:
        await client.get("/healthz")
        await client.head("/healthz")
        await client.get("/readyz")
    assert charter_capture.spans == []
    points = charter_capture.metrics()[semconv.HTTP_SERVER_REQUEST_DURATION.name]
    assert {point.attributes["http.route"] for point in points} == {"/healthz", "/readyz"}


async def test_a_collector_that_takes_nothing_degrades(tmp_path: Path) -> None:
    """With since when and why; once it takes telemetry again, it is ready since then."""
    collector = Collector(collector_binary(), tmp_path, "base.yaml")
    exported = {
        "CHARTER_EVENT_STREAM": "memory://",
        "OTEL_EXPORTER_OTLP_ENDPOINT": collector.http,
        "OTEL_METRIC_EXPORT_INTERVAL": "500",
        # Spans and records fail with it, and tell of its return with the next run.
        "CHARTER_AGGREGATION_INTERVAL": "1",
    }
    with service(**exported) as running:

        def state() -> dict[str, str]:
            ready = running.get("/readyz")
            assert ready["status"] in {"ready", "degraded"}
            told: dict[str, str] = ready["dependencies"]["collector"]
            return told

        await eventually(lambda: state()["status"] == "degraded", "it is missed")
        away = state()
        assert "refused" in away["error"].lower()
        with collector:
            await eventually(lambda: state()["status"] == "ready", "it is back")
            back = state()
    assert "error" not in back
    assert datetime.fromisoformat(away["since"]) < datetime.fromisoformat(back["since"])


async def test_without_a_collector_none_is_named() -> None:
    """A service that exports nothing has nothing to say of one."""
    assert "collector" not in (await readiness({"collector": collector_check}))[1]["dependencies"]
