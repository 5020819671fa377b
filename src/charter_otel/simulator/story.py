"""The demonstration's story: faults in a fleet, one after the other, each of which heals."""

import asyncio
import time
from collections.abc import Awaitable, Callable, Sequence

from charter_otel.aio import wait_for
from charter_otel.charter import EventType
from charter_otel.emit import Emitter
from charter_otel.metrics import jobs
from charter_otel.metrics.missions.aggregates import Aggregates
from charter_otel.metrics.missions.base import Batch, MissionStore, MissionsUnavailable
from charter_otel.simulator.fleet import SimulatedFleet
from charter_otel.simulator.outage import InterruptibleStream
from charter_otel.simulator.session import RobotBehaviour

LENGTH = 60.0
"""Seconds that the story takes, unless there is less time."""

SHORTEST = 6.0
"""Seconds below which there is no time for a story."""

ROBOTS = 6
"""Robots that a story needs."""

LOW_BATTERY = 20.0
"""Percent of the battery below which the alert LowBattery fires."""

_BAD_FRAMES = 10
_LOOK_EVERY = 0.05

Report = Callable[[str], None]
Act = Callable[[asyncio.Event], Awaitable[None]]


class Story:
    """The faults of a fleet and its service, each announced in one sentence.

    Args:
        fleet: The fleet, of `ROBOTS` at least.
        emitter: The service's emitter, whose counts show when the job has failed and recovered.
        stream: The service's stream, if it can fail.
        length: Seconds that all of it takes.
        report: Called with each sentence.
    """

    def __init__(
        self,
        fleet: SimulatedFleet,
        emitter: Emitter,
        stream: InterruptibleStream | None,
        length: float,
        report: Report,
    ) -> None:
        self._fleet = fleet
        self._emitter = emitter
        self._stream = stream
        self._length = length
        self._report = report

    async def play(self, stop: asyncio.Event) -> None:
        """Play it once, or until ``stop``; all that was broken is whole again afterwards."""
        async with asyncio.TaskGroup() as group:
            for begin, act in self._acts():
                group.create_task(self._after(begin, act, stop), name="charter-demo-act")

    def _acts(self) -> Sequence[tuple[float, Act]]:
        """Return the acts with the share of the length after which each begins."""
        acts: list[tuple[float, Act]] = [
            (0.08, self._job_fails),
            (0.14, self._battery_runs_down),
            (0.28, self._robot_drops_out),
            (0.41, self._robot_is_taken_over),
            (0.53, self._robot_sends_bad_frames),
        ]
        if stream := self._stream:
            acts.append((0.68, lambda stop: self._stream_is_away(stream, stop)))
        return acts

    async def _after(self, begin: float, act: Act, stop: asyncio.Event) -> None:
        if not await wait_for(stop, begin * self._length):
            await act(stop)

    async def _job_fails(self, stop: asyncio.Event) -> None:
        store = jobs.get_mission_store()
        self._report("The job's store of missions cannot be read: its next run fails.")
        failed = self._emitted(EventType.METRICS_AGGREGATION_FAILED)
        jobs.set_mission_store(UnreadableMissions(store))
        try:
            await self._more_than(EventType.METRICS_AGGREGATION_FAILED, failed, stop)
        finally:
            jobs.set_mission_store(store)
        completed = self._emitted(EventType.METRICS_AGGREGATION_COMPLETED)
        if not stop.is_set():
            self._report("The job failed. Its store is back: the next run counts what waited.")
        await self._more_than(EventType.METRICS_AGGREGATION_COMPLETED, completed, stop)
        if not stop.is_set():
            self._report("The job has recovered, and no mission was counted twice.")

    def _emitted(self, event_type: EventType) -> int:
        return self._emitter.statistics().emitted.get(event_type, 0)

    async def _more_than(self, event_type: EventType, count: int, stop: asyncio.Event) -> None:
        """Wait until more events of a type were emitted, or until ``stop``."""
        await _until(lambda: self._emitted(event_type) > count, stop)

    async def _battery_runs_down(self, stop: asyncio.Event) -> None:
        robot = self._fleet.robot(5)
        self._report(f"The battery of {robot.robot_id} runs down.")
        robot.run_down(0.4 * self._length)
        await _until(lambda: robot.battery < LOW_BATTERY, stop)
        if not stop.is_set():
            self._report(f"{robot.robot_id} is below 20 %: the alert LowBattery would fire.")

    async def _robot_drops_out(self, stop: asyncio.Event) -> None:
        robot, absence = self._fleet.robot(1), 0.1 * self._length
        self._report(f"The network of {robot.robot_id} is gone: connection_lost.")
        robot.drop_out(absence)
        if not await wait_for(stop, absence):
            self._report(f"{robot.robot_id} is back, on a new connection.")

    async def _robot_is_taken_over(self, stop: asyncio.Event) -> None:
        robot, stay = self._fleet.robot(2), 0.08 * self._length
        self._report(f"Another {robot.robot_id} connects: the newest wins, the old is superseded.")
        robot.expect_end(stay + 0.04 * self._length)
        behaviour = RobotBehaviour(reconnect=False, leaves_after=stay, simulated=False)
        await self._fleet.impostor(2, behaviour).live(stop)
        if not stop.is_set():
            self._report(f"The other {robot.robot_id} has left; the first one comes back.")

    async def _robot_sends_bad_frames(self, stop: asyncio.Event) -> None:
        robot, absence = self._fleet.robot(3), 0.1 * self._length
        self._report(f"{robot.robot_id} sends invalid frames; ten in a row: protocol_error.")
        await robot.send_bad_frames(_BAD_FRAMES, absence)
        if not await wait_for(stop, absence):
            self._report(f"{robot.robot_id} is back, with valid frames.")

    async def _stream_is_away(self, stream: InterruptibleStream, stop: asyncio.Event) -> None:
        seconds, begun = 5 / LENGTH * self._length, time.monotonic()
        replayed = stream.statistics().replayed
        self._report(f"The event stream is away for {seconds:.1f} s; events wait on disk.")
        stream.interrupt()
        try:
            await wait_for(stop, seconds)
        finally:
            stream.restore()
        away = time.monotonic() - begun
        await _until(lambda: not stream.statistics().queued + stream.statistics().spooled, stop)
        count = stream.statistics().replayed - replayed
        self._report(f"The stream is back after {away:.1f} s: {count} events replayed in order.")


class UnreadableMissions(MissionStore):
    """A store that takes entries but refuses reads."""

    def __init__(self, store: MissionStore) -> None:
        self._store = store

    async def append(self, entries: Sequence[bytes]) -> None:
        """Add entries to the store behind."""
        await self._store.append(entries)

    async def read(self, limit: int) -> Batch:
        """Refuse."""
        del limit
        raise MissionsUnavailable("the demo keeps the entries back; the next run gets them")

    async def commit(self, batch: Batch, added: Aggregates) -> bool:
        """Commit to the store behind."""
        return await self._store.commit(batch, added)

    async def aggregates(self) -> Aggregates:
        """Return the aggregates of the store behind."""
        return await self._store.aggregates()


async def _until(condition: Callable[[], bool], stop: asyncio.Event) -> None:
    while not condition() and not await wait_for(stop, _LOOK_EVERY):
        pass
