"""An entry in Redis that another version or a hand wrote costs itself, and nothing beside it."""

import asyncio
from typing import Any

import pytest
from redis.asyncio import Redis

from charter_otel.metrics.missions import RedisMissions
from charter_otel.redis.address import parse_address
from charter_otel.redis.bad_entries import UNREADABLE
from charter_otel.telemetry.cluster.adoption import Adoption
from charter_otel.telemetry.cluster.keys import ClusterKeys
from charter_otel.telemetry.cluster.membership import Membership
from charter_otel.telemetry.cluster.reaper import Reaper
from charter_otel.telemetry.cluster.register import Details, entry
from charter_otel.telemetry.cluster.shared_state import SharedState
from charter_otel.telemetry.connections import Connection
from charter_otel.telemetry.fleet import Fleet
from charter_otel.testing import Capture
from support.redis import RedisServer

BAD = (b"\xff\xfe", b"", b"null", b"[]", b"7", b'{"robot_id": 1}', b"{", b"nonsense\n{")


@pytest.mark.parametrize("bad", BAD)
async def test_presence_readings_and_aggregates_skip_it(
    redis_server: RedisServer, bad: bytes, charter_capture: Capture
) -> None:
    """The others are there, and the bad one is named once."""
    layout = ClusterKeys()
    good = b'{"robot_id":"good","status":"offline","connection_id":"c",'
    good += b'"connected_at":1,"last_seen_at":1}'
    async with Redis.from_url(redis_server.url) as client:
        await client.hset(layout.presence, mapping={"good": good, "bad": bad})
        await client.hset(layout.readings, "bad", b"1 " + bad)
        state = SharedState(client, layout)
        before = dict(UNREADABLE)
        for _ in range(2):
            assert list(await state.presence()) == ["good"]
        assert await state.reading("bad") is None
    named = [line for line in charter_capture.lines if "unreadable" in line["event"]]
    assert [line["kind"] for line in named] == ["presence", "reading"]
    grown = {kind: UNREADABLE[kind] - before[kind] for kind in ("presence", "reading")}
    assert grown == {"presence": 2, "reading": 1}
    missions = RedisMissions(parse_address(redis_server.url).client())
    redis_server.command("HSET", "{charter}:missions:aggregates", "totals", bad)
    await missions.aggregates()
    await missions.aclose()


async def test_the_reaper_goes_on(redis_server: RedisServer) -> None:
    """Connections beside bad entries are closed."""
    layout, closed = ClusterKeys(), list[str]()

    async def close(connection: Connection, ended: float) -> None:
        del ended
        closed.append(connection.id)

    register: dict[Any, Any] = {f"bad-{number}": value for number, value in enumerate(BAD)}
    register |= {"ws_r1_1": entry("gone", Details("r1", 1.0)), b"\xff": b"\xff"}
    async with Redis.from_url(redis_server.url) as client, asyncio.timeout(10):
        member = Membership(client, layout, 0.2)
        adoption = Adoption(client, layout, member, Fleet())
        state = SharedState(client, layout)
        reaper = Reaper(client, layout, member, state, close, adoption=adoption)
        await client.hset(layout.open, mapping=register)
        await client.hset(layout.owners, mapping={"r2": "1 nonsense gone c", "r3": b"\xff"})
        await member.renew()
        while not closed:
            await reaper.reap()
            await asyncio.sleep(0.02)
    assert closed == ["ws_r1_1"]
