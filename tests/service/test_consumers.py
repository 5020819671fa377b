"""The consumers *status* and *analytics* over REST: events in, picture out."""

from collections.abc import Iterator, Sequence
from typing import Any

import httpx
import pytest
from litestar import Litestar
from litestar.testing import TestClient

from charter_otel import CharterPlugin
from charter_otel.charter import Event, create
from charter_otel.consumers import Analytics, Consumer, Status
from charter_otel.metrics.jobs import JOB_ID
from charter_otel.service.settings import Settings
from charter_otel.tokens import sign
from support.apps import make_app
from support.events import PAYLOADS
from support.instances import instances, variables
from support.polling import wait_until
from support.redis import RedisServer
from support.requests import requesting
from support.service import ServiceProcess, service

STARTED = "metrics.aggregation_started"
COMPLETED = "metrics.aggregation_completed"
ESTABLISHED = "telemetry.connection_established"
CLOSED = "telemetry.connection_closed"
PUBLISHED = "telemetry.metrics_published"
ROUTES = ("/api/consumers/status", "/api/consumers/analytics")
SECRET = "s" * 32
ONE_RUN = {"CHARTER_AGGREGATION_INTERVAL": "86400", "CHARTER_CONSUMERS": "status"}
"""A schedule of which only the first slot comes about."""


def event(event_type: str, **payload: Any) -> Event:
    """Make an event like the specification's example."""
    return create(event_type, PAYLOADS[event_type] | payload)


def application(own: Sequence[Consumer] = (), **settings: Any) -> Litestar:
    """Make an application with these consumers, beside those of the settings."""
    plugin = CharterPlugin(Settings(**settings), consumers=own)
    return make_app(plugins=[plugin])


async def ask(path: str, *events: Event) -> httpx.Response:
    """Ask an application whose consumers know these events."""
    board, analytics = Status(), Analytics()
    for known in events:
        board.apply(known)
        if known.type in analytics.types:
            analytics.apply(known)
    async with requesting(application([board, analytics])) as client:
        return await client.get(f"/api/consumers/{path}")


@pytest.fixture
def client() -> Iterator[TestClient[Litestar]]:
    """Yield a client of an application that runs, with both consumers."""
    app = application(consumers=("status", "analytics"), aggregation_interval=86_400.0)
    with TestClient(app) as client:
        yield client


def test_a_robot_s_events_are_on_the_board_and_in_the_statistics(
    client: TestClient[Litestar],
) -> None:
    """A robot comes, its reading is read, it goes; the job has run: both routes show it."""

    def board() -> Any:
        return client.get("/api/consumers/status").json()

    with client.websocket_connect("/api/telemetry/ws/robot_001") as robot:
        robot.send_json(PAYLOADS[PUBLISHED]["metrics"])
        robot.send_json({"type": "ping"})
        robot.receive_json()
        client.get("/api/telemetry/robots/robot_001/metrics")
        wait_until(lambda: board()["active_connections"] == 1, "the robot online")
    wait_until(lambda: board()["active_connections"] == 0, "the robot offline")
    (seen,) = board()["robots"]
    assert (seen["robot_id"], seen["status"]) == ("robot_001", "offline")
    assert seen["metrics"] == PAYLOADS[PUBLISHED]["metrics"]
    assert [(job["job_id"], job["status"]) for job in board()["jobs"]] == [(JOB_ID, "completed")]
    wait_until(lambda: client.get("/api/consumers/analytics").json()["reasons"], "the reason")
    fleet = client.get("/api/consumers/analytics").json()
    assert fleet["jobs"][JOB_ID]["duration_ms"]["size"] == 1
    assert fleet["connections"]["size"] == 1
    one = client.get("/api/consumers/analytics?robot_id=robot_001").json()
    assert [point["battery_percentage"] for point in one["readings"]] == [78.0]


async def test_the_board_shows_the_most_recent_robots() -> None:
    """At most so many, the latest first; all that are online count."""
    robots = [
        event(ESTABLISHED, robot_id=name, connection_id=f"ws_{name}") for name in ("a", "b", "c")
    ]
    jobs = [event(STARTED, job_id=name) for name in ("x", "y", "z", "x")]
    answer = (await ask("status?limit=2", *robots, *jobs)).json()
    assert [robot["robot_id"] for robot in answer["robots"]] == ["c", "b"]
    assert [job["job_id"] for job in answer["jobs"]] == ["x", "z"]
    assert answer["active_connections"] == 3


async def test_the_statistics_are_of_the_jobs_that_completed_last() -> None:
    """At most so many jobs, the latest first; how long connections lasted, and why they ended."""
    events = [event(COMPLETED, job_id=name, duration_ms=500.0) for name in ("x", "y")]
    events += [
        event(CLOSED, duration_seconds=seconds, reason="superseded") for seconds in (1.0, 3.0)
    ]
    answer = (await ask("analytics?limit=1", *events)).json()
    assert list(answer["jobs"]) == ["y"]
    assert answer["jobs"]["y"]["duration_ms"]["p50"] == 500
    assert (answer["connections"]["mean"], answer["reasons"]) == (2, {"superseded": 2})


async def test_one_robot_s_readings_and_trends() -> None:
    """Its connections, its latest readings, and their change per hour; no other robot's."""
    metrics = PAYLOADS[PUBLISHED]["metrics"]
    events = [
        event(
            PUBLISHED,
            robot_id="a",
            published_at=60.0 * minute,
            metrics=metrics | {"battery_percentage": 80.0 - minute},
        )
        for minute in range(4)
    ]
    events += [event(CLOSED, robot_id="a", duration_seconds=7.0), event(CLOSED, robot_id="b")]
    answer = (await ask("analytics?robot_id=a", *events)).json()
    assert (answer["robot_id"], answer["connections"]["maximum"]) == ("a", 7)
    assert [point["battery_percentage"] for point in answer["readings"]] == [80, 79, 78, 77]
    assert answer["trends"]["battery_percentage"] == pytest.approx(-60)
    assert answer["trends"]["cpu_usage"] == 0


async def test_an_unknown_robot_has_an_empty_picture() -> None:
    """Asking for it is not an error."""
    answer = await ask("analytics?robot_id=nobody")
    assert (answer.status_code, answer.json()["readings"]) == (200, [])
    assert set(answer.json()["trends"].values()) == {None}


async def test_numbers_at_the_end_of_the_range_make_no_error() -> None:
    """Values that no robot measures are sent by a hostile one: the answer stays finite."""
    metrics = PAYLOADS[PUBLISHED]["metrics"] | {"network_latency_ms": 1.7e308}
    events = [
        event(PUBLISHED, robot_id="a", metrics=metrics, published_at=at) for at in (0, 5e-324)
    ]
    events += [event(PUBLISHED, robot_id="a", metrics=metrics, published_at=1.7e308)] * 2
    events += [event(CLOSED, robot_id="a", duration_seconds=1.7e308)] * 3
    events += [event(COMPLETED, job_id="x", duration_ms=1.7e308)] * 2
    events += [event(COMPLETED, job_id="y", duration_ms=5e-321, entries_processed=2**53 - 1)]
    fleet, robot = await ask("analytics", *events), await ask("analytics?robot_id=a", *events)
    assert (fleet.status_code, robot.status_code) == (200, 200)
    assert fleet.json()["connections"]["mean"] == 1e15
    assert fleet.json()["jobs"]["y"]["entries_per_second"] == 1e15


@pytest.mark.parametrize(
    ("query", "field"),
    [
        ("status?limit=0", "limit"),
        ("status?limit=1001", "limit"),
        ("analytics?limit=x", "limit"),
        ("analytics?robot_id=-", "robot_id"),
        ("analytics?robot_id=", "robot_id"),
        ("analytics?robot_id=a%0A", "robot_id"),
    ],
)
async def test_a_wrong_parameter_is_named(query: str, field: str) -> None:
    """The answer is a 400 that names the parameter."""
    answer = await ask(query)
    assert answer.status_code == 400
    assert [error["field"] for error in answer.json()["errors"]] == [field]


@pytest.mark.parametrize("path", ROUTES)
async def test_a_consumer_that_does_not_run_says_how_to_have_it(path: str) -> None:
    """The answer is a 404 that names the setting and the value."""
    async with requesting(application()) as client:
        answer = await client.get(path)
    name = path.rpartition("/")[2]
    assert answer.status_code == 404
    assert f"add {name} to CHARTER_CONSUMERS" in answer.json()["detail"]


@pytest.mark.parametrize("path", ROUTES)
@pytest.mark.parametrize(
    ("scopes", "status"), [(None, 401), ((), 403), (("write",), 403), (("read",), 200)]
)
async def test_it_takes_the_scope_read(
    path: str, scopes: tuple[Any, ...] | None, status: int
) -> None:
    """Once there is a secret, a token without the scope sees nothing."""
    headers = {}
    if scopes is not None:
        token = sign(SECRET, "somebody", scopes=scopes, lifetime=60)
        headers = {"Authorization": f"Bearer {token}"}
    app = application([Status(), Analytics()], auth_secret=SECRET)
    async with requesting(app) as client:
        assert (await client.get(path, headers=headers)).status_code == status


def test_each_instance_shows_the_runs_of_all(redis_server: RedisServer, redis_url: str) -> None:
    """Each instance's board shows the run of any; `/api/metrics/jobs` shows only its own."""
    with instances(1, redis_url, **ONE_RUN) as (first,):
        of_first = _run_of(first)
        wait_until(lambda: _on_board(first) == of_first, "its own run on the first's board")
        with service(**variables(redis_url), **ONE_RUN) as second:
            wait_until(lambda: _on_board(second) == of_first, "the first's run on the second's")
            assert not second.events(STARTED)
            assert {job["last_started_at"] for job in second.get("/api/metrics/jobs")} == {None}
        _free_the_slot(redis_server)
        with service(**variables(redis_url), **ONE_RUN) as third:
            of_third = _run_of(third)
            wait_until(lambda: _on_board(first) == of_third, "the third's run on the first's board")
            wait_until(lambda: _on_board(third) == of_third, "and on its own")


def _run_of(running: ServiceProcess) -> float:
    """Wait for the instance's one run, and give when it started."""
    wait_until(lambda: running.events(COMPLETED), "a run")
    (started,) = running.events(STARTED)
    started_at: float = started["payload"]["started_at"]
    return started_at


def _on_board(running: ServiceProcess) -> float | None:
    """Return when the completed run started that the board shows."""
    jobs = running.get("/api/consumers/status")["jobs"]
    return next((job["started_at"] for job in jobs if job["status"] == "completed"), None)


def _free_the_slot(server: RedisServer) -> None:
    with server.client() as client:
        slots: Any = client.keys(f"{{charter}}:jobs:{JOB_ID}:*")
        assert client.delete(*slots) == 1
