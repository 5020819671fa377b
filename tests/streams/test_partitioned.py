"""A partitioned stream: where events go, and what readers and subscribers see of it."""

import asyncio
import json
from collections import Counter
from collections.abc import AsyncIterator, Sequence
from contextlib import aclosing
from pathlib import Path
from typing import Any

import pytest

from charter_otel.charter import Event
from charter_otel.redis.slots import partition_of, prefixes
from charter_otel.streams import PartitionedStream, connect
from charter_otel.streams.redis.dead_letters import DeadLetters
from streams.backends import Seen, established, next_of, published, subscribe
from support.polling import eventually
from support.redis import RedisServer
from support.redis_sets import cluster

pytestmark = pytest.mark.timeout(60)

PARTITIONS = 3
ROBOTS = [f"robot_{number}" for number in range(10)]


@pytest.fixture
async def stream(server: RedisServer) -> AsyncIterator[PartitionedStream]:
    """Yield a stream in three partitions."""
    stream = PartitionedStream(server.url, PARTITIONS, redelivery_delay=0.005)
    yield stream
    await stream.stop(1)


async def test_each_source_has_one_partition_and_keeps_its_order(
    stream: PartitionedStream, server: RedisServer
) -> None:
    """All partitions are used; the events of a robot lie in one of them, in order."""
    events = await _publish(stream, 100)
    await published(stream, 100)
    lying = {prefix: _ids(server, f"{prefix}:events") for prefix in prefixes(PARTITIONS)}
    assert all(lying.values())
    for robot in ROBOTS:
        own = [event.id for event in events if event.payload["robot_id"] == robot]
        prefix = f"{{charter:{partition_of(robot, PARTITIONS)}}}"
        assert [event_id for event_id in lying[prefix] if event_id in set(own)] == own


async def test_a_subscriber_gets_every_event_once_and_each_source_in_order(
    stream: PartitionedStream,
) -> None:
    """The partitions are its own concern."""
    seen = subscribe(stream)
    events = await _publish(stream, 200)
    await seen.has(200)
    assert Counter(seen.ids) == Counter(event.id for event in events)
    assert _by_robot(seen.events) == _by_robot(events)
    (subscriber,) = stream.statistics().subscribers
    assert (subscriber.group, subscriber.delivered) == ("g", 200)


async def test_paging_gives_every_event_once(stream: PartitionedStream) -> None:
    """Each page begins after the last event of the page before, whatever partition that is in."""
    events = await _publish(stream, 100)
    await published(stream, 100)
    await _all_readable(stream, events)
    page = list(await stream.read(limit=100))
    assert Counter(e.id for e in page) == Counter(e.id for e in events)
    assert _by_robot(page) == _by_robot(events)
    paged = page[:1]
    while more := await stream.read(after=paged[-1].id, limit=7):
        paged += more
    assert paged == page


async def test_following_gives_every_event_as_it_comes(stream: PartitionedStream) -> None:
    """Live, and after an event by which one resumes, with nothing left out."""
    async with aclosing(stream.follow()) as before:  # type: ignore[type-var]
        first = await _publish(stream, 20)
        assert {event.id for event in await _take(before, 20)} == {event.id for event in first}
    async with aclosing(stream.follow()) as live:  # type: ignore[type-var]
        second = await _publish(stream, 20)
        assert {event.id for event in await _take(live, 20)} == {event.id for event in second}
    async with aclosing(stream.follow(after=first[-1].id)) as resumed:  # type: ignore[type-var]
        missing = {event.id for event in second}
        while missing:
            missing.discard((await next_of(resumed)).id)


async def test_events_on_disk_are_replayed_into_their_partition(
    server: RedisServer, tmp_path: Path
) -> None:
    """Through an outage and a restart nothing is lost, and the ledger adds up."""
    stream = PartitionedStream(server.url, PARTITIONS, spool=tmp_path)
    await stream.start()
    await eventually(lambda: stream.statistics().connected, "connected")
    server.kill()
    events = await _publish(stream, 60)
    await stream.stop(1)
    assert stream.statistics().spooled == 60
    server.start()
    successor = PartitionedStream(server.url, PARTITIONS, spool=tmp_path)
    await successor.start()
    try:
        await published(successor, 60)
        now = successor.statistics()
        assert (now.recovered, now.replayed, now.spooled, now.dropped) == (60, 60, 0, 0)
        lying = [i for prefix in prefixes(PARTITIONS) for i in _ids(server, f"{prefix}:events")]
        assert Counter(lying) == Counter(event.id for event in events)
    finally:
        await successor.stop(1)


async def test_dead_letters_say_which_partition_they_are_in_and_are_replayed(
    server: RedisServer,
) -> None:
    """Each is listed with the number of its partition, and goes back to its group."""
    stream = PartitionedStream(server.url, PARTITIONS, max_deliveries=1)
    seen = Seen()
    seen.failures = len(ROBOTS)
    stream.subscribe("*", group="g")(seen)
    try:
        await _publish(stream, len(ROBOTS))
        await eventually(lambda: _dead_lettered(stream) == len(ROBOTS), "all are given up")
        async with DeadLetters.at(server.url, PARTITIONS) as dead_letters:
            found = [each async for each in dead_letters.each("g")]
            assert {each.id.partition("/")[0] for each in found} == {"0", "1", "2"}
            for each in found:
                assert await dead_letters.replay(each.id) == "replayed"
            assert await dead_letters.replay("7/1-1") == "unknown"
            assert await dead_letters.replay("1-1") == "unknown"
        await seen.has(2 * len(ROBOTS))
    finally:
        await stream.stop(1)


async def test_the_partitions_lie_on_the_nodes_of_a_cluster(tmp_path: Path) -> None:
    """Each partition goes to the node that has its slot, and all come to the subscriber."""
    with cluster(tmp_path) as servers:
        stream = PartitionedStream(servers.url, PARTITIONS)
        seen = subscribe(stream)
        try:
            events = await _publish(stream, 100)
            await seen.has(100)
            assert _by_robot(seen.events) == _by_robot(events)
        finally:
            await stream.stop(1)
        holding = [server for server in servers.servers if server.command("DBSIZE")]
        assert len(holding) > 1


async def test_one_partition_has_the_layout_without_partitions(server: RedisServer) -> None:
    """Without the setting the stream is the one that the contract names."""
    assert prefixes(1) == ["{charter}"]
    assert not isinstance(connect(server.url), PartitionedStream)
    assert isinstance(connect(server.url, partitions=2), PartitionedStream)


@pytest.mark.parametrize("number", [0, -1, 65])
def test_a_wrong_number_is_refused(number: int) -> None:
    """The error says how many there may be."""
    with pytest.raises(ValueError, match="1 to 64 partitions"):
        connect("redis://h", partitions=number)


async def _publish(stream: PartitionedStream, count: int) -> list[Event]:
    await stream.start()
    events = [established(ROBOTS[number % len(ROBOTS)]) for number in range(count)]
    for event in events:
        stream.publish_nowait(event)
    return events


async def _all_readable(stream: PartitionedStream, events: Sequence[Event]) -> None:
    """Wait until all events can be read."""
    deadline = asyncio.get_running_loop().time() + 5
    while len(await stream.read(limit=len(events))) < len(events):
        assert asyncio.get_running_loop().time() < deadline
        await asyncio.sleep(0.01)


async def _take(events: AsyncIterator[Event], count: int) -> list[Event]:
    return [await next_of(events) for _ in range(count)]


def _by_robot(events: Sequence[Event]) -> dict[str, list[str]]:
    return {
        robot: [event.id for event in events if event.payload["robot_id"] == robot]
        for robot in ROBOTS
    }


def _dead_lettered(stream: PartitionedStream) -> int:
    return sum(subscriber.dead_lettered for subscriber in stream.statistics().subscribers)


def _ids(server: RedisServer, key: str) -> list[str]:
    with server.client() as client:
        entries: Any = client.xrange(key)
    return [json.loads(fields[b"event"])["id"] for _, fields in entries]
