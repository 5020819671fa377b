"""The contract of event streams with subscribers; each test runs on each backend."""

import asyncio
from typing import Any

import pytest

from charter_otel.charter import Event, EventType
from streams.backends import (
    Backend,
    Batches,
    Remembering,
    established,
    failed,
    started,
    subscribe,
)
from support.polling import eventually

pytestmark = pytest.mark.timeout(20)


async def test_a_subscriber_gets_what_is_published(backend: Backend) -> None:
    """An event arrives as it was published."""
    stream = backend.make()
    seen = subscribe(stream)
    await stream.start()
    event = started("job")
    await stream.publish(event)
    await seen.has(1)
    assert seen.events == [event]


async def test_events_of_a_source_arrive_in_order(backend: Backend) -> None:
    """Many events, published in bursts, arrive in the order of publishing."""
    stream = backend.make()
    seen = subscribe(stream)
    await stream.start()
    events = [started(f"job-{n}") for n in range(500)]
    for n, event in enumerate(events):
        stream.publish_nowait(event)
        if n % 50 == 0:
            await asyncio.sleep(0)
    await seen.has(500)
    assert seen.events == events


async def test_wildcards_choose_event_types(backend: Backend) -> None:
    """Each subscriber gets the types of its patterns, and none twice."""
    stream = backend.make()
    everything = subscribe(stream, "*", group="all")
    robots = subscribe(stream, "telemetry.*", group="robots")
    failures = subscribe(
        stream, "metrics.aggregation_failed", "metrics.*_failed"[:8] + "*", group="f"
    )
    exact = subscribe(stream, EventType.METRICS_AGGREGATION_FAILED, group="exact")
    await stream.start()
    one, two, three = started("a"), failed("b"), established("r1")
    for event in (one, two, three):
        stream.publish_nowait(event)
    await everything.has(3)
    await robots.has(1)
    await failures.has(2)
    await exact.has(1)
    assert robots.events == [three]
    assert failures.events == [one, two]
    assert exact.events == [two]


@pytest.mark.parametrize("patterns", [(), ("",), ("nothing.*",), ("metrics",), ("*", "x"), ("**",)])
async def test_an_empty_or_unknown_pattern_is_refused(
    backend: Backend, patterns: tuple[str, ...]
) -> None:
    """A subscription that could never get an event is an error."""
    with pytest.raises(ValueError, match=r"event type"):
        backend.make().subscribe(*patterns)


async def test_a_group_has_one_handler_in_a_process(backend: Backend) -> None:
    """A second handler of the same group is refused, and told why."""
    stream = backend.make()
    subscribe(stream, "*", group="g")
    with pytest.raises(ValueError, match="another group"):
        subscribe(stream, "*", group="g")


async def test_an_event_is_acknowledged_after_its_handler(backend: Backend) -> None:
    """While the handler runs the event counts as not acknowledged; afterwards it does not."""
    stream = backend.make()
    seen = subscribe(stream)
    seen.gate.clear()
    await stream.start()
    stream.publish_nowait(started("job"))
    await seen.has(1)
    await eventually(lambda: stream.statistics().subscribers[0].lag == 1, "a lag of one")
    await eventually(lambda: 1 < stream.statistics().subscribers[0].age < 60, "it grows old")
    assert stream.statistics().subscribers[0].delivered == 0
    seen.gate.set()
    await eventually(lambda: stream.statistics().subscribers[0].lag == 0, "no lag")
    assert stream.statistics().subscribers[0].age == 0
    assert stream.statistics().subscribers[0].delivered == 1


async def test_a_failed_handler_gets_the_event_again_in_order(backend: Backend) -> None:
    """The event comes again before the next one does."""
    observer = Remembering()
    stream = backend.make(observer=observer)
    seen = subscribe(stream)
    seen.failures = 2
    await stream.start()
    one, two = started("a"), started("b")
    stream.publish_nowait(one)
    stream.publish_nowait(two)
    await seen.has(4)
    assert seen.events == [one, one, one, two]
    assert observer.redeliveries == ["g", "g"]
    assert len(observer.raised) == 2
    await eventually(lambda: stream.statistics().subscribers[0].delivered == 2, "both taken")
    assert stream.statistics().subscribers[0].redelivered == 2


async def test_an_event_in_hand_at_a_stop_is_delivered_again(backend: Backend) -> None:
    """A handler that hangs is cancelled at the deadline, and its event waits for the next start."""
    stream = backend.make()
    seen = subscribe(stream)
    seen.gate.clear()
    await stream.start()
    one, two = started("a"), started("b")
    stream.publish_nowait(one)
    stream.publish_nowait(two)
    await seen.has(1)
    await stream.stop(0.3)
    seen.gate.set()
    await stream.start()
    await seen.has(3)
    assert seen.events == [one, one, two]
    assert stream.statistics().subscribers[0].redelivered == 1


async def test_an_event_becomes_a_dead_letter_after_the_cap(backend: Backend) -> None:
    """After the last delivery the event is put aside with its error, and the next one comes."""
    observer = Remembering()
    stream = backend.make(observer=observer, max_deliveries=3)
    seen = subscribe(stream)
    seen.failures = 3
    await stream.start()
    one, two = started("a"), started("b")
    stream.publish_nowait(one)
    stream.publish_nowait(two)
    await seen.has(4)
    assert seen.events == [one, one, one, two]
    assert observer.dead == ["g"]
    dead_letters = backend.dead_letters(stream)
    assert [tuple(each) for each in dead_letters] == [
        (one.id, "g", "RuntimeError: told to fail", 3)
    ]
    assert stream.statistics().subscribers[0].dead_lettered == 1


async def test_a_handler_of_batches_gets_every_event_in_order(backend: Backend) -> None:
    """However many come at once, those of its types come once each, as they were published."""
    stream, batches = backend.make(), Batches()
    stream.subscribe_batch("metrics.*", group="g")(batches)
    await stream.start()
    events = [started("job") for _ in range(250)]
    for event in events:
        stream.publish_nowait(event)
        stream.publish_nowait(established("r1"))
    await batches.has(250)
    assert batches.taken == [event for batch in batches.given for event in batch] == events
    await eventually(lambda: stream.statistics().subscribers[0].lag == 0, "no lag")
    assert stream.statistics().subscribers[0].delivered == 250


async def test_a_batch_that_fails_is_taken_apart(backend: Backend) -> None:
    """Only the event that the handler does not take becomes a dead letter; the others stay."""
    events = [started("job") for _ in range(20)]
    observer = Remembering()
    stream, batches = backend.make(observer=observer, max_deliveries=2), Batches(events[7])
    stream.subscribe_batch("*", group="g")(batches)
    await stream.start()
    for event in events:
        stream.publish_nowait(event)
    await batches.has(19)
    assert batches.taken == events[:7] + events[8:]
    assert observer.dead == ["g"]
    [dead_letter] = backend.dead_letters(stream)
    assert tuple(dead_letter) == (events[7].id, "g", "RuntimeError: told to fail", 2)


async def test_slow_and_failing_subscribers_delay_nobody_else(backend: Backend) -> None:
    """One handler hangs, one fails for ever; the third gets everything."""
    stream = backend.make(max_deliveries=1000)
    slow = subscribe(stream, "*", group="slow")
    slow.gate.clear()
    failing = subscribe(stream, "*", group="failing")
    failing.failures = 10_000
    good = subscribe(stream, "*", group="good")
    await stream.start()
    events = [started(f"job-{n}") for n in range(300)]
    for event in events:
        stream.publish_nowait(event)
    await good.has(300)
    assert good.events == events
    assert len(slow.events) == 1
    assert set(failing.ids) == {events[0].id}


async def test_a_cancellation_inside_a_handler_is_a_failure_like_any(backend: Backend) -> None:
    """A handler whose own subtask was cancelled does not end the subscriber."""
    stream = backend.make()
    calls: list[Event] = []

    @stream.subscribe("*", group="g")
    async def handler(event: Event) -> None:
        calls.append(event)
        if len(calls) == 1:
            raise asyncio.CancelledError

    await stream.start()
    stream.publish_nowait(started("job"))
    await eventually(lambda: len(calls) == 2, "a second delivery")


async def test_an_event_published_twice_is_one_event(backend: Backend) -> None:
    """Publishing is idempotent by event id."""
    stream = backend.make()
    seen = subscribe(stream)
    await stream.start()
    one, two = started("a"), started("b")
    for event in (one, one, two):
        stream.publish_nowait(event)
    await seen.has(2)
    assert seen.events == [one, two]


async def test_the_observer_is_notified_of_publishing_and_processing(backend: Backend) -> None:
    """The observer surrounds each handling and gets the publisher's trace context."""
    observer = Remembering()
    stream = backend.make(observer=observer)
    seen = subscribe(stream)
    await stream.start()
    traceparent = f"00-{'a' * 32}-{'b' * 16}-01"
    one, two = started("a"), started("b")
    stream.publish_nowait(one, traceparent=traceparent)
    stream.publish_nowait(two)
    await seen.has(2)
    await eventually(lambda: sum(observer.batches) == 2, "both told")
    assert [(system, group, id_, tp) for system, _, group, id_, tp in observer.processed] == [
        (backend.name, "g", one.id, traceparent),
        (backend.name, "g", two.id, None),
    ]


async def test_subscribing_to_a_running_stream_begins_to_deliver(backend: Backend) -> None:
    """A new subscriber gets what is published from then on."""
    stream = backend.make()
    await stream.start()
    early = started("early")
    stream.publish_nowait(early)
    await eventually(lambda: stream.statistics().published == 1, "published")
    seen = subscribe(stream)
    late = started("late")
    stream.publish_nowait(late)
    await seen.has(1)
    assert seen.events == [late]


async def test_a_subscriber_may_begin_with_the_earliest_event(backend: Backend) -> None:
    """A group that the stream does not know gets the past, if it asks for it."""
    stream = backend.make()
    await stream.start()
    events = [started("a"), established("r1"), started("b")]
    for event in events:
        stream.publish_nowait(event)
    await eventually(lambda: stream.statistics().published == 3, "published")
    seen = subscribe(stream, "metrics.*", start="earliest")
    await seen.has(2)
    assert seen.events == [events[0], events[2]]


async def test_a_handler_that_cannot_be_awaited_is_refused(backend: Backend) -> None:
    """Else its events would be delivered again and again, for none would count as handled."""

    def handler(event: Event) -> None:
        del event

    refused: Any = handler
    with pytest.raises(TypeError, match="async def"):
        backend.make().subscribe("metrics.*")(refused)


async def test_a_handler_may_publish(backend: Backend) -> None:
    """A handler that publishes what another subscriber wants does not deadlock."""
    stream = backend.make()
    answers = subscribe(stream, "metrics.aggregation_failed", group="answers")
    answer = failed("answer")

    @stream.subscribe("metrics.aggregation_started", group="asks")
    async def handler(event: Event) -> None:
        del event
        await stream.publish(answer)

    await stream.start()
    stream.publish_nowait(started("question"))
    await answers.has(1)
    assert answers.events == [answer]
