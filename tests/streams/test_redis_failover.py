"""A Sentinel set and a cluster whose master fails, moves, or loses its replicas meanwhile."""

import asyncio
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from charter_otel.charter import Event
from charter_otel.streams import RedisStream, StreamUnavailable
from streams.backends import Seen, latest_is, published, started, subscribe
from support.certificates import make_certificate
from support.polling import eventually, wait_until
from support.redis import RedisServer
from support.redis_sets import REPLACING, REPLICATED, RedisSet, cluster, reshard, sentinel_set

pytestmark = pytest.mark.timeout(120)


async def test_a_failover_loses_no_event_and_brings_none_twice(redis_set: RedisSet) -> None:
    """The master is killed while events are published; all are in the stream, once, in order."""
    old = redis_set.master()
    events, seen = await _publish_through(redis_set, lambda: _replace(redis_set, old))
    assert _stored(redis_set.master()) == [event.id for event in events]
    assert sorted(set(seen.ids)) == sorted(event.id for event in events)


async def test_a_master_that_hands_over_is_followed(redis_set: RedisSet) -> None:
    """The old master lives on as a replica, and nothing more is said to it."""
    old = redis_set.master()
    events, seen = await _publish_through(redis_set, lambda: _hand_over(redis_set, old))
    assert redis_set.master() is not old
    assert _stored(redis_set.master()) == [event.id for event in events]
    assert sorted(set(seen.ids)) == sorted(event.id for event in events)


async def test_a_slot_that_moves_to_another_master_is_followed(tmp_path: Path) -> None:
    """A cluster is resharded while events are published: none is lost, none comes twice."""
    with cluster(tmp_path, replicas=1) as servers:
        old = servers.master()
        events, seen = await _publish_through(servers, lambda: reshard(servers))
        assert servers.master() is not old
        assert _stored(servers.master()) == [event.id for event in events]
        assert sorted(set(seen.ids)) == sorted(event.id for event in events)


@pytest.mark.parametrize("kind", REPLACING)
async def test_a_failover_is_followed_over_tls(kind: str, tmp_path: Path) -> None:
    """Servers that take no connection without TLS: Sentinels and nodes are asked through it too."""
    with REPLACING[kind](tmp_path, tls=make_certificate(tmp_path)) as servers:
        old = servers.master()
        events, seen = await _publish_through(servers, lambda: _replace(servers, old))
        assert _stored(servers.master()) == [event.id for event in events]
        assert sorted(set(seen.ids)) == sorted(event.id for event in events)


async def test_a_node_of_a_cluster_that_is_taken_for_a_server_says_what_to_write(
    tmp_path: Path,
) -> None:
    """redis:// and a cluster do not go together, and the error says what does."""
    with cluster(tmp_path) as servers:
        other = next(server for server in servers.servers if server is not servers.master())
        stream = RedisStream(other.url)
        with pytest.raises(StreamUnavailable, match=r"write redis\+cluster://"):
            await stream.read()
        await stream.stop()


async def test_a_server_that_is_taken_for_a_cluster_is_refused(server: RedisServer) -> None:
    """redis+cluster:// and a single server do not go together either."""
    stream = RedisStream(f"redis+cluster://127.0.0.1:{server.port}")
    with pytest.raises(StreamUnavailable, match="cluster support disabled"):
        await stream.read()
    await stream.stop()


async def test_a_name_that_the_sentinels_do_not_know_is_named(tmp_path: Path) -> None:
    """The error tells which master was asked for."""
    with sentinel_set(tmp_path) as servers:
        stream = RedisStream(servers.url.replace("mymaster", "fleet"))
        with pytest.raises(StreamUnavailable, match="No master found for 'fleet'"):
            await stream.read()
        await stream.stop()


async def test_an_event_counts_as_published_when_a_replica_has_it(
    server_directory: Path,
) -> None:
    """With replicas=1 events wait while the replica is away, and come once when it is back."""
    (server_directory / "replica").mkdir()
    master = RedisServer(server_directory, options=REPLICATED)
    replica = RedisServer(server_directory / "replica")
    stream = RedisStream(f"{master.url}?replicas=1")
    try:
        master.start()
        await stream.start()
        events = [started(f"job-{number}") for number in range(3)]
        for event in events:
            stream.publish_nowait(event)
        await eventually(lambda: stream.statistics().error, "the stream says why it waits")
        assert "0 of 1 replicas" in str(stream.statistics().error)
        assert stream.statistics().published == 0
        replica.start()
        replica.command("REPLICAOF", "127.0.0.1", master.port)
        await published(stream, 3)
        assert _stored(replica) == _stored(master) == [event.id for event in events]
    finally:
        await stream.stop(1)
        replica.kill()
        master.kill()


async def _publish_through(
    servers: RedisSet, change: Callable[[], object]
) -> tuple[list[Event], Seen]:
    """Publish 100 events a second while something happens to the servers, and 100 afterwards."""
    stream = RedisStream(f"{servers.url}{'&' if '?' in servers.url else '?'}replicas=1")
    seen = subscribe(stream)
    events: list[Event] = []

    async def publish(count: int) -> None:
        for _ in range(count):
            events.append(started(f"job-{len(events)}"))
            stream.publish_nowait(events[-1])
            await asyncio.sleep(0.01)

    await stream.start()
    try:
        await publish(100)
        await seen.has(100)
        changing = asyncio.create_task(asyncio.to_thread(change))
        while not changing.done():
            await publish(1)
        await changing
        await publish(100)
        await eventually(lambda: stream.statistics().published == len(events), "published", 40)
        await eventually(lambda: len(set(seen.ids)) == len(events), "all arrived", 20)
        await latest_is(stream, events[-1])
        assert stream.statistics().dropped == 0
    finally:
        await stream.stop(5)
    return events, seen


def _replace(servers: RedisSet, old: RedisServer) -> None:
    """Kill the master, wait for another one, and have the old one come back."""
    old.kill()
    servers.master()
    old.start()


def _hand_over(servers: RedisSet, old: RedisServer) -> None:
    servers.hand_over(old)
    wait_until(lambda: servers.master() is not old, "another one is the master", 20)


def _stored(server: RedisServer) -> list[str]:
    with server.client() as client:
        entries: Any = client.xrange("{charter}:events")
    return [json.loads(fields[b"event"])["id"] for _, fields in entries]
