"""The promises of an event stream, as tests that its author runs on it.

For example::

    class TestMyStream(StreamConformance):
        def make_stream(self) -> EventStream:
            return MyStream("my://127.0.0.1")
"""

import asyncio
import time
from abc import ABC, abstractmethod
from collections.abc import AsyncIterator, Callable
from contextlib import aclosing, asynccontextmanager
from typing import cast

from charter_otel.charter import Event, create, decode, encode
from charter_otel.streams import EventStream

WITHIN = 10.0
"""Seconds within which an event arrives."""


def job_started(job_id: str) -> Event:
    """Return an event whose ``job_id`` shows its place in the order."""
    return create("metrics.aggregation_started", {"job_id": job_id, "started_at": 1.5})


def robot_connected(robot_id: str) -> Event:
    """Return an event of another module."""
    payload = {"robot_id": robot_id, "connection_id": f"ws_{robot_id}_1", "connected_at": 1.5}
    return create("telemetry.connection_established", payload)


def of_another_process() -> Event:
    """Return an event whose type is not declared in this process."""
    made = encode(job_started("elsewhere")).decode()
    foreign = made.replace("evt_metrics_", "evt_stock_").replace("metrics_service", "stock_service")
    return decode(foreign.replace("metrics.aggregation_started", "stock.pallet_moved"))


class StreamConformance(ABC):
    """The promises of `EventStream`; a subclass says how a stream is made."""

    @abstractmethod
    def make_stream(self) -> EventStream:
        """Return a new stream, not started, that holds no event."""

    def test_a_subscriber_gets_each_event_in_order(self) -> None:
        """Events arrive in the order of publishing."""

        async def scenario(stream: EventStream) -> None:
            got = _collect(stream, "*")
            async with _running(stream):
                events = [job_started(str(number)) for number in range(50)]
                for event in events:
                    assert stream.publish_nowait(event)
                await _until(lambda: len(got) >= len(events))
                assert got == events

        asyncio.run(scenario(self.make_stream()))

    def test_patterns_choose_types(self) -> None:
        """A pattern matches its module only; ``*`` also matches types not declared here."""

        async def scenario(stream: EventStream) -> None:
            robots, everything = _collect(stream, "telemetry.*"), _collect(stream, "*")
            async with _running(stream):
                robot, last = robot_connected("r"), robot_connected("last")
                events = [job_started("a"), robot, of_another_process(), last]
                for event in events:
                    await stream.publish(event)
                await _until(lambda: last in robots and last in everything)
                assert everything == events
                assert robots == [robot, last]

        asyncio.run(scenario(self.make_stream()))

    def test_a_failed_event_comes_again(self) -> None:
        """A handler that raises gets the event again, and still gets the next ones."""

        async def scenario(stream: EventStream) -> None:
            got: list[str] = []

            @stream.subscribe("*", group="fails_once")
            async def handle(event: Event) -> None:
                got.append(event.payload["job_id"])
                if got == ["a"]:
                    raise RuntimeError("not yet")

            async with _running(stream):
                for job_id in ("a", "b"):
                    stream.publish_nowait(job_started(job_id))
                await _until(lambda: got.count("a") > 1 and "b" in got)

        asyncio.run(scenario(self.make_stream()))

    def test_a_slow_handler_delays_nobody_else(self) -> None:
        """Each subscriber has a delivery task of its own."""

        async def scenario(stream: EventStream) -> None:
            stuck = asyncio.Event()

            @stream.subscribe("*", group="stuck")
            async def wait(_: Event) -> None:
                await stuck.wait()

            got = _collect(stream, "*")
            async with _running(stream):
                for number in range(5):
                    stream.publish_nowait(job_started(str(number)))
                await _until(lambda: len(got) == len(range(5)))
                stuck.set()

        asyncio.run(scenario(self.make_stream()))

    def test_events_are_read_again(self) -> None:
        """`read` returns the latest events, those after one of them, and those of some types."""

        async def scenario(stream: EventStream) -> None:
            got = _collect(stream, "*")
            async with _running(stream):
                events = [job_started("a"), robot_connected("r"), job_started("b")]
                for event in events:
                    stream.publish_nowait(event)
                await _until(lambda: len(got) == len(events))
                assert list(await stream.read()) == events
                assert list(await stream.read(after=events[0].id)) == events[1:]
                assert list(await stream.read(limit=1)) == events[-1:]
                wanted = frozenset({"telemetry.connection_established"})
                assert list(await stream.read(types=wanted)) == [events[1]]

        asyncio.run(scenario(self.make_stream()))

    def test_a_follower_gets_what_comes(self) -> None:
        """`follow` goes on after an event, and ends when the stream stops."""

        async def scenario(stream: EventStream) -> None:
            got = _collect(stream, "*")
            async with _running(stream):
                first, second = job_started("a"), job_started("b")
                stream.publish_nowait(first)
                await _until(lambda: got == [first])
                following = cast("_Followed", stream.follow(after=first.id))
                async with aclosing(following), asyncio.timeout(WITHIN):
                    stream.publish_nowait(second)
                    assert await anext(following) == second

        asyncio.run(scenario(self.make_stream()))

    def test_a_group_has_one_handler(self) -> None:
        """A second handler of a group in one process is refused."""
        stream = self.make_stream()
        _collect(stream, "*", group="g")
        try:
            _collect(stream, "*", group="g")
        except ValueError:
            return
        raise AssertionError("a group took a second handler")

    def test_the_account_is_right(self) -> None:
        """Statistics count what was accepted and published, and name the system."""

        async def scenario(stream: EventStream) -> None:
            async with _running(stream):
                for number in range(3):
                    stream.publish_nowait(job_started(str(number)))
                await _until(lambda: stream.statistics().published == len(range(3)))
            seen = stream.statistics()
            assert (seen.accepted, seen.dropped, seen.system) == (
                3,
                0,
                stream.system,
            )

        asyncio.run(scenario(self.make_stream()))

    def test_a_stop_takes_its_time_and_no_more(self) -> None:
        """A stream stops within its deadline, whatever a handler does."""

        async def scenario(stream: EventStream) -> None:
            @stream.subscribe("*", group="endless")
            async def wait(_: Event) -> None:
                await asyncio.sleep(60)

            await stream.start()
            stream.publish_nowait(job_started("a"))
            await asyncio.sleep(0.1)
            began = time.monotonic()
            await stream.stop(0.5)
            assert time.monotonic() - began < WITHIN

        asyncio.run(scenario(self.make_stream()))


class _Followed(AsyncIterator[Event], ABC):
    @abstractmethod
    async def aclose(self) -> None: ...


def _collect(stream: EventStream, pattern: str, group: str | None = None) -> list[Event]:
    got: list[Event] = []

    @stream.subscribe(pattern, group=group or f"conformance_{pattern}", start="earliest")
    async def collect(event: Event) -> None:
        got.append(event)

    return got


@asynccontextmanager
async def _running(stream: EventStream) -> AsyncIterator[None]:
    await stream.start()
    try:
        yield
    finally:
        await stream.stop()


async def _until(holds: Callable[[], bool]) -> None:
    until = time.monotonic() + WITHIN
    while not holds():
        assert time.monotonic() < until, "the event has not arrived"
        await asyncio.sleep(0.01)
