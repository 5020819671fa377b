"""Simulated robots, with a service that behaves in any way."""

import asyncio
import json
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager

from websockets.asyncio.server import ServerConnection, serve

from charter_otel.simulator import FleetAddress, RobotBehaviour, SimulatedFleet, in_words, parse
from support.ports import free_port

Handler = Callable[[ServerConnection], Awaitable[None]]


@asynccontextmanager
async def service(handler: Handler) -> AsyncIterator[FleetAddress]:
    """Serve robots with this handler."""
    async with serve(handler, "127.0.0.1", 0) as server:
        (socket,) = server.sockets
        yield parse(f"ws://127.0.0.1:{socket.getsockname()[1]}")


async def run(
    address: FleetAddress, behaviour: RobotBehaviour, *, robots: int = 1, seconds: float = 0.5
) -> SimulatedFleet:
    """Run a fleet for a short time."""
    fleet = SimulatedFleet(address, robots, lambda _: behaviour)
    await fleet.run(asyncio.Event(), seconds=seconds)
    return fleet


async def acknowledge(connection: ServerConnection) -> None:
    """Acknowledge each reading, as the service does."""
    count = 0
    async for message in connection:
        frame = json.loads(message)
        if frame.get("type") == "ping":
            await connection.send('{"type":"pong"}')
        elif frame["battery_percentage"] > 100:
            await connection.send('{"error":{"code":"invalid_reading","detail":"battery"}}')
        else:
            count += 1
            if "ack=1" in connection.request.path:  # type: ignore[union-attr]
                await connection.send(json.dumps({"type": "ack", "n": count}))


async def test_every_reading_is_acknowledged_before_a_robot_goes() -> None:
    """Sent and acknowledged are equal at the end, and each has a round trip."""
    async with service(acknowledge) as address:
        fleet = await run(address, RobotBehaviour(hz=50), robots=5)
    result = fleet.stats.result(robots=5, acknowledge=True, seconds=0.5)
    assert result.connected == 5
    assert result.frames_sent == result.frames_acknowledged == len(fleet.stats.latencies) > 50
    assert result.errors == 0


async def test_without_acknowledgements_pings_measure_the_round_trip() -> None:
    """A robot that asks for none sends a ping right after it connected."""
    async with service(acknowledge) as address:
        fleet = await run(address, RobotBehaviour(hz=50, acknowledge=False), robots=3)
    result = fleet.stats.result(robots=3, acknowledge=False, seconds=0.5)
    assert result.frames_acknowledged is None
    assert len(fleet.stats.latencies) == 3
    assert "no acknowledgements" in in_words(result)


async def test_a_robot_that_is_cut_off_comes_back() -> None:
    """The loss is an error, the connection that follows a reconnection."""

    async def cut_off(connection: ServerConnection) -> None:
        await connection.recv()
        connection.transport.abort()

    async with service(cut_off) as address:
        fleet = await run(address, RobotBehaviour(hz=100), seconds=2)
    result = fleet.stats.result(robots=1, acknowledge=True, seconds=2)
    assert result.connected == 1
    assert result.reconnections >= 1
    assert all(kind.startswith("closed: ") for kind in result.errors_by_kind)


async def test_a_robot_may_be_set_not_to_come_back() -> None:
    """Without reconnecting, the fleet ends when its robots are gone, at its time at the latest."""

    async def close(connection: ServerConnection) -> None:
        await connection.close(1012)

    async with service(close) as address:
        fleet = await run(address, RobotBehaviour(reconnect=False))
    assert fleet.stats.connections == 1
    assert fleet.stats.first_error is not None
    assert "1012" in fleet.stats.first_error


async def test_leaving_on_purpose_is_no_error() -> None:
    """A robot with that habit closes in order and comes back."""
    async with service(acknowledge) as address:
        fleet = await run(address, RobotBehaviour(hz=20, leaves_after=0.3), seconds=1.5)
    assert fleet.stats.connections >= 2
    assert not fleet.stats.errors


async def test_a_bad_frame_on_purpose_is_no_error() -> None:
    """Its error is expected, and every reading after it is acknowledged."""
    async with service(acknowledge) as address:
        fleet = await run(address, RobotBehaviour(hz=20, sends_bad_frame=True))
    assert fleet.stats.bad_frames_answered == 1
    assert fleet.stats.acknowledged == fleet.stats.sent > 0
    assert not fleet.stats.errors


async def test_an_error_that_nobody_asked_for_is_counted() -> None:
    """The kind has the service's code."""

    async def refuse(connection: ServerConnection) -> None:
        async for _ in connection:
            await connection.send('{"error":{"code":"rate_limited","detail":"too fast"}}')

    async with service(refuse) as address:
        fleet = await run(address, RobotBehaviour(hz=20))
    assert set(fleet.stats.errors) == {"refused: rate_limited"}


async def test_answers_that_never_come_are_counted() -> None:
    """A service that takes readings in silence is not a success."""

    async def swallow(connection: ServerConnection) -> None:
        async for _ in connection:
            pass

    async with service(swallow) as address:
        fleet = await run(address, RobotBehaviour(hz=20))
    assert fleet.stats.errors == {"unanswered": 1}


async def test_nobody_there_is_tried_again_until_the_end() -> None:
    """Each attempt that failed is an error."""
    fleet = await run(parse(f"ws://127.0.0.1:{free_port()}"), RobotBehaviour(), seconds=1.0)
    assert not fleet.stats.connected
    assert fleet.stats.errors["connect: ConnectionRefusedError"] >= 2


async def test_a_fleet_can_be_stopped_while_it_connects() -> None:
    """Stopping ends the ramp, and the robots that are connected leave in order."""
    stop = asyncio.Event()
    async with service(acknowledge) as address:
        fleet = SimulatedFleet(address, 1_000, lambda _: RobotBehaviour(), connects_per_second=100)
        asyncio.get_running_loop().call_later(0.3, stop.set)
        await fleet.run(stop)
    assert 0 < len(fleet.stats.connected) < 100
    assert not fleet.stats.errors
