"""Many simulated robots, connected one after the other and ended together."""

import asyncio
import ssl
import time
from collections.abc import Callable

from charter_otel.aio import wait_for
from charter_otel.simulator.address import FleetAddress
from charter_otel.simulator.credentials import Credentials
from charter_otel.simulator.robot import SimulatedRobot
from charter_otel.simulator.session import RobotBehaviour
from charter_otel.simulator.stats import FleetStats

CONNECTS_PER_SECOND = 250.0
"""Connections a second of a fleet: well below the rate that one instance accepts (about 1,700)."""

_NONE = Credentials()


class SimulatedFleet:
    """A fleet of simulated robots, from ``robot_001`` on.

    Args:
        address: The service.
        robots: Their number.
        behaviour: Returns the behaviour of the robot with a number, from 0.
        connects_per_second: Rate at which they connect.
        credentials: Credentials that they present.
        tls: How they check the service's certificate; by the system's authorities, unless given.
    """

    def __init__(
        self,
        address: FleetAddress,
        robots: int,
        behaviour: Callable[[int], RobotBehaviour],
        *,
        connects_per_second: float = CONNECTS_PER_SECOND,
        credentials: Credentials = _NONE,
        tls: ssl.SSLContext | None = None,
    ) -> None:
        self.stats = FleetStats()
        self._interval = 1 / connects_per_second
        self._address = address
        self._credentials = credentials
        self._tls = tls
        self._robots = [self._robot(number, behaviour(number)) for number in range(robots)]

    @property
    def robot_ids(self) -> list[str]:
        """The robots' ids."""
        return [robot.robot_id for robot in self._robots]

    async def run(self, stop: asyncio.Event, *, seconds: float | None = None) -> None:
        """Connect the robots and let them live until ``stop``.

        Args:
            stop: Ends the fleet: each robot waits for its last answers and disconnects.
            seconds: Seconds from the last robot's attempt to connect until ``stop`` is set.
        """
        async with asyncio.TaskGroup() as group:
            await self._launch(group, stop)
            if seconds is not None:
                await wait_for(stop, seconds)
                stop.set()

    async def _launch(self, group: asyncio.TaskGroup, stop: asyncio.Event) -> None:
        due = time.perf_counter()
        for robot in self._robots:
            if stop.is_set():
                return
            group.create_task(robot.live(stop), name=f"charter-robot-{robot.robot_id}")
            due += self._interval
            await asyncio.sleep(due - time.perf_counter())

    def robot(self, number: int) -> SimulatedRobot:
        """Return the robot with a number, from 0."""
        return self._robots[number]

    def impostor(self, number: int, behaviour: RobotBehaviour) -> SimulatedRobot:
        """Return another client that connects as the robot with a number."""
        return self._robot(number, behaviour)

    def _robot(self, number: int, behaviour: RobotBehaviour) -> SimulatedRobot:
        robot_id = f"robot_{number + 1:03d}"
        url = self._address.of(
            robot_id, acknowledge=behaviour.acknowledge, simulated=behaviour.simulated
        )
        return SimulatedRobot(
            robot_id, url, behaviour, self.stats, self._credentials, tls=self._tls
        )
