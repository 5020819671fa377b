"""`serve --workers`: processes on one port that are instances of one service."""

import os
import signal
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path

import pytest
from websockets.sync.client import ClientConnection, connect

from cli.commands import run
from support.instances import variables
from support.polling import wait_until
from support.ports import free_port
from support.redis import RedisServer
from support.robots import READING
from support.service import ServiceProcess, service, service_at

ESTABLISHED = "/api/events?type=telemetry.connection_established&limit=100"


@contextmanager
def _workers(server: RedisServer, state: Path, **more: str) -> Iterator[ServiceProcess]:
    settings = variables(server.url) | {
        "CHARTER_LOG_FORMAT": "json",
        "CHARTER_STATE_DIR": str(state),
        **more,
    }
    with service("--workers", "2", **settings) as running:
        wait_until(lambda: len(_started(running)) == 2, "both workers serve")
        yield running


def _started(running: ServiceProcess) -> list[dict[str, object]]:
    return [line for line in running.lines() if line["event"] == "service started"]


def _pids(running: ServiceProcess) -> set[int]:
    """Return the children of the supervisor; a minimal Debian has no ``ps``."""
    parent = str(running.process.pid)
    found = set()
    for stat in Path("/proc").glob("[0-9]*/stat"):
        with suppress(OSError):
            fields = stat.read_text().rpartition(")")[2].split()
            if fields[1] == parent:
                found.add(int(stat.parent.name))
    return found


@contextmanager
def _robots(running: ServiceProcess, count: int) -> Iterator[list[ClientConnection]]:
    url = f"{running.websocket}/api/telemetry/ws/robot_"
    with ExitStack() as stack:
        robots = [
            stack.enter_context(connect(f"{url}{n}?ack=1", proxy=None, compression=None))
            for n in range(count)
        ]
        for robot in robots:
            robot.send(READING)
            robot.recv(timeout=10)
        yield robots


def _cut(robots: list[ClientConnection]) -> int:
    """Count the robots whose connection ended without a close frame of either side."""
    ended = [robot.protocol for robot in robots if not robot.recv_events_thread.is_alive()]
    return sum(each.close_sent is None and each.close_rcvd is None for each in ended)


def _close_code(robot: ClientConnection) -> int | None:
    robot.recv_events_thread.join(10)
    return robot.close_code


def _reasons(running: ServiceProcess) -> list[str]:
    closed = running.events("telemetry.connection_closed")
    return [str(event["payload"]["reason"]) for event in closed]


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGHUP, signal.SIGINT])
def test_a_signal_ends_all_workers_cleanly(
    mortal_redis: RedisServer, tmp_path: Path, number: signal.Signals
) -> None:
    """Each robot's close is told once, on one log, and the exit code is 0."""
    with _workers(mortal_redis, tmp_path / "state") as running, _robots(running, 12) as robots:
        wait_until(lambda: len(running.get("/api/telemetry/robots")) == 12, "each knows all")
        assert running.stop(number) == 0
        assert _reasons(running) == ["server_shutdown"] * 12
        assert {_close_code(robot) for robot in robots} == {1012}
    assert {path.name for path in (tmp_path / "state").iterdir()} == {"worker-1", "worker-2"}


def test_a_worker_that_dies_gets_a_successor(mortal_redis: RedisServer, tmp_path: Path) -> None:
    """Its robots are told as lost, once each, and the port never stops being served."""
    with _workers(mortal_redis, tmp_path / "state") as running, _robots(running, 12) as robots:
        wait_until(lambda: len(running.get(ESTABLISHED)) == 12, "the stream has each connection")
        before = _pids(running)
        victim = min(before)
        os.kill(victim, signal.SIGKILL)
        wait_until(lambda: len(_started(running)) == 3, "a new worker serves", 30)
        assert len(_pids(running) - before) == 1
        (line,) = [line for line in running.lines() if line["event"] == "worker died"]
        assert line["exit_code"] == -signal.SIGKILL
        assert running.get("/healthz") == {"status": "ok"}
        wait_until(lambda: 0 < _cut(robots) == _reasons(running).count("server_lost"), "told", 60)
        lost = _cut(robots)
        assert running.stop() == 0
        reasons = _reasons(running)
    assert sorted(reasons) == ["server_lost"] * lost + ["server_shutdown"] * (12 - lost)


def test_workers_end_with_their_supervisor(mortal_redis: RedisServer, tmp_path: Path) -> None:
    """A supervisor that is killed leaves nobody behind on the port."""
    with _workers(mortal_redis, tmp_path / "state") as running:
        pids = _pids(running)
        running.process.kill()
        running.process.wait()
        wait_until(lambda: not any(Path(f"/proc/{pid}").exists() for pid in pids), "ended", 20)


def test_workers_share_a_redis_or_do_not_start() -> None:
    """The refusal says what to set."""
    ended = run("serve", "--workers", "2", "--port", "0")
    assert ended.returncode != 0
    assert "set CHARTER_EVENT_STREAM=redis://" in ended.stderr


def test_a_port_that_is_served_is_not_shared_with_strangers(mortal_redis: RedisServer) -> None:
    """A second service on the port is refused, though its workers could share it."""
    port, settings = free_port(), variables(mortal_redis.url)
    with service_at(port, **settings):
        ended = run("serve", "--workers", "2", "--port", str(port), variables=settings)
    assert ended.returncode != 0
    assert "cannot listen" in ended.stderr
