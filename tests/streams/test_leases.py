"""Groups that one of several processes handles alone, and handlers that say "not now"."""

import asyncio
from collections.abc import Sequence

import pytest

from charter_otel.charter import Event
from charter_otel.streams import BatchHandler, EventStream, Lease, LeaseLost, NotNow
from charter_otel.streams.delivery import Delivery
from streams.backends import (
    Backend,
    PartitionedBackend,
    RedisBackend,
    Seen,
    abandon,
    published,
    started,
)
from support.polling import eventually
from support.redis import RedisServer

pytestmark = pytest.mark.timeout(30)

LEASE = 0.6


class Keeper:
    """A handler whose process holds its group alone."""

    def __init__(self, stream: EventStream) -> None:
        self.seen = Seen()
        self.leases: list[Lease] = []
        self.inherited: list[bytes | None] = []
        stream.subscribe("*", group="g", take_over=self._take_over)(self.seen)

    async def _take_over(self, lease: Lease) -> None:
        self.leases.append(lease)
        self.inherited.append(await lease.load())

    @property
    def holds(self) -> bool:
        """Whether it is the holder."""
        return any(lease.held for lease in self.leases)


class Reluctant:
    """A handler that takes nothing until it is willing."""

    def __init__(self) -> None:
        self.willing = False
        self.asked = 0
        self.taken: list[Event] = []

    async def one(self, event: Event) -> None:
        """Handle an event."""
        await self.many([event])

    async def many(self, events: Sequence[Event]) -> None:
        """Handle events."""
        self.asked += 1
        if not self.willing:
            raise NotNow("the disk is full; free some space")
        self.taken.extend(events)


async def test_a_subscriber_that_says_not_now_loses_nothing(backend: Backend) -> None:
    """However often it says so, nothing is a dead letter and the order stays; lag tells of it."""
    stream, handler = backend.make(max_deliveries=2), Reluctant()
    stream.subscribe("*", group="g")(handler.one)
    await stream.start()
    events = [started(name) for name in "abc"]
    for event in events:
        stream.publish_nowait(event)
    await eventually(lambda: handler.asked > 5, "it was asked more often than may fail")
    await eventually(lambda: stream.statistics().subscribers[0].lag == 3, "three wait")
    [score] = stream.statistics().subscribers
    assert (score.waiting, score.dead_lettered) == ("the disk is full; free some space", 0)
    handler.willing = True
    await eventually(lambda: handler.taken == events, "all are taken")
    assert stream.statistics().subscribers[0].waiting is None


async def test_a_batch_that_waits_counts_no_delivery_across_restarts(
    redis_backend: RedisBackend,
) -> None:
    """Process after process may end while it waits: what waits is never a dead letter."""
    events = [started(name) for name in "abc"]
    for life in range(4):
        stream, handler = redis_backend.make(max_deliveries=2), Reluctant()
        stream.subscribe_batch("*", group="g", start="earliest")(handler.many)
        await stream.start()
        if not life:
            for event in events:
                stream.publish_nowait(event)
        await eventually(lambda h=handler: h.asked > 2, "it was asked")  # type: ignore[misc]
        handler.willing = life == 3
        if handler.willing:
            await eventually(lambda h=handler: h.taken == events, "taken")  # type: ignore[misc]
        await stream.stop()
    assert redis_backend.dead_letters(stream) == []


async def test_a_batch_that_kills_its_processes_becomes_dead_letters(
    redis_backend: RedisBackend,
) -> None:
    """Entries taken over are delivered one by one and counted, also to a batch handler."""
    events = [started(name) for name in "abc"]
    before = redis_backend.make()
    await before.start()
    for event in events:
        before.publish_nowait(event)
    await published(before, 3)
    for _ in range(2):
        stream, handling = redis_backend.make(max_deliveries=2, min_idle=0.05), asyncio.Event()

        @stream.subscribe_batch("*", group="g", start="earliest")
        async def hang(_: Sequence[Event], handling: asyncio.Event = handling) -> None:
            handling.set()
            await asyncio.Event().wait()

        await stream.start()
        await handling.wait()
        await abandon(stream)
    heir = redis_backend.make(max_deliveries=2, min_idle=0.05)
    seen = Seen()
    heir.subscribe_batch("*", group="g")(_each(seen))
    await heir.start()
    await seen.has(2)
    assert seen.events == events[1:]
    assert [letter.event_id for letter in redis_backend.dead_letters(heir)] == [events[0].id]


async def test_an_event_is_delivered_five_times_by_default(backend: Backend) -> None:
    """Then it is a dead letter."""
    stream = backend.make(redelivery_delay=0.001)
    seen = Seen()
    seen.failures = 100
    stream.subscribe("*", group="g")(seen)
    await stream.start()
    stream.publish_nowait(started("a"))
    await eventually(lambda: stream.statistics().subscribers[0].dead_lettered == 1, "given up")
    assert len(seen.events) == 5


async def test_a_stop_does_not_wait_for_the_remaining_deliveries(backend: Backend) -> None:
    """A failing event is left to the next process at once."""
    before = asyncio.all_tasks()
    stream = backend.make(max_deliveries=50, redelivery_delay=0.2)
    seen = Seen()
    seen.failures = 100
    stream.subscribe("*", group="g")(seen)
    await stream.start()
    stream.publish_nowait(started("a"))
    await seen.has(2)
    await asyncio.wait_for(stream.stop(deadline=1.0), 3)
    assert len(seen.events) < 10
    assert asyncio.all_tasks() == before, "nobody is left who would deliver it"


async def test_a_handler_that_fails_during_a_stop_gets_nothing_again(
    backend: Backend, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The stop waits for the delivery that runs, and for no other one."""
    begun, gate, told = asyncio.Event(), asyncio.Event(), asyncio.Event()
    stop, calls = Delivery.stop, 0

    def note(delivery: Delivery, task: asyncio.Task[None]) -> None:
        stop(delivery, task)
        told.set()

    monkeypatch.setattr(Delivery, "stop", note)
    stream = backend.make(max_deliveries=50)

    @stream.subscribe("*", group="g")
    async def fail(_: Event) -> None:
        nonlocal calls
        calls += 1
        begun.set()
        await gate.wait()
        raise ValueError("no")

    await stream.start()
    stream.publish_nowait(started("a"))
    await begun.wait()
    stopping = asyncio.create_task(stream.stop(deadline=60.0))
    await told.wait()
    gate.set()
    await asyncio.wait_for(stopping, 15)
    assert calls == 1


@pytest.mark.parametrize("kind", [RedisBackend, PartitionedBackend])
async def test_one_process_handles_an_exclusive_group_and_another_takes_over(
    server: RedisServer, kind: type[RedisBackend]
) -> None:
    """Also what the first had in hand when it died, with the state that it left, in order."""
    backend = kind(server)
    streams = [backend.make(lease=LEASE, min_idle=60.0) for _ in range(3)]
    keepers = [Keeper(stream) for stream in streams]
    for stream in streams:
        await stream.start()
    await eventually(lambda: any(k.holds for k in keepers), "one holds it")
    first = next(k for k in keepers if k.holds)
    number = keepers.index(first)
    events = [started(f"job-{n}") for n in range(20)]
    for event in events[:10]:
        streams[number].publish_nowait(event)
    await first.seen.has(10)
    await first.leases[-1].save(b"what is open")
    with server.client() as client:
        for key in client.keys("*:left"):
            client.hincrby(key, "at", -100)
    first.seen.gate.clear()
    others = [k for k in keepers if k is not first]
    publisher = streams[keepers.index(others[0])]
    for event in events[10:]:
        publisher.publish_nowait(event)
    await first.seen.has(11)
    assert not any(k.seen.events for k in others)
    if kind is RedisBackend:
        await abandon(streams[number])
    else:
        await streams[number].stop(deadline=0.5)
    await eventually(lambda: any(k.holds for k in others), "another holds it")
    heir = next(k for k in others if k.holds)
    assert heir.inherited == [b"what is open"]
    assert heir.leases[-1].age == pytest.approx(100, abs=20), "by Redis's clock"
    await heir.seen.has(10)
    assert heir.seen.ids == [event.id for event in events[10:]]
    assert sum(k.holds for k in others) == 1
    with pytest.raises(LeaseLost):
        await first.leases[-1].save(b"too late")
    await backend.close()


async def test_a_former_holder_handles_nothing(redis_backend: RedisBackend) -> None:
    """It gives up what it has in hand, and takes over again when the lease is free."""
    stream, witness = redis_backend.make(lease=LEASE, min_idle=60.0), Seen()
    keeper = Keeper(stream)
    stream.subscribe("*", group="witness")(witness)
    await stream.start()
    await eventually(lambda: keeper.holds, "it holds the lease")
    before = keeper.leases[-1].epoch
    redis_backend.server.command("SET", "{charter}:leases:g", "1 other", "PX", 2_000)
    await eventually(lambda: not keeper.holds, "it has noticed")
    stream.publish_nowait(started("a"))
    await witness.has(1)
    assert keeper.seen.events == []
    assert not stream.statistics().subscribers[0].holder
    await keeper.seen.has(1)
    assert keeper.leases[-1].epoch > before


@pytest.mark.parametrize("written", ["1 nobody", "no lease"])
async def test_a_lease_that_would_never_expire_gets_an_expiry(
    redis_backend: RedisBackend, written: str
) -> None:
    """Written by hand, or restored without one: after a lease the group has a holder again."""
    redis_backend.server.command("SET", "{charter}:leases:g", written)
    stream = redis_backend.make(lease=LEASE)
    keeper = Keeper(stream)
    await stream.start()
    event = started("a")
    stream.publish_nowait(event)
    await keeper.seen.has(1)
    assert keeper.seen.events == [event]


def _each(seen: Seen) -> BatchHandler:
    async def handle(events: Sequence[Event]) -> None:
        for event in events:
            await seen(event)

    return handle
