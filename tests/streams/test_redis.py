"""The content of Redis, and the events that are read from it."""

import asyncio
import json
from collections.abc import Container

import pytest

from charter_otel.charter import encode
from charter_otel.redis.commands import RawEntry
from charter_otel.redis.script import Script
from charter_otel.streams import RedisStream
from charter_otel.streams.history import Located
from charter_otel.streams.redis import reader
from charter_otel.streams.redis.layout import StreamKeys
from streams.backends import RedisBackend, established, next_of, published, started, subscribe
from support.polling import eventually

pytestmark = pytest.mark.timeout(30)

TRACEPARENT = f"00-{'a' * 32}-{'b' * 16}-01"


async def test_a_stock_client_sees_exactly_the_envelope(redis_backend: RedisBackend) -> None:
    """XRANGE shows one field with the envelope's JSON, and the trace context where there is one."""
    stream = redis_backend.make()
    await stream.start()
    one, two = started("a"), established("r1")
    stream.publish_nowait(one)
    stream.publish_nowait(two, traceparent=TRACEPARENT)
    await published(stream, 2)
    entries = [fields for _, fields in redis_backend.entries()]
    assert entries == [
        {b"event": encode(one)},
        {b"event": encode(two), b"traceparent": TRACEPARENT.encode()},
    ]
    assert json.loads(entries[0][b"event"])["id"] == one.id


async def test_all_keys_share_the_hash_tag(redis_backend: RedisBackend) -> None:
    """Every key that is ever made lies in one slot of a cluster."""
    stream = redis_backend.make(prefix="{fleet-7}", max_deliveries=1)
    seen = subscribe(stream)
    seen.failures = 1
    await stream.start()
    for at_ms in (1_700_000_000_000, 1_700_000_060_000):
        stream.publish_nowait(started("a", at_ms=at_ms))
    await seen.has(2)
    await eventually(lambda: stream.statistics().subscribers[0].dead_lettered, "a dead letter")
    await stream.stop(1)
    keys = redis_backend.server.command("KEYS", "*")
    assert isinstance(keys, list)
    assert sorted(keys) == [
        b"{fleet-7}:events",
        b"{fleet-7}:events:dead",
        b"{fleet-7}:published:28333333",
        b"{fleet-7}:published:28333334",
    ]


@pytest.mark.parametrize("prefix", ["charter", "{}", "{a}{b}", "", "{a", "x}{"])
def test_a_prefix_without_one_hash_tag_is_refused(prefix: str) -> None:
    """A prefix that would spread the keys over a cluster is an error."""
    with pytest.raises(ValueError, match="hash tag"):
        StreamKeys(prefix)


async def test_a_dead_letter_holds_event_error_and_deliveries(redis_backend: RedisBackend) -> None:
    """The dead letter holds the event, its group, the error, the deliveries, and its entry."""
    stream = redis_backend.make(max_deliveries=2)
    seen = subscribe(stream)
    seen.failures = 2
    await stream.start()
    event = started("a")
    stream.publish_nowait(event)
    await eventually(lambda: stream.statistics().subscribers[0].dead_lettered, "a dead letter")
    [(entry_id, _)] = redis_backend.entries()
    [(_, dead_letter)] = redis_backend.entries("{charter}:events:dead")
    assert dead_letter == {
        b"event": encode(event),
        b"group": b"g",
        b"error": b"RuntimeError: told to fail",
        b"deliveries": b"2",
        b"entry": entry_id,
    }
    pending = redis_backend.server.command("XPENDING", "{charter}:events", "g")
    assert isinstance(pending, list)
    assert pending[0] == 0


async def test_the_stream_keeps_its_length(redis_backend: RedisBackend) -> None:
    """The stream is trimmed to about its length, and remembered ids expire."""
    stream = redis_backend.make(max_length=100)
    await stream.start()
    event = started("a")
    stream.publish_nowait(event)
    for n in range(1000):
        stream.publish_nowait(started(f"job-{n}"))
    await published(stream, 1001)
    assert 100 <= len(redis_backend.entries()) <= 300
    key = StreamKeys().published(int(event.id.split("_")[2]) // 60_000)
    ttl = redis_backend.server.command("TTL", key)
    assert isinstance(ttl, int)
    assert 3590 < ttl <= 3600


async def test_events_of_other_processes_can_be_read_and_followed(
    redis_backend: RedisBackend,
) -> None:
    """One process sees what another publishes, the past included."""
    writer, reader = redis_backend.make(), redis_backend.make()
    await writer.start()
    past = started("past")
    writer.publish_nowait(past)
    await published(writer, 1)
    assert list(await reader.read()) == [past]
    await reader.start()
    await eventually(lambda: reader.statistics().connected, "connected")
    following = reader.follow()
    task = asyncio.ensure_future(next_of(following))
    event = started("now")
    writer.publish_nowait(event)
    assert await task == event
    assert list(await reader.read()) == [past, event]


async def test_followers_need_no_connection_each(redis_backend: RedisBackend) -> None:
    """A hundred followers cost one connection together, and all get the event."""
    stream = redis_backend.make()
    await stream.start()
    await eventually(lambda: stream.statistics().connected, "connected")
    followers = [asyncio.ensure_future(next_of(stream.follow())) for _ in range(100)]
    event = started("a")
    stream.publish_nowait(event)
    assert await asyncio.gather(*followers) == [event] * 100
    clients = redis_backend.server.command("CLIENT", "LIST")
    assert isinstance(clients, bytes)
    assert clients.count(b"\n") <= 5


async def test_reading_goes_back_beyond_what_was_preloaded(redis_backend: RedisBackend) -> None:
    """A rare type is found far behind the ring, and a resume from the beginning has no gap."""
    writer = redis_backend.make()
    await writer.start()
    rare = established("r1")
    events = [rare, *(started(f"job-{n}") for n in range(1500))]
    for event in events:
        writer.publish_nowait(event)
    await published(writer, 1501)
    stream = redis_backend.make(history=50)
    await stream.start()
    await eventually(lambda: stream.statistics().connected, "connected")
    types = frozenset({"telemetry.connection_established"})
    assert list(await stream.read(types=types)) == [rare]
    assert list(await stream.read(after=rare.id, limit=1200)) == events[1:1201]
    following = stream.follow(after=rare.id)
    assert [await next_of(following) for _ in events[1:]] == events[1:]


async def test_a_search_for_a_rare_type_is_bounded_and_gives_the_loop_away(
    redis_backend: RedisBackend, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It looks at so many entries, and between two pages of them everything else goes on."""
    decoded, turns = list[int](), list[int]()

    async def others() -> None:
        while True:
            turns.append(len(decoded))
            await asyncio.sleep(0)

    def events(entries: list[RawEntry], types: Container[str]) -> list[Located]:
        decoded.append(len(entries))
        return real(entries, types)

    real = reader._events
    monkeypatch.setattr(reader, "_events", events)
    monkeypatch.setattr(reader, "SCANNED", 1_000)
    stream = redis_backend.make()
    with redis_backend.server.client() as client, client.pipeline() as pipeline:
        for event in [established("r1"), *[started("job")] * 3_000]:
            pipeline.xadd("{charter}:events", {"event": encode(event)})
        first, *_ = pipeline.execute()
    other = asyncio.create_task(others())
    types = frozenset({"telemetry.connection_established"})
    assert list(await stream.read(types=types)) == []
    assert sum(decoded) == 1_000
    before = started("before", at_ms=int(first.partition(b"-")[0]) - 60_000)
    found = await stream.read(after=before.id, types=types)
    other.cancel()
    assert [event.payload["robot_id"] for event in found] == ["r1"]
    assert max(decoded) <= 500
    assert set(range(len(decoded))) <= set(turns), "the others had a turn after each page"


async def test_a_forgotten_event_id_still_resumes(redis_backend: RedisBackend) -> None:
    """When Redis has forgotten where an event is, its time stands in, and what is held is exact."""
    stream = redis_backend.make()
    await stream.start()
    events = [started(f"job-{n}") for n in range(5)]
    for event in events:
        stream.publish_nowait(event)
    await published(stream, 5)
    for key in redis_backend.server.command("KEYS", "*published*"):  # type: ignore[attr-defined]
        redis_backend.server.command("DEL", key)
    await eventually(lambda: stream._history.end == 5, "the history is filled")  # type: ignore[attr-defined]
    assert list(await stream.read(after=events[1].id)) == events[2:]
    fresh = redis_backend.make()
    found = {event.id for event in await fresh.read(after=events[1].id)}
    assert found >= {event.id for event in events[2:]}


async def test_a_follower_misses_nothing_although_the_tail_is_late(
    redis_backend: RedisBackend,
) -> None:
    """This process's first event is new to its followers, however late the tail begins."""
    stream = redis_backend.make()
    assert isinstance(stream, RedisStream)
    session = stream._tail.session

    async def late() -> None:
        await published(stream, 1)
        await session()

    stream._tail.session = late  # type: ignore[method-assign]
    await stream.start()
    following = stream.follow()
    event = started("a")
    stream.publish_nowait(event)
    assert await next_of(following) == event


async def test_an_entry_becomes_a_dead_letter_once(redis_backend: RedisBackend) -> None:
    """Giving up an entry that is not pending any more adds no second dead letter."""
    server = redis_backend.server
    server.command("XGROUP", "CREATE", "s", "g", "0", "MKSTREAM")
    entry = server.command("XADD", "s", "*", "event", "x")
    assert isinstance(entry, bytes)
    server.command("XREADGROUP", "GROUP", "g", "c", "STREAMS", "s", ">")
    stream = redis_backend.make()
    assert isinstance(stream, RedisStream)
    dead_letter, client = Script("charter_otel.streams.redis", "dead_letter"), stream._clients[0]
    for pending in (1, 0):
        assert await dead_letter(client, ["s", "d"], "g", entry, 10, "event", "x") == pending
    assert len(redis_backend.entries("d")) == 1
