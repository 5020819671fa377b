"""The events over REST: the latest ones, and the same live as Server-Sent Events."""

import asyncio
from collections.abc import AsyncIterator, Container, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import httpx
import pytest
from litestar import Litestar

from charter_otel.charter import Event, create, decode
from charter_otel.service import events as rooms
from charter_otel.service.events import events_router
from charter_otel.service.openapi import openapi, openapi_config
from charter_otel.service.problems import MEDIA_TYPE, exception_handlers
from charter_otel.service.shutdown import ShutdownSignal
from charter_otel.service.sse import FollowResponse
from charter_otel.streams import EventStream, MemoryStream, RedisStream, StreamUnavailable
from support.apps import make_app
from support.events import PAYLOADS
from support.fake_time import settle
from support.polling import eventually
from support.redis import RedisServer
from support.requests import requesting
from support.servers import serving

STARTED = "metrics.aggregation_started"
CLOSED = "telemetry.connection_closed"
PUBLISHED = "telemetry.metrics_published"
WRONG_IN_BOTH = [
    (path, f"?{field}={value}", field)
    for path in ("", "/stream")
    for field, value in (
        ("type", "telemetry.exploded"),
        ("type", "telemetry"),
        ("after", "latest"),
        ("after", "evt_metrics_1703001234567_a1b2c3%0A"),
    )
]
ENVELOPE = ["id", "type", "source", "target", "timestamp", "payload", "meta"]


def published(stream: EventStream, *types: str) -> list[Event]:
    """Publish one event of each type, and give them."""
    made = [create(event_type, PAYLOADS[event_type]) for event_type in types]
    for event in made:
        stream.publish_nowait(event)
    return made


def build_app(
    stream: EventStream | None, stopping: ShutdownSignal | None = None, *, heartbeat: float = 15.0
) -> Litestar:
    """Make an app with the routes of the events only."""
    router = events_router(lambda: stream, stopping or ShutdownSignal(), heartbeat=heartbeat)
    return make_app(
        [router],
        exception_handlers=exception_handlers(),
        openapi_config=openapi_config(),
    )


@pytest.fixture
async def stream() -> AsyncIterator[MemoryStream]:
    """Yield a stream that runs."""
    stream = MemoryStream()
    await stream.start()
    yield stream
    await stream.stop()


async def get(stream: EventStream | None, query: str = "") -> httpx.Response:
    """Ask for events."""
    async with requesting(build_app(stream)) as client:
        return await client.get(f"/api/events{query}")


class Reader:
    """The client's side of an open response."""

    def __init__(self, response: httpx.Response) -> None:
        self.response = response
        self._lines = response.aiter_lines()

    async def block(self) -> dict[str, str]:
        """Return the fields of the next block; a comment's field has no name."""
        fields: dict[str, str] = {}
        async with asyncio.timeout(10):
            async for line in self._lines:
                if not line:
                    return fields
                name, _, value = line.partition(": ")
                fields[name.removesuffix(":")] = value
        return {"end": ""}

    async def event(self) -> Event:
        """Return the next event, whose fields agree with its envelope."""
        block = await self.block()
        event = decode(block["data"])
        assert (block["id"], block["event"]) == (event.id, event.type)
        return event


@asynccontextmanager
async def following(
    address: str, query: str = "", headers: dict[str, str] | None = None
) -> AsyncIterator[Reader]:
    """Follow the events of a server."""
    url = f"http://{address}/api/events/stream{query}"
    async with (
        httpx.AsyncClient(timeout=10) as client,
        client.stream("GET", url, headers=headers) as response,
    ):
        assert response.status_code == 200
        reader = Reader(response)
        assert await reader.block() == {"retry": "1000"}
        yield reader


async def silent() -> Any:
    """Receive nothing, as from a client that only listens."""
    await asyncio.Event().wait()


def sse_tasks() -> list[str]:
    """Name the tasks of open responses."""
    return [t.get_name() for t in asyncio.all_tasks() if t.get_name().startswith("charter sse")]


# -- the latest ones


async def test_events_are_envelopes_oldest_first(stream: MemoryStream) -> None:
    """The answer is a list of envelopes with exactly the seven fields, in the stream's order."""
    made = published(stream, STARTED, CLOSED, PUBLISHED)
    body = (await get(stream)).json()
    assert [event["id"] for event in body] == [event.id for event in made]
    assert [list(event) for event in body] == [ENVELOPE] * 3


@pytest.mark.parametrize(
    ("query", "types"),
    [
        ("?type=telemetry.connection_closed", [CLOSED]),
        ("?type=telemetry.*", [CLOSED, PUBLISHED]),
        (f"?type={STARTED}&type={CLOSED}", [STARTED, CLOSED]),
        (f"?type={STARTED},%20{CLOSED}", [STARTED, CLOSED]),
        ("?type=*", [STARTED, CLOSED, PUBLISHED]),
        ("?type=", [STARTED, CLOSED, PUBLISHED]),
    ],
)
async def test_types_are_chosen(stream: MemoryStream, query: str, types: list[str]) -> None:
    """`type` may be one, several, separated by commas, or a wildcard."""
    published(stream, STARTED, CLOSED, PUBLISHED)
    assert [event["type"] for event in (await get(stream, query)).json()] == types


async def test_limit_keeps_the_latest(stream: MemoryStream) -> None:
    """Without `after`, `limit` gives the latest events; 100 unless asked otherwise."""
    made = published(stream, *[STARTED] * 120)
    limited = (await get(stream, "?limit=2")).json()
    assert [event["id"] for event in limited] == [event.id for event in made[-2:]]
    assert len((await get(stream)).json()) == 100


async def test_after_gives_what_came_later(stream: MemoryStream) -> None:
    """`after` gives the first events after that one, so that a client can page forward."""
    made = published(stream, *[STARTED] * 5)
    page = (await get(stream, f"?after={made[1].id}&limit=2")).json()
    assert [event["id"] for event in page] == [made[2].id, made[3].id]


async def test_after_the_beginning_of_time_gives_all(stream: MemoryStream) -> None:
    """An id older than all gives the stream from its beginning."""
    made = published(stream, STARTED, CLOSED)
    page = (await get(stream, "?after=evt_metrics_0000000000000_000000&limit=1")).json()
    assert [event["id"] for event in page] == [made[0].id]


@pytest.mark.parametrize(
    ("path", "query", "field"),
    [
        *WRONG_IN_BOTH,
        ("", "?limit=0", "limit"),
        ("", "?limit=1001", "limit"),
        ("", "?limit=many", "limit"),
    ],
)
async def test_wrong_parameters_are_named(
    stream: MemoryStream, path: str, query: str, field: str
) -> None:
    """A wrong parameter is a 400 problem that names it."""
    async with requesting(build_app(stream)) as client:
        response = await client.get(f"/api/events{path}{query}")
    assert (response.status_code, response.headers["content-type"]) == (400, MEDIA_TYPE)
    assert [error["field"] for error in response.json()["errors"]] == [field]


@pytest.mark.parametrize("path", ["", "/stream"])
async def test_no_stream_is_a_problem_that_says_what_to_set(path: str) -> None:
    """Without an event stream the answer is 503 and names the variable."""
    async with requesting(build_app(None)) as client:
        response = await client.get(f"/api/events{path}")
    assert (response.status_code, response.headers["content-type"]) == (503, MEDIA_TYPE)
    assert "CHARTER_EVENT_STREAM" in response.json()["detail"]


@pytest.mark.parametrize("path", ["", "/stream"])
async def test_unreachable_redis_is_a_problem(tmp_path: Path, path: str) -> None:
    """A Redis that cannot be reached is a 503 that says when to try again."""
    server = RedisServer(tmp_path)
    stream = RedisStream(server.url)
    await stream.start()
    try:
        async with requesting(build_app(stream)) as client:
            response = await client.get(f"/api/events{path}")
    finally:
        await stream.stop()
    assert (response.status_code, response.headers["retry-after"]) == (503, "5")
    assert "Redis" in response.json()["detail"]


def test_routes_are_described() -> None:
    """Each route has a summary, a description, an operation id and its problems in OpenAPI."""
    paths = openapi(build_app(None))["paths"]
    for path in ("/api/events", "/api/events/stream"):
        operation = paths[path]["get"]
        assert operation["summary"]
        assert operation["description"]
        assert operation["operationId"]
        for status in ("400", "503"):
            assert list(operation["responses"][status]["content"]) == [MEDIA_TYPE]
    follow = paths["/api/events/stream"]["get"]
    assert list(follow["responses"]["200"]["content"]) == ["text/event-stream"]


# -- the same live


async def test_events_come_as_they_happen(stream: MemoryStream) -> None:
    """A follower gets each event from the moment of the answer on, as Server-Sent Event."""
    published(stream, STARTED)
    async with serving(build_app(stream)) as address, following(address) as reader:
        assert reader.response.headers["content-type"].startswith("text/event-stream")
        assert reader.response.headers["cache-control"] == "no-store"
        for event in published(stream, CLOSED, PUBLISHED):
            assert await reader.event() == event


async def test_follower_chooses_types(stream: MemoryStream) -> None:
    """`type` works on the live stream too."""
    app = build_app(stream)
    async with serving(app) as address, following(address, "?type=metrics.*") as reader:
        _, started = published(stream, CLOSED, STARTED)
        assert await reader.event() == started


async def test_follower_resumes_after_an_event(stream: MemoryStream) -> None:
    """`Last-Event-ID`, or else `after`, gives what came since, and then goes on live."""
    made = published(stream, *[STARTED] * 4)
    headers = {"Last-Event-ID": made[2].id}
    async with serving(build_app(stream)) as address:
        async with following(address, f"?after={made[0].id}") as reader:
            assert [await reader.event() for _ in range(3)] == made[1:]
        async with following(address, f"?after={made[0].id}", headers) as reader:
            assert await reader.event() == made[3]
            [live] = published(stream, CLOSED)
            assert await reader.event() == live


async def test_malformed_last_event_id_is_a_problem(stream: MemoryStream) -> None:
    """A `Last-Event-ID` that is not an event id is refused, and named."""
    async with requesting(build_app(stream)) as client:
        response = await client.get("/api/events/stream", headers={"Last-Event-ID": "42"})
    assert response.status_code == 400
    assert response.json()["errors"][0]["field"] == "Last-Event-ID"


async def test_silence_has_heartbeats(stream: MemoryStream) -> None:
    """Comments keep a silent connection open."""
    app = build_app(stream, heartbeat=0.02)
    async with serving(app) as address, following(address) as reader:
        assert [await reader.block() for _ in range(2)] == [{"": "heartbeat"}] * 2


async def test_client_that_goes_leaves_nothing(stream: MemoryStream) -> None:
    """When the client is gone, its tasks are, too."""
    stopping = ShutdownSignal()
    async with serving(build_app(stream, stopping)) as address:
        async with following(address):
            assert len(sse_tasks()) == 4
        await eventually(lambda: not sse_tasks(), "the tasks are gone")
        assert stopping.waiting == 0


async def test_open_responses_end_when_the_service_stops(stream: MemoryStream) -> None:
    """Followers are ended cleanly when the service is about to stop; the server need not wait."""
    stopping = ShutdownSignal()
    loop = asyncio.get_running_loop()
    async with serving(build_app(stream, stopping)) as address:
        async with following(address) as first, following(address) as second:
            stopping.begin()
            begun = loop.time()
            assert [await first.block(), await second.block()] == [{"end": ""}] * 2
            assert loop.time() - begun < 5
        assert sse_tasks() == []


async def test_open_responses_end_with_the_stream(stream: MemoryStream) -> None:
    """When the stream itself is stopped, the response ends instead of hanging."""
    async with serving(build_app(stream)) as address, following(address) as reader:
        await stream.stop()
        assert await reader.block() == {"end": ""}


async def test_followers_are_limited(stream: MemoryStream, monkeypatch: pytest.MonkeyPatch) -> None:
    """One follower too many is a 503; when another one goes, there is room again."""
    monkeypatch.setattr(rooms, "MAX_FOLLOWERS", 1)
    async with serving(build_app(stream)) as address:
        async with following(address), httpx.AsyncClient() as client:
            response = await client.get(f"http://{address}/api/events/stream")
            assert response.status_code == 503
            assert "try again later" in response.json()["detail"]
        await eventually(lambda: not sse_tasks(), "the first follower is gone")
        async with following(address):
            pass


async def test_followers_that_come_at_once_are_limited(
    stream: MemoryStream, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A place is taken where the limit is looked at, not when the answer begins."""
    monkeypatch.setattr(rooms, "MAX_FOLLOWERS", 5)
    answered: list[int] = []

    async def follow(address: str) -> None:
        async with (
            httpx.AsyncClient() as client,
            client.stream("GET", f"http://{address}/api/events/stream") as response,
        ):
            answered.append(response.status_code)
            await eventually(lambda: len(answered) == 40, "all are answered")

    async with serving(build_app(stream)) as address:
        await asyncio.gather(*(follow(address) for _ in range(40)))
    assert sorted(answered) == [200] * 5 + [503] * 35


class Slow(MemoryStream):
    """A stream in which what is asked for is hard to find."""

    def __init__(self) -> None:
        super().__init__()
        self.reading = 0

    async def read(
        self, *, after: str | None = None, types: Container[str] = frozenset(), limit: int = 100
    ) -> Sequence[Event]:
        """Look for a long time."""
        del after, types, limit
        self.reading += 1
        try:
            await asyncio.sleep(60)
        finally:
            self.reading -= 1
        return ()


async def test_a_question_that_takes_too_long_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    """The answer says how to ask for less, and nothing goes on behind it."""
    monkeypatch.setattr(rooms, "READ_WITHIN", 0.2)
    stream = Slow()
    async with serving(build_app(stream)) as address, httpx.AsyncClient() as client:
        response = await client.get(f"http://{address}/api/events")
    assert response.status_code == 503
    assert "few among many" in response.json()["detail"]
    assert stream.reading == 0


async def test_a_query_ends_with_its_client() -> None:
    """A client that hangs up leaves no work behind."""
    stream = Slow()
    async with serving(build_app(stream)) as address:
        asking = asyncio.create_task(_ask(address))
        await eventually(lambda: stream.reading, "it is looked for")
        asking.cancel()
        await eventually(lambda: not stream.reading, "nobody looks any more", within=5)


async def _ask(address: str) -> None:
    async with httpx.AsyncClient(timeout=60) as client:
        await client.get(f"http://{address}/api/events")


async def test_slow_client_holds_no_events(stream: MemoryStream) -> None:
    """While the client takes nothing, one event at most is on its way to it."""
    sent: list[bytes] = []
    taking = asyncio.Event()

    async def send(message: Any) -> None:
        sent.append(message.get("body", b""))
        if sent[-1].startswith(b"id:"):
            await taking.wait()

    response = FollowResponse(stream, ShutdownSignal())
    task = asyncio.create_task(response.send_body(send, silent))
    try:
        await eventually(lambda: sent, "the response has begun")
        made = published(stream, *[STARTED] * 1000)
        await eventually(lambda: len(sent) == 2, "the first event is on its way")
        await settle()
        assert len(sent) == 2
        taking.set()
        await eventually(lambda: len(sent) == 1 + len(made), "all events are taken")
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
    assert sse_tasks() == []


async def test_stream_that_is_lost_meanwhile_is_tried_again(
    stream: MemoryStream, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A follower outlives an outage of the stream: it goes on after the last event it sent."""
    monkeypatch.setattr("charter_otel.service.sse.RETRY_DELAY", 0.01)
    asked: list[str | None] = []
    made = published(stream, STARTED, CLOSED)

    class Flaky(MemoryStream):
        def follow(
            self, *, after: str | None = None, types: Container[str] = frozenset()
        ) -> AsyncIterator[Event]:
            del types
            asked.append(after)
            return self._some(made[len(asked) - 1 :])

        async def _some(self, rest: Sequence[Event]) -> AsyncIterator[Event]:
            for event in rest[:1]:
                yield event
            if len(rest) > 1:
                raise StreamUnavailable("gone for a moment")

    sent: list[bytes] = []

    async def send(message: Any) -> None:
        sent.append(message["body"])

    await FollowResponse(Flaky(), ShutdownSignal()).send_body(send, silent)
    assert asked == [None, made[0].id]
    assert [body[4:].split(b"\n")[0].decode() for body in sent[1:-1]] == [e.id for e in made]


async def test_redis_stream_is_followed(tmp_path: Path) -> None:
    """The same over a real Redis: nothing between the answer and the next event is missed."""
    server = RedisServer(tmp_path)
    server.start()
    stream = RedisStream(server.url)
    await stream.start()
    try:
        await eventually(lambda: stream.statistics().connected, "the stream is connected")
        async with serving(build_app(stream)) as address, following(address) as reader:
            made = published(stream, STARTED, CLOSED)
            assert [await reader.event(), await reader.event()] == made
        assert [e["id"] for e in (await get(stream)).json()] == [e.id for e in made]
    finally:
        await stream.stop()
        server.stop()
