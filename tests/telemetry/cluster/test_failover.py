"""Instances that share a Sentinel set or a cluster, through a fail-over."""

from urllib.error import HTTPError

import pytest
from websockets.asyncio.client import connect

from support.instances import closed, established, instances
from support.missions import MISSIONS
from support.polling import eventually
from support.redis import RedisServer
from support.redis_sets import RedisSet
from support.robots import READING
from support.service import ServiceProcess

pytestmark = pytest.mark.timeout(180)

SETTINGS = {"CHARTER_AGGREGATION_INTERVAL": "1", "CHARTER_LEASE_SECONDS": "10"}
"""Sentinels let an old master that comes back take writes for ten seconds; a lease lasts longer."""


async def test_a_failover_leaves_presence_pairs_and_missions_exact(redis_set: RedisSet) -> None:
    """Robots stay connected, each is closed once, every mission counts once."""
    with instances(2, f"{redis_set.url}?replicas=1", **SETTINGS) as (one, two):
        url = f"{one.websocket}/api/telemetry/ws"
        async with connect(f"{url}/robot_001", ping_interval=None) as robot:
            await robot.send(READING)
            one.post("/api/metrics/missions", _missions(5))
            await eventually(lambda: _online(two) == ["robot_001"], "known elsewhere")
            await eventually(lambda: established(redis_set.master()).total() == 1, "published")
            old = redis_set.master()
            old.kill()
            async with connect(f"{url}/robot_002", ping_interval=None):
                redis_set.master()
                old.start()
                await eventually(lambda: len(_online(two)) == 2, "the new one is known", 40)
            await eventually(lambda: _online(two) == ["robot_001"], "one has left", 20)
            new = redis_set.master()
            await eventually(lambda: established(new).total() == 2, "the spool is empty", 20)
            redis_set.replicas_follow()
            await eventually(lambda: _takes(two, _missions(5)), "a replica confirms missions", 20)
            one.process.kill()
            await eventually(lambda: not _online(two), "the survivor marks it offline", 60)
        # Missions that were refused, because no replica confirmed them, may be there too.
        stored = _stored(new)
        assert stored >= 10
        await eventually(lambda: _counted(two) == stored, "the missions are counted", 45)
        await eventually(lambda: closed(new) == established(new), "pairs are exact", 20)
        assert set(closed(new).values()) == {1}
        assert established(new).total() == 2


def _missions(count: int) -> list[dict[str, str]]:
    return [{"mission_id": f"m{number}", "status": "completed"} for number in range(count)]


def _online(instance: ServiceProcess) -> list[str]:
    robots = instance.get("/api/telemetry/robots")
    return sorted(robot["robot_id"] for robot in robots if robot["status"] == "online")


def _takes(instance: ServiceProcess, missions: list[dict[str, str]]) -> bool:
    try:
        instance.post("/api/metrics/missions", missions)
    except HTTPError:
        return False
    return True


def _stored(server: RedisServer) -> int:
    with server.client() as client:
        return int(str(client.xlen(MISSIONS)))


def _counted(instance: ServiceProcess) -> object:
    return instance.get("/api/metrics/missions")["entries_processed"]
