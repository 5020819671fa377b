"""The REST routes of missions and jobs, through Litestar."""

from collections.abc import AsyncIterator
from typing import Any

import httpx
import pytest
from litestar import Litestar
from litestar.exceptions import ValidationException
from litestar.testing import RequestFactory

from charter_otel.metrics import jobs, router
from charter_otel.metrics.jobs import aggregate_mission_metrics
from charter_otel.metrics.missions import MemoryMissions
from charter_otel.metrics.router import add_mission_entries, entry_schema, metrics_router
from charter_otel.service.problems import exception_handlers
from support.missions import OpenStore, entries, entry
from support.redis import RedisServer
from support.requests import requesting

MISSIONS = "/api/metrics/missions"

Client = httpx.AsyncClient


@pytest.fixture
async def client() -> AsyncIterator[Client]:
    """Yield a client of an app with the routes and problem details."""
    app = Litestar([metrics_router()], exception_handlers=exception_handlers())
    async with requesting(app) as client:
        yield client


async def test_one_entry_is_accepted(client: Client) -> None:
    """An object is an entry; the reply is 202 and says how many."""
    reply = await client.post(MISSIONS, content=entry())
    assert (reply.status_code, reply.json()) == (202, {"accepted": 1})
    assert await aggregate_mission_metrics() == 1


async def test_a_list_is_accepted_and_aggregated(client: Client) -> None:
    """Posted entries show in the aggregates after the next run."""
    missions: list[dict[str, Any]] = [
        {"mission_id": "m-1", "status": "completed", "robot_id": "robot_001", "duration_ms": 100},
        {"mission_id": "m-2", "status": "completed", "robot_id": "robot_001", "duration_ms": 300},
        {"mission_id": "m-3", "status": "failed", "robot_id": "robot_002", "timestamp": 12.5},
    ]
    reply = await client.post(MISSIONS, json=missions)
    assert reply.json() == {"accepted": 3}
    await aggregate_mission_metrics()
    report = (await client.get(MISSIONS)).json()
    assert report["entries_processed"] == 3
    assert report["malformed"] == 0
    assert report["by_status"]["completed"]["entries"] == 2
    assert report["by_status"]["completed"]["duration_ms"] == {
        "count": 2,
        "total": 400.0,
        "min": 100.0,
        "max": 300.0,
    }
    assert report["by_status"]["failed"]["last_seen_at"] == 12.5
    assert report["robots"]["total"] == 2
    assert report["robots"]["by_robot"]["robot_001"]["entries"] == 2


async def test_unknown_fields_are_ignored(client: Client) -> None:
    """A robot may send more than is asked for."""
    reply = await client.post(MISSIONS, content=entry(mood="cheerful"))
    assert reply.status_code == 202


@pytest.mark.parametrize(
    ("body", "detail"),
    [
        (b"{", "the body is not JSON"),
        (b"", "the body is not JSON"),
        (b"\xff\xfe", "the body is not JSON"),
        (b"7", "the body: expected `object | array`"),
        (b"{}", "the body: object missing required field `mission_id`"),
        (entry(duration_ms=-1), "field `duration_ms`: expected `float` >= 0"),
        (entry(robot_id="../etc"), "field `robot_id`: expected `str` matching"),
        (b"[" + entry() + b',{"mission_id":"m"}]', "entry 1: object missing"),
        (b"[" + entry() + b"," + entry(status=5) + b"]", "entry 1, field `status`: expected"),
        (b"[" + b",".join([entry()] * 10_001) + b"]", "the body: expected `array` of length"),
    ],
)
async def test_a_wrong_entry_is_named_and_nothing_is_accepted(
    client: Client, body: bytes, detail: str
) -> None:
    """The problem names index and field; the valid entries of the list are not taken either."""
    reply = await client.post(MISSIONS, content=body)
    assert reply.status_code == 400
    assert reply.headers["content-type"].startswith("application/problem+json")
    assert detail in reply.json()["detail"]
    assert await aggregate_mission_metrics() == 0


async def test_a_full_backlog_is_a_clear_refusal(client: Client) -> None:
    """503 says what is full, and Retry-After when to come again."""
    jobs.set_mission_store(MemoryMissions(capacity=1))
    reply = await client.post(MISSIONS, content=b"[" + b",".join(entries(2)) + b"]")
    assert reply.status_code == 503
    assert "wait for the aggregation job" in reply.json()["detail"]
    assert reply.headers["retry-after"] == "30"


async def test_a_redis_that_is_gone_is_a_clear_refusal(
    client: Client, mortal_redis: RedisServer, open_store: OpenStore
) -> None:
    """Reading and writing say that the store is not usable, and nothing of its address."""
    store = open_store(mortal_redis.url)
    jobs.set_mission_store(store)
    mortal_redis.kill()
    for reply in (await client.post(MISSIONS, content=entry()), await client.get(MISSIONS)):
        assert reply.status_code == 503
        assert "is not usable" in reply.json()["detail"]
        assert str(mortal_redis.port) not in reply.text


async def test_jobs_have_the_outcomes_of_their_runs(client: Client) -> None:
    """Before the first run there is no job; after it, all that a dashboard needs."""
    assert (await client.get("/api/metrics/jobs")).json() == []
    await aggregate_mission_metrics()
    (job,) = (await client.get("/api/metrics/jobs")).json()
    assert job["job_id"] == "aggregate_mission_metrics"
    assert job["last_outcome"] == "completed"
    assert job["last_started_at"] <= job["last_ended_at"] == job["last_success_at"]
    assert job["last_duration_ms"] >= 0
    assert job["next_run_at"] is None


async def test_handlers_are_plain_functions() -> None:
    """A test may call them without an app."""
    request = RequestFactory().post(data={"mission_id": "m-1", "status": "completed"})
    assert (await add_mission_entries(request)).accepted == 1


async def test_openapi_knows_the_body(client: Client) -> None:
    """The schema has the entry's fields, their types and limits."""
    schema = (await client.get("/schema/openapi.json")).json()
    operation = schema["paths"][MISSIONS]["post"]
    refers, many = operation["requestBody"]["content"]["application/json"]["schema"]["oneOf"]
    one = entry_schema()
    assert one["required"] == ["mission_id", "status"]
    assert one["properties"]["status"]["maxLength"] == 64
    assert many == {"type": "array", "items": refers, "maxItems": 10_000}


def test_a_list_that_is_too_long_is_counted_before_it_is_decoded(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Decoding 250,000 entries would keep the event loop for most of a second."""
    decoded: list[bytes] = []

    class Watched:
        def decode(self, body: bytes) -> object:
            decoded.append(body)
            return []

    monkeypatch.setattr(router, "_BODY", Watched())
    with pytest.raises(ValidationException, match="length"):
        router._parse(b"[" + b",".join([entry()] * 10_001) + b"]")
    assert decoded == []
    router._parse(b'{"mission_id": "' + b"{" * 20_000 + b'", "status": "s"}')
    assert len(decoded) == 1
