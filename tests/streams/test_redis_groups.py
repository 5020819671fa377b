"""Consumer groups: shared work, crashes, take-overs, hostile entries."""

import asyncio
import signal
import sys
from collections.abc import Sequence
from contextlib import suppress
from importlib.resources import files

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from charter_otel.charter import Event, InvalidEvent, encode
from charter_otel.streams import NotNow, RedisStream
from charter_otel.streams.redis import consumer
from charter_otel.streams.redis.consumer import GroupConsumer
from charter_otel.streams.redis.layout import parse
from charter_otel.testing import Capture
from streams.backends import (
    Batches,
    RedisBackend,
    Remembering,
    Seen,
    abandon,
    established,
    published,
    started,
    subscribe,
)
from streams.proxy import Proxy
from support.polling import eventually
from support.redis import RedisServer

pytestmark = pytest.mark.timeout(30)


def pending(backend: RedisBackend) -> object:
    """Return how many entries the group has read and not acknowledged."""
    reply = backend.server.command("XPENDING", "{charter}:events", "g")
    return reply[0] if isinstance(reply, list) else reply


async def test_two_processes_with_one_group_share_the_work(redis_backend: RedisBackend) -> None:
    """Each event is handled by one of the two, and both get some."""
    streams = [redis_backend.make() for _ in range(2)]
    seens = [subscribe(stream) for stream in streams]
    for stream in streams:
        await stream.start()
        await eventually(lambda s=stream: s.statistics().connected, "connected")  # type: ignore[misc]
    events = [started(f"job-{n}") for n in range(200)]
    for event in events:
        streams[0].publish_nowait(event)
        await asyncio.sleep(0.001)
    await eventually(lambda: sum(len(s.events) for s in seens) == 200, "all handled")
    assert sorted(seens[0].ids + seens[1].ids) == sorted(event.id for event in events)
    assert all(seen.events for seen in seens)


async def test_entries_of_a_dead_consumer_are_taken_over(redis_backend: RedisBackend) -> None:
    """Another process gets the event of a consumer that died in its handler, as a redelivery."""
    dying = redis_backend.make(min_idle=0.2)
    hanging = subscribe(dying)
    hanging.gate.clear()
    await dying.start()
    one, two = started("a"), started("b")
    dying.publish_nowait(one)
    dying.publish_nowait(two)
    await hanging.has(1)
    await abandon(dying)
    heir = redis_backend.make(min_idle=0.2)
    seen = subscribe(heir)
    await heir.start()
    await seen.has(2)
    assert seen.events == [one, two]
    await eventually(lambda: heir.statistics().subscribers[0].lag == 0, "no lag")


KILLED = """
import asyncio, os, signal, sys
from charter_otel.streams import NotNow, RedisStream

async def main():
    stream = RedisStream(sys.argv[1])
    left = 150

    @stream.subscribe("*", group="g", start="earliest")
    async def handle(event):
        nonlocal left
        print(event.id, flush=True)
        left -= 1
        if not left:
            os.kill(os.getpid(), signal.SIGKILL)

    await stream.start()
    await asyncio.sleep(60)

asyncio.run(main())
"""


async def test_a_killed_process_loses_no_event(redis_backend: RedisBackend) -> None:
    """SIGKILL in the middle of a batch: what was not handled, and no earlier batch, comes again."""
    publisher = redis_backend.make()
    await publisher.start()
    events = [started(f"job-{n}") for n in range(300)]
    for event in events:
        publisher.publish_nowait(event)
    await published(publisher, 300)
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-c", KILLED, redis_backend.server.url, stdout=asyncio.subprocess.PIPE
    )
    output, _ = await process.communicate()
    begun = output.decode().split()
    assert (process.returncode, begun) == (-signal.SIGKILL, [e.id for e in events[:150]])
    heir = redis_backend.make(min_idle=0.2)
    seen = subscribe(heir)
    await heir.start()
    await eventually(lambda: seen.ids[-1:] == [events[-1].id], "the last event")
    await eventually(lambda: begun[-1] in seen.ids, "the event whose handler did not return")
    await eventually(lambda: heir.statistics().subscribers[0].lag == 0, "no lag")
    assert {*begun[:-1], *seen.ids} == {event.id for event in events}
    assert not {*begun[:100]} & {*seen.ids}


async def test_a_clean_stop_hands_over_at_once(redis_backend: RedisBackend) -> None:
    """Entries that a stopped process could not handle need not wait for the idle time."""
    leaving = redis_backend.make()
    hanging = subscribe(leaving)
    hanging.gate.clear()
    await leaving.start()
    events = [started(f"job-{n}") for n in range(3)]
    for event in events:
        leaving.publish_nowait(event)
    await hanging.has(1)
    await leaving.stop(0.3)
    observer = Remembering()
    heir = redis_backend.make(observer=observer)
    seen = subscribe(heir)
    await heir.start()
    await seen.has(3)
    assert seen.events == events
    # The event in hand at the stop had begun; the other two come for the first time.
    assert len(observer.redeliveries) == 1


async def test_deliveries_are_counted_across_crashes(redis_backend: RedisBackend) -> None:
    """An event that kills its process each time becomes a dead letter; its neighbours do not."""
    poison, good = started("poison"), started("good")
    for round_ in range(3):
        stream = redis_backend.make(min_idle=0.05, max_deliveries=3)
        hanging = subscribe(stream)
        hanging.gate.clear()
        await stream.start()
        if round_ == 0:
            stream.publish_nowait(poison)
            stream.publish_nowait(good)
        await hanging.has(1)
        assert hanging.ids == [poison.id]
        await abandon(stream)
        await asyncio.sleep(0.06)
    heir = redis_backend.make(min_idle=0.05, max_deliveries=3)
    seen = subscribe(heir)
    await heir.start()
    await seen.has(1)
    assert seen.events == [good]
    [dead_letter] = redis_backend.dead_letters(heir)
    assert (dead_letter.event_id, dead_letter.deliveries) == (poison.id, 3)
    assert "not handled in 3 deliveries" in dead_letter.error


async def test_a_slow_handler_is_not_taken_for_a_dead_one(
    redis_backend: RedisBackend, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A handler that takes longer than the idle time keeps its events."""
    monkeypatch.setattr("charter_otel.streams.redis.maintenance.EVERY", 0.05)
    slow, other = (redis_backend.make(min_idle=0.3) for _ in range(2))
    hanging = subscribe(slow)
    hanging.gate.clear()
    await slow.start()
    events = [started(f"job-{n}") for n in range(5)]
    for event in events:
        slow.publish_nowait(event)
    await hanging.has(1)
    looks, claim = list[float](), GroupConsumer._claim_entries

    async def look(by: GroupConsumer, *, of: str, idle: float) -> None:
        await claim(by, of=of, idle=idle)
        looks.append(idle)

    monkeypatch.setattr(GroupConsumer, "_claim_entries", look)
    seen = subscribe(other)
    await other.start()
    # It looks for what is idle twice in the idle time.
    await eventually(lambda: len(looks) >= 5, "it has looked")
    assert not seen.events
    hanging.gate.set()
    await hanging.has(5)
    assert hanging.events == events


async def test_entries_that_are_not_events_are_dead_letters_at_once(
    redis_backend: RedisBackend,
) -> None:
    """The next event arrives, whatever another program wrote into the stream."""
    stream = redis_backend.make()
    seen = subscribe(stream)
    await stream.start()
    await eventually(lambda: stream.statistics().connected, "connected")
    add = ("XADD", "{charter}:events", "*")
    for fields in (("x", b"\xff\x00"), ("event", b"\xff{"), ("event", b'{"id":1}'), ("event", "")):
        redis_backend.server.command(*add, *fields)
    nested = b"[" * 100_000
    redis_backend.server.command(*add, "event", nested)
    event = started("a")
    redis_backend.server.command(*add, "event", encode(event), "traceparent", b"\xff")
    await seen.has(1)
    assert seen.events == [event]
    dead_letters = redis_backend.dead_letters(stream)
    assert len(dead_letters) == 5
    assert {each.deliveries for each in dead_letters} == {1}
    assert all("InvalidEvent" in each.error for each in dead_letters)


@given(
    st.dictionaries(
        st.sampled_from([b"event", b"traceparent", b"x"]), st.binary(max_size=200), max_size=3
    )
)
@settings(max_examples=200, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_parsing_an_entry_of_any_bytes_gives_an_event_or_a_clear_error(
    fields: dict[bytes, bytes],
) -> None:
    """Bytes from outside never raise anything but the one error that is handled."""
    with suppress(InvalidEvent):
        assert isinstance(parse(fields).event, Event)


async def test_events_that_were_trimmed_do_not_stay_pending(redis_backend: RedisBackend) -> None:
    """An entry that is gone from the stream cannot be delivered and is not pending for ever."""
    dying = redis_backend.make(min_idle=0.05)
    hanging = subscribe(dying)
    hanging.gate.clear()
    await dying.start()
    dying.publish_nowait(started("a"))
    await hanging.has(1)
    await abandon(dying)
    redis_backend.server.command("XTRIM", "{charter}:events", "MAXLEN", 0)
    await asyncio.sleep(0.06)
    heir = redis_backend.make(min_idle=0.05)
    seen = subscribe(heir)
    await heir.start()
    event = started("b")
    heir.publish_nowait(event)
    await seen.has(1)
    assert seen.events == [event]

    await eventually(lambda: pending(redis_backend) == 0, "nothing pending")


async def test_all_that_a_dead_consumer_had_comes_before_what_is_new(
    redis_backend: RedisBackend,
) -> None:
    """Also more than a hundred entries, of which the oldest are gone from the stream."""
    events = [started(f"job-{n}") for n in range(151)]
    stream = redis_backend.make(min_idle=0.05)
    await stream.start()
    command = redis_backend.server.command
    command("XGROUP", "CREATE", "{charter}:events", "g", "0", "MKSTREAM")
    for event in events[:150]:
        stream.publish_nowait(event)
    await published(stream, 150)
    dead = ("GROUP", "g", "dead", "COUNT", 150)
    command("XREADGROUP", *dead, "STREAMS", "{charter}:events", ">")
    stream.publish_nowait(events[150])
    await published(stream, 151)
    command("XTRIM", "{charter}:events", "MAXLEN", 150)
    await asyncio.sleep(0.06)
    heir = redis_backend.make(min_idle=0.05)
    seen = subscribe(heir)
    await heir.start()
    await seen.has(150)
    assert seen.events == events[1:]


async def test_waiting_events_come_in_batches(redis_backend: RedisBackend) -> None:
    """A hundred events at once, so that a subscriber that was away catches up quickly."""
    events = [started("job") for _ in range(250)]
    before = redis_backend.make()
    await before.start()
    for event in events:
        before.publish_nowait(event)
    await published(before, 250)
    stream, batches = redis_backend.make(), Batches()
    stream.subscribe_batch("*", group="g", start="earliest")(batches)
    await stream.start()
    await batches.has(250)
    assert [len(batch) for batch in batches.given] == [100, 100, 50]


async def test_a_batch_that_waits_and_is_refused_counts_its_deliveries(
    redis_backend: RedisBackend,
) -> None:
    """Redis has counted a delivery before its handler begins, whatever came before it."""
    before = redis_backend.make()
    await before.start()
    for n in range(2):
        before.publish_nowait(started(f"job-{n}"))
    await published(before, 2)
    stream, errors, counts = redis_backend.make(), [NotNow("busy"), ValueError("no")], list[int]()

    @stream.subscribe_batch("*", group="g", start="earliest")
    async def take(events: Sequence[Event]) -> None:
        reply = redis_backend.server.command("XPENDING", "{charter}:events", "g", "-", "+", 1)
        assert isinstance(reply, list)
        counts.append(reply[0][3])
        if errors and len(events) > 1:
            raise errors.pop(0)

    await stream.start()
    await eventually(lambda: len(counts) == 4, "the batch twice, then each event")
    assert counts[:3] == [1, 1, 1]


async def test_a_batch_that_was_not_acknowledged_comes_again(redis_backend: RedisBackend) -> None:
    """Entries that a killed process had in hand are delivered to the next one, without a gap."""
    events = [started("job") for _ in range(30)]
    dying, hanging = redis_backend.make(), asyncio.Event()

    @dying.subscribe_batch("*", group="g")
    async def hang(_: Sequence[Event]) -> None:
        hanging.set()
        await asyncio.Event().wait()

    await dying.start()
    for event in events:
        dying.publish_nowait(event)
    await hanging.wait()
    await published(dying, 30)
    await abandon(dying)
    heir, batches = redis_backend.make(min_idle=0.05), Batches()
    heir.subscribe_batch("*", group="g")(batches)
    await heir.start()
    await batches.has(30)
    assert sorted(e.id for e in batches.taken) == sorted(e.id for e in events)


async def test_unwanted_types_do_not_stay_pending(redis_backend: RedisBackend) -> None:
    """Events that a group does not want are acknowledged without its handler."""
    stream = redis_backend.make()
    seen = subscribe(stream, "metrics.*")
    await stream.start()
    for n in range(20):
        stream.publish_nowait(established(f"r{n}"))
    event = started("a")
    stream.publish_nowait(event)
    await seen.has(1)
    await eventually(lambda: stream.statistics().subscribers[0].lag == 0, "no lag")
    assert seen.events == [event]


async def test_a_lost_reply_to_a_read_loses_no_event(server: RedisServer) -> None:
    """Entries that Redis gave to a connection that broke are delivered soon, in order."""
    async with Proxy(server.port).running() as proxy:
        stream = RedisStream(proxy.url)
        seen = subscribe(stream)
        await stream.start()
        events = [started(f"job-{n}") for n in range(3)]
        stream.publish_nowait(events[0])
        await seen.has(1)
        proxy.lose_replies_to = b"XREADGROUP"
        await eventually(lambda: proxy.lose_replies_to is None, "a read is about to break")
        for event in events[1:]:
            stream.publish_nowait(event)
        await seen.has(3)
        assert proxy.cuts == 1
        assert seen.events == events
        await stream.stop(1)


async def test_gone_consumers_are_tidied_away(
    redis_backend: RedisBackend, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Consumers of killed processes do not pile up, but one that left something behind stays."""
    maintenance = "charter_otel.streams.redis.maintenance"
    monkeypatch.setattr(f"{maintenance}.EVERY", 0.05)
    monkeypatch.setattr(f"{maintenance}._TIDY_EVERY", 0.0)
    gone, hung = redis_backend.make(), redis_backend.make()
    seen, hanging = subscribe(gone), subscribe(hung)
    hanging.gate.clear()
    await gone.start()
    gone.publish_nowait(started("a"))
    await seen.has(1)

    await eventually(lambda: pending(redis_backend) == 0, "acknowledged")
    await abandon(gone)
    await hung.start()
    hung.publish_nowait(started("b"))
    await hanging.has(1)
    await abandon(hung)
    monkeypatch.setattr(f"{maintenance}._GONE_AFTER", 700)
    left = {s._groups.identity.encode() for s in (gone, hung)}  # type: ignore[attr-defined]
    stream = redis_backend.make()
    heir = subscribe(stream)
    await stream.start()
    stream.publish_nowait(started("c"))
    await heir.has(1)

    def consumers() -> set[object]:
        reply = redis_backend.server.command("XINFO", "CONSUMERS", "{charter}:events", "g")
        return {consumer[1] for consumer in reply} if isinstance(reply, list) else set()

    await eventually(lambda: len(consumers() & left) == 1, "the consumer that left nothing is gone")
    looks = redis_backend.calls("xinfo")
    await eventually(lambda: redis_backend.calls("xinfo") >= looks + 4, "two more rounds")
    assert hung._groups.identity.encode() in consumers()  # type: ignore[attr-defined]


def _jobs(seen: Seen) -> list[str]:
    return [event.payload["job_id"] for event in seen.events]


async def test_the_oldest_entry_ages_until_it_is_acknowledged(redis_backend: RedisBackend) -> None:
    """Whether the group has read it or not, by the clock of Redis."""
    server, key = redis_backend.server, "{charter}:events"
    with server.client() as client:
        now, _ = client.time()
        entry = f"{(now - 90) * 1000}-0"
        client.xadd(key, {"event": "old"}, id=entry)
        client.xadd(key, {"event": "new"})
        client.xgroup_create(key, "g", "0")
        oldest = client.register_script(
            files("charter_otel.streams.redis").joinpath("oldest.lua").read_text()
        )
        assert 90_000 <= oldest([key], ["g", "0-0"]) < 120_000
        client.xreadgroup("g", "reader", {key: ">"}, count=1)
        assert 90_000 <= oldest([key], ["g", entry]) < 120_000
        client.xack(key, "g", entry)
        assert 0 <= oldest([key], ["g", entry]) < 30_000
        [(_, [(newest, _)])] = client.xreadgroup("g", "reader", {key: ">"})
        client.xack(key, "g", newest)
        assert oldest([key], ["g", newest]) == 0


async def test_the_lag_is_known_where_the_age_is_not(
    redis_backend: RedisBackend, charter_capture: Capture
) -> None:
    """To a user who may not ask Redis for its time; one line says so."""
    redis_backend.server.command("ACL", "SETUSER", "default", "-time")
    try:
        stream = redis_backend.make()
        seen = subscribe(stream)
        seen.gate.clear()
        await stream.start()
        for number in range(3):
            stream.publish_nowait(started(f"job-{number}"))
        await eventually(lambda: stream.statistics().subscribers[0].lag == 3, "it is known")
        assert stream.statistics().subscribers[0].age == 0
        seen.gate.set()
        await eventually(lambda: stream.statistics().subscribers[0].lag == 0, "it goes on")
    finally:
        redis_backend.server.command("ACL", "SETUSER", "default", "+time")
    told = [line["event"] for line in charter_capture.lines if "is not known" in line["event"]]
    assert told == ["age of the oldest event is not known"]


@pytest.mark.parametrize("restarted", [False, True])
async def test_events_trimmed_under_a_lagging_group_are_counted_once(
    redis_backend: RedisBackend, monkeypatch: pytest.MonkeyPatch, *, restarted: bool
) -> None:
    """Events that nobody read are lost: a line, a metric and the statistics say how many."""
    monkeypatch.setattr(consumer, "LOOK_AFTER", 0.0)
    observer = Remembering()
    stream = redis_backend.make(observer=observer)
    seen = subscribe(stream)
    await stream.start()
    stream.publish_nowait(started("first"))
    await seen.has(1)
    seen.gate.clear()
    stream.publish_nowait(started("in hand"))
    await seen.has(2)
    for number in range(300):
        stream.publish_nowait(started(f"job-{number}"))
    await published(stream, 302)
    if restarted:
        await stream.stop(0.1)
        stream = redis_backend.make(observer=observer)
        seen = subscribe(stream)
    redis_backend.server.command("XTRIM", "{charter}:events", "MAXLEN", 40)
    seen.gate.set()
    if restarted:
        await stream.start()
    await eventually(lambda: "job-299" in _jobs(seen), "the rest comes")
    trimmed = [count for count, reason in observer.drops if reason == "trimmed"]
    lost = 261 if restarted else 260
    assert sum(trimmed) == lost
    await eventually(lambda: stream.statistics().subscribers[0].lag == 0, "the lag is right")
    assert sum(count for count, reason in observer.drops if reason == "trimmed") == lost
