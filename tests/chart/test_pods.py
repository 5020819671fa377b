"""The chart's pods run as their user, on a read-only root, with their variables and volumes."""

import json
from collections import Counter
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

import pytest
from redis import Redis
from redis.exceptions import ConnectionError  # noqa: A004 - not Python's
from websockets import Subprotocol
from websockets.exceptions import ConnectionClosed
from websockets.sync.client import ClientConnection, connect

from chart.pods import ROOT, Pod, chart, entrypoint, require_containers
from charter_otel.tokens import sign
from collector.conftest import collector_binary
from support.polling import wait_until
from support.ports import free_port
from support.redis import RedisServer, redis_binary

SECRET = "a secret of a test, long enough"  # noqa: S105
SECRETS = {("charter-otel-auth", "auth-secret"): SECRET}
"""The previous secret is optional, and is missing."""
VENDORS = sorted(path.stem for path in (ROOT / "collector" / "vendors").glob("*.yaml"))
ADDRESSES = dict.fromkeys(
    (
        *("DYNATRACE_ENDPOINT", "ELASTIC_OTLP_ENDPOINT", "GRAFANA_CLOUD_OTLP_ENDPOINT"),
        *("SPLUNK_INGEST_URL", "SPLUNK_LOGS_OTLP_ENDPOINT"),
    ),
    "https://vendor.example",
)
"""Variables that vendors' files need and that have no default."""


@pytest.fixture(autouse=True)
def _containers() -> None:
    require_containers()


def test_a_pod_that_is_deleted_closes_each_connection_once(
    tmp_path: Path, redis_server: RedisServer
) -> None:
    """SIGTERM: robots are released with 1012, the process ends with 0 within the grace period."""
    pod = _pod(tmp_path, redis_server.url)
    with pod.running(entrypoint("service")), _robots(pod, 3) as robots:
        wait_until(lambda: pod.probe("readinessProbe"), "it is ready")
        assert pod.probe("livenessProbe")
        assert pod.terminate() == 0
        assert [_close_code(robot) for robot in robots] == [1012] * 3
    assert _closings(redis_server) == Counter(server_shutdown=3)


def test_a_pod_that_drains_is_alive_and_not_ready(
    tmp_path: Path, redis_server: RedisServer
) -> None:
    """SIGTERM: new robots go elsewhere at once, while those that are here are still served."""
    pod = _pod(tmp_path, redis_server.url, "drainSeconds=6")
    with pod.running(entrypoint("service")) as running, _robots(pod, 4) as robots:
        wait_until(lambda: pod.probe("readinessProbe"), "it is ready")
        assert running.process is not None
        running.process.terminate()
        wait_until(lambda: not pod.probe("readinessProbe"), "readiness is off", 4)
        assert pod.probe("livenessProbe")
        assert not pod.ended
        assert any(robot.close_code is None for robot in robots)
        assert running.process.wait(pod.grace) == 0
        assert [_close_code(robot) for robot in robots] == [1012] * 4


def test_events_that_redis_did_not_take_are_on_the_volume(tmp_path: Path) -> None:
    """Redis is away, the pod is deleted, and the next pod of that name replays the spool."""
    (tmp_path / "redis").mkdir()
    redis = RedisServer(tmp_path / "redis")
    redis.start()
    pod = _pod(tmp_path, redis.url)
    try:
        with pod.running(entrypoint("service")):
            redis.kill()
            with _robots(pod, 2):
                assert pod.terminate() == 0
        redis.start()
        with pod.running(entrypoint("service")):
            wait_until(lambda: _closings(redis).total() == 2, "the spool is replayed")
        assert _closings(redis) == Counter(server_shutdown=2)
    finally:
        redis.kill()


def test_a_killed_pod_is_reported_by_the_next(tmp_path: Path) -> None:
    """Out of memory: the connections of the dead container are closed with `server_lost`, once."""
    (tmp_path / "redis").mkdir()
    redis = RedisServer(tmp_path / "redis")
    redis.start()
    pod = _pod(tmp_path, redis.url, 'settings={"CHARTER_LEASE_SECONDS": 1}')
    try:
        with pod.running(entrypoint("service")), _robots(pod, 2):
            wait_until(lambda: Redis.from_url(redis.url).xlen("{charter}:events") >= 2, "published")
            pod.kill()
        with pod.running(entrypoint("service")):
            wait_until(lambda: _closings(redis).total() == 2, "the orphans are closed")
        assert _closings(redis) == Counter(server_lost=2)
    finally:
        redis.kill()


def test_any_user_id_will_do(tmp_path: Path, redis_server: RedisServer) -> None:
    """The platform chooses a user that has neither a name nor a home, and only volumes to write."""
    unset = "podSecurityContext.runAsUser=null", "podSecurityContext.fsGroup=null"
    pod = _pod(tmp_path, redis_server.url, *unset, user=1_000_650_000)
    with pod.running(entrypoint("service")):
        assert pod.probe("readinessProbe")
        assert pod.terminate() == 0


def test_redis_runs_as_the_chart_starts_it(tmp_path: Path) -> None:
    """It keeps each event before it says so, evicts none, and asks for its password."""
    objects = chart('redis.passwordSecretName="redis"')
    pod = Pod(objects, "fleet-charter-otel-redis", tmp_path, {("redis", "password"): "p4ss"})
    port = free_port()
    # The usual port is somebody else's on a machine that runs tests.
    command = [redis_binary(), *pod.command([])[1:], "--port", str(port)]
    process = pod.run(command, tmp_path / "output")
    client = Redis(port=port, password="p4ss", decode_responses=True)  # noqa: S106
    try:
        wait_until(lambda: _answers(client), "Redis answers")
        assert client.config_get("maxmemory-policy") == {"maxmemory-policy": "noeviction"}
        assert client.config_get("appendfsync") == {"appendfsync": "always"}
        assert list((tmp_path / "volumes" / "data").glob("appendonly*"))
    finally:
        process.terminate()
        process.wait(pod.grace)


@pytest.mark.parametrize(
    ("role", "vendor"),
    [("agent", ""), *[("gateway", name) for name in ("", *VENDORS)]],
)
def test_collectors_accept_what_the_chart_gives_them(
    tmp_path: Path, role: str, vendor: str
) -> None:
    """Files, variables and the list of gateways fit together, whatever the vendor."""
    binary = collector_binary()
    objects = chart(f'collector.vendor="{vendor}"', f"collector.env={json.dumps(ADDRESSES)}")
    pod = Pod(objects, f"fleet-charter-otel-{role}", tmp_path, image=[binary.parent])
    command, *options = pod.command([str(binary)])
    process = pod.run([command, "validate", *options], tmp_path / "output")
    assert process.wait(30) == 0, (tmp_path / "output").read_text()


def _pod(disk: Path, redis_url: str, *sets: str, user: int | None = None) -> Pod:
    url, port = json.dumps(redis_url), free_port()
    objects = chart(
        *("drainSeconds=1", f"eventStream.url={url}", f"containerPort={port}"),
        *("collector.enabled=false", *sets),
    )
    return Pod(objects, "fleet-charter-otel", disk, SECRETS, user)


@contextmanager
def _robots(pod: Pod, count: int) -> Iterator[list[ClientConnection]]:
    """Connect robots, each with a token of its own."""
    port = pod.container["ports"][0]["containerPort"]
    with ExitStack() as stack:
        yield [
            stack.enter_context(
                connect(
                    f"ws://127.0.0.1:{port}/api/telemetry/ws/robot_{number}",
                    subprotocols=[
                        Subprotocol(f"bearer.{sign(SECRET, f'robot_{number}', lifetime=60)}")
                    ],
                    proxy=None,
                )
            )
            for number in range(count)
        ]


def _close_code(robot: ClientConnection) -> int | None:
    with pytest.raises(ConnectionClosed):
        robot.recv(timeout=5)
    return robot.close_code


def _closings(server: RedisServer) -> Counter[str]:
    """Count the closed connections in the stream by reason."""
    entries: Any = Redis.from_url(server.url).xrange("{charter}:events")
    events = [json.loads(fields[b"event"]) for _, fields in entries]
    return Counter(
        event["payload"]["reason"]
        for event in events
        if event["type"] == "telemetry.connection_closed"
    )


def _answers(client: Redis) -> bool:
    try:
        return bool(client.ping())
    except ConnectionError:
        return False
