"""Without Redis each instance knows its own robots; afterwards everybody knows everything again."""

from websockets.asyncio.client import connect

from support.instances import closed, established
from support.polling import eventually
from support.redis import RedisServer
from support.robots import READING
from support.service import ServiceProcess

Pair = tuple[ServiceProcess, ServiceProcess]


async def test_without_redis_each_instance_tells_what_it_knows(
    server: RedisServer, pair: Pair
) -> None:
    """The routes answer with the robots connected there, and catch up when Redis is back."""
    async with connect(f"{pair[0].websocket}/api/telemetry/ws/robot_001") as robot:
        await robot.send(READING)
        await eventually(lambda: _known(pair[1]) == {"robot_001": "online"}, "known elsewhere")
        server.kill()
        async with connect(f"{pair[1].websocket}/api/telemetry/ws/robot_002"):
            await eventually(lambda: _known(pair[0]) == {"robot_001": "online"}, "its own")
            await eventually(lambda: _known(pair[1]) == {"robot_002": "online"}, "its own")
            server.start()
            both = {"robot_001": "online", "robot_002": "online"}
            await eventually(lambda: [_known(i) for i in pair] == [both, both], "both know both")
        assert closed(server).total() <= 1


async def test_when_redis_has_lost_everything_it_is_told_again(
    server: RedisServer, pair: Pair
) -> None:
    """Robots stay connected, are known everywhere again, and are closed once when one dies."""
    async with connect(f"{pair[0].websocket}/api/telemetry/ws/robot_001", ping_interval=None):
        await eventually(lambda: established(server).total() == 1, "it is in the stream")
        await eventually(lambda: _known(pair[1]) == {"robot_001": "online"}, "known elsewhere")
        server.command("FLUSHALL")
        await eventually(lambda: _known(pair[1]) == {"robot_001": "online"}, "known again")
        assert pair[0].get("/api/telemetry/info")["active_connections"] == 1
        pair[0].process.kill()
        await eventually(lambda: closed(server).total() == 1, "the survivor closes it")


def _known(instance: ServiceProcess) -> dict[str, str]:
    return {r["robot_id"]: r["status"] for r in instance.get("/api/telemetry/robots")}
