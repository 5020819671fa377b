"""One simulated robot: a real WebSocket client that comes back when it is cut off."""

import asyncio
from random import Random

from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed, InvalidHandshake, InvalidStatus

from charter_otel.aio import FIRST_PAUSE, Backoff, wait_for
from charter_otel.simulator.credentials import Credentials
from charter_otel.simulator.readings import Readings
from charter_otel.simulator.session import RobotBehaviour, Session
from charter_otel.simulator.tally import FleetStats, refused

_CONNECT_WITHIN = 10.0


class Robot:
    """A simulated robot.

    Args:
        robot_id: Its id, and the seed of its readings.
        address: Where it connects.
        habits: What it does.
        tally: Where it counts.
        credentials: What it presents.
    """

    def __init__(
        self,
        robot_id: str,
        address: str,
        habits: RobotBehaviour,
        tally: FleetStats,
        credentials: Credentials,
    ) -> None:
        self.robot_id = robot_id
        self._address = address
        self._habits = habits
        self._tally = tally
        self._credentials = credentials
        self._random = Random(robot_id)  # noqa: S311 - readings, not secrets
        self._readings = Readings(self._random)
        self._first = True
        self._pauses = Backoff(FIRST_PAUSE, habits.longest_pause, self._random)

    async def live(self, stop: asyncio.Event) -> None:
        """Hold a connection until ``stop``; when it ends earlier, come back after a pause."""
        while not stop.is_set():
            await self._connect(stop)
            if not self._habits.reconnect:
                return
            await wait_for(stop, self._pauses.next())

    async def _connect(self, stop: asyncio.Event) -> None:
        try:
            async with connect(
                self._address,
                additional_headers=self._credentials.of_robot(self.robot_id),
                compression=None,
                proxy=None,
                open_timeout=_CONNECT_WITHIN,
            ) as connection:
                await self._connected(connection, stop)
        except InvalidStatus as error:
            self._tally.failed(refused(error.response.status_code), error)
        except ConnectionClosed as error:
            self._tally.failed("closed", error)
        except (OSError, TimeoutError, InvalidHandshake) as error:
            self._tally.failed("connect", error)

    async def _connected(self, connection: ClientConnection, stop: asyncio.Event) -> None:
        self._tally.opened(self.robot_id)
        self._pauses.reset()
        session = Session(connection, self._readings.next, self._habits, self._tally)
        phase = self._random.uniform(0, min(1.0, 1 / self._habits.hz))
        try:
            if self._first and self._habits.sends_bad_frame:
                await session.send_bad_frame()
            self._first = False
            await session.run(stop, phase=phase)
        finally:
            self._tally.open -= 1
