"""One connection of a simulated robot, from its first frame to its close."""

import asyncio
import time
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import msgspec
from websockets.asyncio.client import ClientConnection

from charter_otel.aio import LONGEST_PAUSE, until_first
from charter_otel.simulator.stats import FleetStats

PING_EVERY = 2.0
"""Seconds between two pings of a robot that asks for no acknowledgements."""

_ANSWER_WITHIN = 2.0
_PING = '{"type":"ping"}'
_BAD_FRAME = '{"battery_percentage":250}'

_encode = msgspec.json.Encoder().encode
_decode = msgspec.json.Decoder().decode


@dataclass(frozen=True)
class RobotBehaviour:
    """The behaviour of a simulated robot."""

    hz: float = 1.0
    """Readings a second."""
    acknowledge: bool = True
    """Whether it asks for an acknowledgement of each reading; otherwise it sends pings."""
    reconnect: bool = True
    """Whether it comes back if the connection is lost."""
    longest_pause: float = LONGEST_PAUSE
    """Most seconds between two attempts to connect."""
    leaves_after: float | None = None
    """Seconds after which it disconnects on purpose, and comes back."""
    simulated: bool = True
    """Whether it says that it is not a real robot, so that no alert concerns it."""
    sends_bad_frame: bool = False
    """Whether its first connection begins with a bad frame."""


class SimulatedSession:
    """A connection that sends readings and matches the answers with the frames sent.

    The service answers in order: each reading with an acknowledgement if the robot asked for
    it, each ping with a pong, each bad frame with an error. ``read`` returns the readings after a
    number of seconds.
    """

    def __init__(
        self,
        connection: ClientConnection,
        read: Callable[[float], dict[str, float]],
        behaviour: RobotBehaviour,
        stats: FleetStats,
    ) -> None:
        self._connection = connection
        self._read = read
        self._behaviour = behaviour
        self._stats = stats
        self._unanswered: deque[float] = deque()
        self._settled = asyncio.Event()
        self._settled.set()
        self._errors_expected = 0

    async def run(self, stop: asyncio.Event, *, phase: float) -> None:
        """Send and receive until ``stop`` or until it is time to leave; then close in order.

        Args:
            stop: Ends the session.
            phase: Seconds before the first reading, so that a fleet does not send in step.

        Raises:
            ConnectionClosed: The connection ended first.
        """
        pings = [] if self._behaviour.acknowledge else [self._send_pings()]
        await until_first(
            stop.wait(),
            self._receive(),
            self._send_readings(phase),
            *pings,
            seconds=self._behaviour.leaves_after,
        )
        await until_first(self._settled.wait(), self._receive(), seconds=_ANSWER_WITHIN)
        if self._unanswered:
            self._stats.failed("unanswered", f"no answer within {_ANSWER_WITHIN} s")
        await self._connection.close()

    def abort(self) -> None:
        """Break the connection, without a close frame."""
        self._connection.transport.abort()

    async def send_bad_frame(self) -> None:
        """Send a frame that the service must refuse, and expect its error."""
        self._errors_expected += 1
        await self._send(_BAD_FRAME, answered=self._behaviour.acknowledge)

    async def _send_readings(self, phase: float) -> None:
        period = 1 / self._behaviour.hz
        due = time.perf_counter() + phase
        while True:
            await asyncio.sleep(due - time.perf_counter())
            self._stats.sent += 1
            await self._send(
                _encode(self._read(period)).decode(), answered=self._behaviour.acknowledge
            )
            # After a stall the robot continues from now: a burst would only exceed the rate limit.
            due = max(due + period, time.perf_counter())

    async def _send_pings(self) -> None:
        while True:
            await self._send(_PING, answered=True)
            await asyncio.sleep(PING_EVERY)

    async def _send(self, frame: str, *, answered: bool) -> None:
        if answered:
            self._unanswered.append(time.perf_counter())
            self._settled.clear()
        await self._connection.send(frame)

    async def _receive(self) -> None:
        while True:
            self._answered(_decode(await self._connection.recv()))

    def _answered(self, answer: dict[str, Any]) -> None:
        if "error" in answer:
            self._refused(answer["error"])
        else:
            self._stats.acknowledged += answer.get("type") == "ack"
            self._stats.latencies.append(time.perf_counter() - self._oldest())
        if not self._unanswered:
            self._settled.set()

    def _refused(self, error: dict[str, Any]) -> None:
        if self._behaviour.acknowledge:
            self._oldest()
        if self._errors_expected:
            self._errors_expected -= 1
            self._stats.bad_frames_answered += 1
        else:
            self._stats.failed(f"refused: {error.get('code')}", error.get("detail"))

    def _oldest(self) -> float:
        """Return the time at which the frame of the present answer was sent."""
        return self._unanswered.popleft() if self._unanswered else time.perf_counter()
