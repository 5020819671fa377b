"""The demonstration's story, within eight seconds instead of a minute."""

import asyncio

from charter_otel.emit import get_emitter
from charter_otel.server.server import embedded
from charter_otel.service.settings import Settings
from charter_otel.simulator import RobotBehaviour, SimulatedFleet, parse
from charter_otel.simulator.story import ROBOTS, Story

LENGTH = 8.0
"""Seconds; half of one between the sentences whose order matters."""


async def test_the_faults_take_their_shares_of_the_story() -> None:
    """The battery still runs down while the next robot drops out, and everything heals."""
    told: list[str] = []
    stop = asyncio.Event()
    async with embedded(Settings(aggregation_interval=0.2)) as url, asyncio.TaskGroup() as group:
        fleet = SimulatedFleet(parse(url), ROBOTS, lambda _: RobotBehaviour(hz=10.0))
        group.create_task(fleet.run(stop))
        async with asyncio.timeout(30):
            await Story(fleet, get_emitter(), None, LENGTH, told.append).play(stop)
        stop.set()
    begins, drops, low = (
        next(at for at, sentence in enumerate(told) if words in sentence)
        for words in ("robot_006 runs down", "robot_002 is gone", "robot_006 is below 20 %")
    )
    assert begins < drops < low, told
    for healed in ("The job has recovered", "robot_002 is back", "robot_004 is back"):
        assert any(sentence.startswith(healed) for sentence in told), told
    assert fleet.stats.errors.total() == 0
