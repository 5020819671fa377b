"""Helpers with which commands wait."""

import asyncio
import os
import signal
from random import Random

import pytest
import structlog

from charter_otel.aio import (
    Allowance,
    Backoff,
    cancel,
    spawn,
    stop_on_signal,
    until_first,
    wait_for,
)


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
async def test_a_signal_asks_to_stop(number: signal.Signals) -> None:
    """Ctrl-C and SIGTERM set the event, and raise nothing."""
    with stop_on_signal() as stop:
        os.kill(os.getpid(), number)
        assert await wait_for(stop, 5)


async def test_a_second_interrupt_is_not_held_back() -> None:
    """After the first signal the system's own handling is back."""
    with stop_on_signal() as stop:
        os.kill(os.getpid(), signal.SIGINT)
        await stop.wait()
        assert signal.getsignal(signal.SIGINT) is signal.default_int_handler


async def test_waiting_ends_when_time_is_up() -> None:
    """`wait_for` tells whether the event was set."""
    assert not await wait_for(asyncio.Event(), 0.01)


async def test_the_others_end_with_the_first() -> None:
    """Coroutines that still run are cancelled, and have ended when `until_first` returns."""
    ended = []

    async def forever() -> None:
        try:
            await asyncio.Event().wait()
        finally:
            ended.append(True)

    await until_first(forever(), asyncio.sleep(0.01), forever())
    assert ended == [True, True]


async def test_the_error_of_the_first_is_raised() -> None:
    """A failure comes through as it is, not in a group."""

    async def fail() -> None:
        raise ConnectionError("gone")

    with pytest.raises(ConnectionError, match="gone"):
        await until_first(fail(), asyncio.Event().wait())


@pytest.mark.parametrize(("swallowed", "ends"), [(0, True), (4, True), (5, False)])
async def test_a_task_that_swallows_cancellations_ends(swallowed: int, *, ends: bool) -> None:
    """It is cancelled five times, as `asyncio.wait_for` may swallow some; then a line names it."""
    left = swallowed

    async def resist() -> None:
        nonlocal left
        while True:
            try:
                await asyncio.Event().wait()
            except asyncio.CancelledError:
                if not left:
                    raise
                left -= 1

    task = spawn(resist(), "stubborn")
    await asyncio.sleep(0)
    with structlog.testing.capture_logs() as lines:
        await cancel(task)
    assert task.done() == ends
    assert [line["task"] for line in lines] == ([] if ends else ["stubborn"])
    task.cancel()


def test_pauses_grow_to_a_limit_and_start_over() -> None:
    """Each pause is random, about twice the one before, until an attempt is successful."""
    pauses = Backoff(0.5, 10.0, Random(1))  # noqa: S311 - jitter is not a secret
    lengths = [pauses.next() for _ in range(20)]
    assert lengths[0] <= 0.5
    assert 5.0 <= lengths[-1] <= 10.0
    assert len(set(lengths)) == 20
    pauses.reset()
    assert pauses.next() <= 0.5


def test_the_allowance_fills_up_to_one_second_s_worth() -> None:
    """At the limit all is allowed, one over it is not, a tenth of a second earns a tenth."""
    now = [100.0]
    allowance = Allowance(10, clock=lambda: now[0])
    assert [allowance.spend() for _ in range(11)] == [True] * 10 + [False]
    now[0] += 0.125
    assert [allowance.spend() for _ in range(2)] == [True, False]
    now[0] += 3_600
    assert sum(allowance.spend() for _ in range(20)) == 10
