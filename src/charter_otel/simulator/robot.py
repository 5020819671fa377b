"""One simulated robot: a real WebSocket client that comes back when it is cut off."""

import asyncio
import ssl
from random import Random
from typing import Any

from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed, InvalidHandshake, InvalidStatus

from charter_otel.aio import FIRST_PAUSE, Backoff, wait_for
from charter_otel.simulator.credentials import Credentials
from charter_otel.simulator.readings import SimulatedReadings
from charter_otel.simulator.session import RobotBehaviour, SimulatedSession
from charter_otel.simulator.stats import FleetStats, refused

CERTIFICATE = "connect: untrusted certificate"
"""The kind of error for a certificate from an unknown authority."""

_CONNECT_WITHIN = 10.0


class SimulatedRobot:
    """A simulated robot; its id is the seed of its readings."""

    def __init__(
        self,
        robot_id: str,
        address: str,
        behaviour: RobotBehaviour,
        stats: FleetStats,
        credentials: Credentials,
        *,
        tls: ssl.SSLContext | None = None,
    ) -> None:
        self.robot_id = robot_id
        self._address = address
        self._behaviour = behaviour
        self._stats = stats
        self._credentials = credentials
        self._tls: dict[str, Any] = {"ssl": tls} if tls else {}
        self._random = Random(robot_id)  # noqa: S311 - readings, not secrets
        self._readings = SimulatedReadings(self._random)
        self._first = True
        self._pauses = Backoff(FIRST_PAUSE, behaviour.longest_pause, self._random)
        self._session: SimulatedSession | None = None
        self._absence: float | None = None

    @property
    def battery(self) -> float:
        """Percent of the battery that is left."""
        return self._readings.battery

    def run_down(self, seconds: float) -> None:
        """Empty the battery within the given seconds; then it is charged as usual."""
        self._readings.run_down(seconds)

    def expect_end(self, absence: float) -> None:
        """Count the next end of the connection as no error, and come back after ``absence``."""
        self._absence = absence

    def drop_out(self, absence: float) -> None:
        """Break the connection without a close frame, as a failed network does."""
        if self._session is not None:
            self.expect_end(absence)
            self._session.abort()

    async def send_bad_frames(self, frames: int, absence: float) -> None:
        """Send a number of frames that are not readings, and expect them to end the connection."""
        if self._session is not None:
            self.expect_end(absence)
            for _ in range(frames):
                await self._session.send_bad_frame()

    async def live(self, stop: asyncio.Event) -> None:
        """Hold a connection until ``stop``; when it ends earlier, come back after a pause."""
        while not stop.is_set():
            await self._connect(stop)
            if not self._behaviour.reconnect:
                return
            absence, self._absence = self._absence, None
            await wait_for(stop, self._pauses.next() if absence is None else absence)

    async def _connect(self, stop: asyncio.Event) -> None:
        try:
            async with connect(
                self._address,
                additional_headers=self._credentials.of_robot(self.robot_id),
                compression=None,
                proxy=None,
                open_timeout=_CONNECT_WITHIN,
                **self._tls,
            ) as connection:
                await self._connected(connection, stop)
        except InvalidStatus as error:
            self._stats.failed(refused(error.response.status_code), error)
        except ConnectionClosed as error:
            if self._absence is None:
                self._stats.failed(_closed(error), error)
        except ssl.SSLCertVerificationError as error:
            self._stats.failed(CERTIFICATE, error.verify_message)
        except (OSError, TimeoutError, InvalidHandshake) as error:
            self._stats.failed(f"connect: {type(error).__name__}", error)

    async def _connected(self, connection: ClientConnection, stop: asyncio.Event) -> None:
        self._stats.opened(self.robot_id)
        self._pauses.reset()
        session = self._session = SimulatedSession(
            connection, self._readings.next, self._behaviour, self._stats
        )
        phase = self._random.uniform(0, min(1.0, 1 / self._behaviour.hz))
        try:
            if self._first and self._behaviour.sends_bad_frame:
                await session.send_bad_frame()
            self._first = False
            await session.run(stop, phase=phase)
        finally:
            self._session = None
            self._stats.open -= 1


def _closed(error: ConnectionClosed) -> str:
    """Return the kind of error for the end of a connection."""
    return f"closed: {error.rcvd.code}" if error.rcvd else "closed: connection lost"
