"""The queue in front of the publisher with a disk behind it."""

import asyncio
import contextlib
import resource
import sqlite3
import subprocess
import sys
import threading
import time
from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from types import SimpleNamespace
from typing import Any

import pytest
import structlog
from hypothesis import given, settings
from hypothesis import strategies as st

from charter_otel.streams.outbox import Outbox
from charter_otel.streams.pending import PendingEvent
from charter_otel.streams.spool import Spool
from charter_otel.streams.spool.directory import SpoolDirectory
from charter_otel.streams.spool.file import SpoolFile, SpoolPage
from charter_otel.streams.spool.spiller import Spiller
from charter_otel.streams.types import DropReason
from support.fake_time import settle
from support.polling import eventually

STEPS = ["put", "put", "spill", "spill_soon", "turn", "take", "done", "give_back", "reopen"]


def outgoing(name: int, size: int = 10) -> PendingEvent:
    """Return an event on its way."""
    return PendingEvent(f"evt_metrics_{name:013d}_aaaaaa", name, b"x" * size, None)


class Account:
    """An outbox, and what became of every event that was put into it."""

    def __init__(self, path: Path, *, capacity: int = 100, limit: int = 1_000_000) -> None:
        self.drops: list[tuple[int, str]] = []
        self.published: list[int] = []
        self.put_count = 0
        self.taken: Sequence[PendingEvent] = ()
        self.spool = Spool(path, "s", limit=limit)
        self.outbox = Outbox(capacity, drop=self._dropped, spool=self.spool, batch=3)

    def put(self, count: int = 1) -> None:
        """Put events."""
        for _ in range(count):
            self.outbox.put(outgoing(self.put_count))
            self.put_count += 1

    async def take(self) -> None:
        """Take a batch, which must be the oldest."""
        async with asyncio.timeout(5):
            self.taken = await self.outbox.take()

    def done(self) -> None:
        """Publish the batch."""
        self.published += [event.minute for event in self.taken]
        self.taken = ()
        self.outbox.done()

    def give_back(self) -> None:
        """Fail the batch."""
        self.taken = ()
        self.outbox.give_back()

    async def publish_all(self) -> None:
        """Publish everything that waits."""
        while len(self.outbox):
            await self.take()
            self.done()

    @property
    def dropped(self) -> int:
        """Events given up."""
        return sum(count for count, _ in self.drops)

    def check(self) -> None:
        """Check that each event is somewhere, and only there."""
        waiting = self.outbox.queued + self.outbox.spooled
        assert self.outbox.queued >= 0
        assert self.outbox.spooled >= 0
        assert self.put_count + self.outbox.recovered == (
            len(self.published) + waiting + self.dropped
        )

    def _dropped(self, count: int, reason: DropReason) -> None:
        self.drops.append((count, reason))


@asynccontextmanager
async def opened(path: Path, **options: Any) -> AsyncIterator[Account]:
    """Yield an outbox that is open."""
    account = Account(path, **options)
    await account.outbox.open()
    try:
        yield account
    finally:
        await account.outbox.close(time.monotonic() + 5)
        account.check()


@settings(max_examples=60, deadline=None)
@given(
    st.sampled_from([40, 100, 100_000]),
    st.integers(1, 8),
    st.lists(st.sampled_from(STEPS), max_size=40),
)
def test_every_event_is_published_dropped_or_waiting(
    limit: int, capacity: int, steps: list[str]
) -> None:
    """No event is lost uncounted and the order stays, whatever happens in whatever order."""
    with TemporaryDirectory() as directory:
        asyncio.run(_account(Path(directory), limit, capacity, steps))


async def _account(path: Path, limit: int, capacity: int, steps: list[str]) -> None:
    async with opened(path, limit=limit, capacity=capacity) as account:
        spilling: set[asyncio.Task[None]] = set()
        for step in steps:
            await _step(account, step, spilling)
            account.check()
        account.give_back()
        await asyncio.gather(*spilling)
        await account.publish_all()
        account.check()
        assert account.published == sorted(set(account.published))


async def _step(account: Account, step: str, spilling: set[asyncio.Task[None]]) -> None:
    outbox = account.outbox
    if step == "put":
        account.put(2)
    elif step == "spill":
        await outbox.spill()
    elif step == "spill_soon":
        spilling.add(asyncio.create_task(outbox.spill()))
        await asyncio.sleep(0)
    elif step == "turn":
        await asyncio.sleep(0.001)
    elif step == "take" and not account.taken and len(outbox):
        await account.take()
    elif step == "done":
        account.done()
    elif step == "give_back":
        account.give_back()
    elif step == "reopen":
        account.give_back()
        await asyncio.gather(*spilling)
        await outbox.close(time.monotonic() + 5)
        await outbox.open()


async def test_waiting_events_go_to_disk_within_a_tenth_of_a_second(tmp_path: Path) -> None:
    """So long is what a killed process loses; a batch in the publisher's hand goes there too."""
    waited = []
    async with opened(tmp_path) as account:
        for _ in range(5):
            account.put()
            begun = time.monotonic()
            if account.put_count == 1:
                await account.take()
            await eventually(lambda: account.outbox.queued == 0, "on disk")
            waited.append(time.monotonic() - begun)
        assert account.outbox.spooled == 5
    assert min(waited) < 0.1  # any of them may wait for a busy machine


async def test_events_that_are_published_at_once_never_touch_the_disk(tmp_path: Path) -> None:
    """The disk costs nothing while the stream takes what comes."""
    async with opened(tmp_path) as account:
        for _ in range(100):
            account.put()
            await account.take()
            account.done()
            await asyncio.sleep(0.001)
        assert account.outbox.replayed == 0
        assert account.spool._own().count == 0


async def test_events_that_change_from_tick_to_tick_stay_in_memory() -> None:
    """A stream that takes what comes leaves some waiting at each tick, but none at two."""
    looks, calls = 0, list[str]()

    def watch() -> Callable[[], bool]:
        nonlocal looks
        looks += 1
        return lambda: False

    async def call(name: str) -> None:
        calls.append(name)

    spiller = Spiller(
        watch=watch,
        spill=lambda: call("spill"),
        adopt=lambda: call("adopt"),
        end=lambda: call("end"),
    )
    spiller.start()
    spiller.notice()
    await eventually(lambda: looks > 2, "it has looked")
    await spiller.stop(time.monotonic() + 5)
    assert calls == ["end"]


async def test_a_batch_that_is_published_on_its_way_to_disk_comes_once(tmp_path: Path) -> None:
    """The stream's answer and the disk's may cross."""
    async with opened(tmp_path) as account:
        account.put(3)
        await account.take()
        spilling = asyncio.create_task(account.outbox.spill())
        await asyncio.sleep(0)
        account.done()
        account.put(2)
        await spilling
        await account.outbox.spill()
        await account.publish_all()
        assert account.published == [0, 1, 2, 3, 4]


async def test_a_batch_that_fails_on_its_way_to_disk_comes_again(tmp_path: Path) -> None:
    """It is on disk then, before what came after it."""
    async with opened(tmp_path) as account:
        account.put(5)
        await account.take()
        spilling = asyncio.create_task(account.outbox.spill())
        await asyncio.sleep(0)
        account.give_back()
        account.check()
        await spilling
        assert account.outbox.spooled == 5
        await account.publish_all()
        assert account.published == [0, 1, 2, 3, 4]


async def test_a_burst_beyond_the_queue_goes_to_disk(tmp_path: Path) -> None:
    """A queue that is full is brought to disk, and nothing is dropped."""
    async with opened(tmp_path, capacity=10) as account:
        for _ in range(5):
            account.put(45)
            await eventually(lambda: account.outbox.queued == 0, "on disk")
        assert account.drops == []
        await account.publish_all()
        assert account.published == list(range(225))
        assert account.outbox.replayed == 225


async def test_events_of_before_come_first_after_a_restart(tmp_path: Path) -> None:
    """The next process publishes what the last one could not, in order, before its own."""
    async with opened(tmp_path) as account:
        account.put(5)
    async with opened(tmp_path) as successor:
        assert successor.outbox.recovered == 5
        successor.put_count = 5
        successor.put(2)
        await successor.publish_all()
        assert successor.published == list(range(7))
        successor.put_count = 2
    assert account.outbox.spooled == 5


async def test_two_tasks_that_open_a_spool_open_one_file(tmp_path: Path) -> None:
    """The start and the first write may come together; a second file would stay locked."""
    spool = Spool(tmp_path, "s")
    assert all(await asyncio.gather(spool.open(), spool.open()))
    assert _files(tmp_path) == 1
    await spool.close()


def _files(path: Path) -> int:
    return len(list(path.glob("*.sqlite3")))


HANGING = """
import threading
from charter_otel.streams.spool.worker import DiskThread
DiskThread("spool").submit(threading.Event().wait)
"""


def test_a_disk_that_hangs_keeps_no_process_from_ending() -> None:
    """The thread is given up with what it does."""
    subprocess.run([sys.executable, "-c", HANGING], check=True, timeout=20)


async def test_an_error_that_nobody_expected_is_said(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The spool goes on all the same."""
    look, failures = Spiller._look, [RuntimeError("told to fail")]

    async def failing(spiller: Spiller) -> None:
        if failures:
            raise failures.pop()
        await look(spiller)

    monkeypatch.setattr(Spiller, "_look", failing)
    with structlog.testing.capture_logs() as lines:
        async with opened(tmp_path) as account:
            account.put(5)
            await eventually(lambda: account.outbox.spooled == 5, "on disk")
    assert "spool failed, and is tried again" in [line["event"] for line in lines]


async def test_a_full_spool_drops_the_oldest_and_counts(tmp_path: Path) -> None:
    """Beyond its limit the disk keeps the newest."""
    async with opened(tmp_path, limit=100) as account:
        for _ in range(6):
            account.put(5)
            await account.outbox.spill()
        assert account.drops == [(5, "spool_full")] * 4
        await account.publish_all()
        assert account.published == list(range(20, 30))


async def test_a_directory_that_cannot_be_written_is_said_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Without a disk events wait in memory, bounded; one line says so, and one that it is over."""
    monkeypatch.setattr("charter_otel.streams.spool.spool.RETRY_AFTER", 0.02)
    path = tmp_path / "spool"
    path.write_text("in the way")
    with structlog.testing.capture_logs() as lines:
        async with opened(path, capacity=10) as account:
            account.put(15)
            await _fails(account.spool, 3)
            assert account.drops == [(1, "queue_full")] * 5
            assert account.outbox.queued == 10
            path.unlink()
            await eventually(lambda: account.outbox.spooled == 10, "on disk")
            await account.publish_all()
            assert account.published == list(range(5, 15))
    told = [line["event"] for line in lines if line["log_level"] == "warning"]
    assert len(told) == 1
    assert "CHARTER_STATE_DIR" in told[0]
    assert [line["event"] for line in lines][-1] == "spool on disk works again"


async def test_a_full_disk_is_survived(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Events wait in memory until there is room, although the line that says so fails too."""
    monkeypatch.setattr("charter_otel.streams.spool.spool.RETRY_AFTER", 0.02)
    async with opened(tmp_path, capacity=50) as account:
        account.put(5)
        await account.outbox.spill()
        with _no_file_grows():
            account.put(60)
            await eventually(lambda: not account.spool.works, "the full disk is noticed")
            account.put(60)
            await _fails(account.spool, 3)
            account.check()
            assert account.outbox.spooled == 5
            assert account.outbox.queued == 50
            assert {reason for _, reason in account.drops} == {"queue_full"}
        await eventually(lambda: account.outbox.queued == 0, "on disk again")
        await eventually(lambda: account.spool.works, "and that is known")
        await account.publish_all()
        assert account.published == [*range(5), *range(75, 125)]


async def test_a_full_disk_behind_a_full_queue_does_not_hold_up_the_loop(tmp_path: Path) -> None:
    """Until it is time to try the disk again, whoever else has something to do does it."""
    async with opened(tmp_path, capacity=5) as account:
        with _no_file_grows():
            account.put(5)
            await eventually(lambda: not account.spool.works, "the full disk is noticed")
            account.put(5)
            begun = time.monotonic()
            for _ in range(12):
                await asyncio.sleep(0.01)
            # One that is held up gets a turn in each second, with each try of the disk.
            assert time.monotonic() - begun < 8


async def _fails(spool: Spool, times: int) -> None:
    """Wait until the disk was tried so often again, and has failed each time."""
    tried = {spool._retry_at}

    def failed() -> bool:
        tried.add(spool._retry_at)
        return len(tried) > times

    await eventually(failed, f"the disk fails {times} times")


@contextlib.contextmanager
def _no_file_grows() -> Iterator[None]:
    """Let no file of this process grow, as on a full disk."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (1, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


async def test_a_stop_waits_half_a_second_for_a_disk_that_hangs(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """However late it is, and no longer."""
    loop = asyncio.get_running_loop()
    now = [loop.time()]
    monkeypatch.setattr(loop, "time", lambda: now[0])

    async def hang() -> None:
        await asyncio.Event().wait()

    spiller = Spiller(watch=lambda: None, spill=hang, adopt=hang, end=hang)
    spiller.start()
    await settle()
    stopping = asyncio.create_task(spiller.stop(time.monotonic()))
    await settle()
    for later, done in ((0.49, False), (0.02, True)):
        now[0] += later
        await settle()
        assert stopping.done() is done


async def test_urgent_events_do_not_wait_for_the_tick(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """More than memory should hold is brought to disk at once."""
    monkeypatch.setattr("charter_otel.streams.spool.spiller.TICK", 60.0)
    spilled = asyncio.Event()

    async def spill() -> None:
        spilled.set()

    async def nothing() -> None:
        pass

    spiller = Spiller(watch=lambda: lambda: True, spill=spill, adopt=nothing, end=nothing)
    spiller.start()
    await settle()
    assert not spilled.is_set()
    spiller.notice(urgent=True)
    async with asyncio.timeout(10):
        await spilled.wait()
    await spiller.stop(time.monotonic())


async def test_events_of_a_dead_instance_are_found_while_running(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """An instance that is not started again leaves its events to the others."""
    monkeypatch.setattr("charter_otel.streams.spool.spiller.ADOPT_EVERY", 0.05)
    async with opened(tmp_path) as dying, opened(tmp_path) as account:
        dying.put(3)
        await dying.outbox.close(time.monotonic() + 1)
        await eventually(lambda: account.outbox.recovered == 3, "adopted")
        await account.publish_all()
        assert account.published == [0, 1, 2]


async def test_events_of_dead_instances_are_looked_for_once_a_minute(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """However often the instance's own events wait meanwhile: each look opens files."""
    now, looks = [1_000.0], []
    stopped = SimpleNamespace(monotonic=lambda: now[0])
    monkeypatch.setattr("charter_otel.streams.spool.spiller.time", stopped)

    async def adopt() -> None:
        looks.append(now[0])

    async def nothing() -> None:
        pass

    spiller = Spiller(watch=lambda: None, spill=nothing, adopt=adopt, end=nothing)
    spiller.start()
    for second in range(180):
        now[0] = 1_000.0 + second
        spiller.notice()
        await settle()
    await spiller.stop(now[0])
    assert looks == [1_060.0, 1_120.0]


async def test_events_of_a_dead_instance_are_found_at_the_start(tmp_path: Path) -> None:
    """They come before the events of the instance that starts."""
    async with opened(tmp_path) as first:
        async with opened(tmp_path) as dying:
            dying.put(3)
        first.check()
    async with opened(tmp_path) as account:
        assert account.outbox.recovered == 3
        await account.publish_all()
        assert account.published == [0, 1, 2]


async def test_events_of_a_dead_instance_that_do_not_fit_are_counted_as_lost(
    tmp_path: Path,
) -> None:
    """The oldest are dropped, as in a spool that its own events fill."""
    async with opened(tmp_path), opened(tmp_path) as dying:
        dying.put(20)
    async with opened(tmp_path, limit=100) as account:
        assert account.outbox.recovered == 20
        await eventually(lambda: account.drops, "some are dropped")
        await account.publish_all()
        [(lost, reason)] = account.drops
        assert (reason, account.published) == ("spool_full", list(range(lost, 20)))


async def test_a_closed_spool_leaves_no_thread(tmp_path: Path) -> None:
    """However often a service starts in one process."""
    async with opened(tmp_path) as account:
        account.put(1)
    await eventually(
        lambda: "charter spool" not in [thread.name for thread in threading.enumerate()],
        "the thread has ended",
    )


async def test_a_spool_that_is_damaged_while_it_is_open(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its content is counted, a batch in hand is not lost, and a new file takes what comes."""
    async with opened(tmp_path) as account:
        account.put(8)
        await account.outbox.spill()
        await account.take()
        with monkeypatch.context() as patch:
            patch.setattr(SpoolFile, "append", _malformed)
            account.put(2)
            await eventually(lambda: account.drops, "the damage is noticed")
        assert account.drops == [(5, "spool_damaged")]
        account.done()
        await eventually(lambda: account.outbox.spooled == 2, "on disk again")
        await account.publish_all()
        assert account.published == [0, 1, 2, 8, 9]
    assert await asyncio.to_thread(lambda: list(tmp_path.glob("*.damaged-*")))


async def test_a_spool_that_is_found_damaged_gives_what_can_be_read(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The new file has it, in order; here that is everything."""
    real, damaged = SpoolFile.read, [True]

    def read(file: SpoolFile, *limits: int) -> SpoolPage:
        if damaged:
            damaged.clear()
            _malformed()
        return real(file, *limits)

    async with opened(tmp_path) as account:
        account.put(8)
        await account.outbox.spill()
        monkeypatch.setattr(SpoolFile, "read", read)
        await account.publish_all()
        assert account.published == list(range(8))
        assert account.drops == []
    assert await asyncio.to_thread(lambda: list(tmp_path.glob("*.damaged-*")))


async def test_a_disk_that_stumbles_when_it_is_read_loses_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The next read returns what this one could not, in order."""
    real, stumbles = SpoolFile.read, [2]

    def read(file: SpoolFile, *limits: int) -> SpoolPage:
        if stumbles[0]:
            stumbles[0] -= 1
            error = sqlite3.OperationalError("disk I/O error")
            error.sqlite_errorcode = sqlite3.SQLITE_IOERR
            raise error
        return real(file, *limits)

    async with opened(tmp_path) as account:
        account.put(8)
        await account.outbox.spill()
        monkeypatch.setattr(SpoolFile, "read", read)
        await account.publish_all()
        assert account.published == list(range(8))
        assert account.drops == []
    assert not await asyncio.to_thread(lambda: list(tmp_path.glob("*.damaged-*")))


async def test_a_failed_write_keeps_no_more_than_memory_may_hold(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The excess is dropped and counted at once, whether or not more is put."""
    async with opened(tmp_path, capacity=10) as account:
        await account.outbox.spill()

        def full(*_: object) -> None:
            raise OSError(28, "No space left on device")

        monkeypatch.setattr(SpoolFile, "append", full)
        account.put(40)
        await eventually(lambda: account.drops, "too much is dropped")
        assert account.outbox.queued == 10
        assert account.dropped == 30


async def test_events_that_the_disk_gives_back_wrong_are_counted(tmp_path: Path) -> None:
    """A flipped bit costs the event that it is in, and no other."""
    async with opened(tmp_path) as account:
        account.put(9)
        await account.outbox.spill()
        file = account.spool._own()
        await account.spool._call(
            lambda: file._connection.execute(
                "UPDATE events SET data = x'00' WHERE minute IN (1, 4)"
            )
        )
        await account.publish_all()
        assert account.published == [0, 2, 3, 5, 6, 7, 8]
        assert account.dropped == 2


def _malformed(*_: Any) -> None:
    error = sqlite3.DatabaseError("database disk image is malformed")
    error.sqlite_errorcode = sqlite3.SQLITE_CORRUPT
    raise error


async def test_a_disk_that_hangs_does_not_hold_up_the_stop(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The stop keeps its deadline; what may not have got to the disk is given up and counted."""
    account = Account(tmp_path)
    await account.outbox.open()
    with monkeypatch.context() as patch:
        let_go = threading.Event()
        patch.setattr(SpoolFile, "append", lambda *_: let_go.wait(10))
        account.put(3)
        begun = time.monotonic()
        await account.outbox.close(begun + 0.6)
        assert time.monotonic() - begun < 5
        let_go.set()
    assert account.outbox.clear() == 3


async def test_a_disk_that_hangs_does_not_hold_up_the_start(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The start goes on without; what is found later is published later, and nothing twice."""
    async with opened(tmp_path) as account:
        account.put(2)
    open_file, let_go = SpoolDirectory.open, threading.Event()

    def slowly(directory: SpoolDirectory) -> SpoolFile:
        let_go.wait(10)
        return open_file(directory)

    monkeypatch.setattr("charter_otel.streams.outbox.OPEN_WITHIN", 0.05)
    monkeypatch.setattr(SpoolDirectory, "open", slowly)
    successor = Account(tmp_path)
    begun = time.monotonic()
    with structlog.testing.capture_logs() as lines:
        await successor.outbox.open()
    assert time.monotonic() - begun < 5
    assert "takes long" in lines[0]["event"]
    successor.put(1)
    let_go.set()
    await eventually(lambda: successor.outbox.spooled == 3, "everything on disk")
    successor.check()
    await successor.publish_all()
    assert sorted(successor.published) == [0, 0, 1]
    await successor.outbox.close(time.monotonic() + 5)
