"""The file that events wait in while the stream does not take them."""

import errno
import fcntl
import multiprocessing
import os
import signal
import sqlite3
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from unittest.mock import Mock
from zlib import crc32

import pytest
from hypothesis import given
from hypothesis import strategies as st

from charter_otel.charter import encode
from charter_otel.streams.pending import PendingEvent
from charter_otel.streams.spool.adopting import adopt_into
from charter_otel.streams.spool.directory import SpoolDirectory, leftovers, put_aside
from charter_otel.streams.spool.file import SpoolFile
from charter_otel.testing import Capture
from streams.backends import started

LIMIT = 1_000_000


def outgoing(name: int, size: int = 10) -> PendingEvent:
    """Return an event on its way."""
    return PendingEvent(f"evt_metrics_{name:013d}_aaaaaa", name, b"x" * size, None)


@contextmanager
def opened(path: Path, limit: int = LIMIT) -> Iterator[SpoolFile]:
    """Yield a file that is open."""
    file = SpoolFile(path, limit=limit)
    try:
        yield file
    finally:
        file.close()


def names(file: SpoolFile, limit: int = 1000) -> list[int]:
    """Read the oldest events and give their names."""
    return [event.minute for event in file.read(limit, LIMIT).events]


def test_added_entries_are_there_after_a_restart(tmp_path: Path) -> None:
    """Events come back in order and whole, and what was forgotten does not."""
    path = tmp_path / "spool"
    events = [outgoing(n)._replace(traceparent=f"00-{n}") for n in range(5)]
    with opened(path) as file:
        file.append(events)
        file.forget(file.read(2, LIMIT).last)
    with opened(path) as file:
        assert file.count == 3
        assert file.read(10, LIMIT).events == events[2:]


@given(
    st.integers(10, 60),
    st.lists(st.tuples(st.sampled_from(["append", "read", "forget"]), st.integers(1, 4))),
)
def test_every_event_is_read_forgotten_or_evicted(limit: int, steps: list[tuple[str, int]]) -> None:
    """The oldest go first, what is being published stays, and the count is right."""
    with opened(Path(":memory:"), limit) as file:
        added = gone = 0
        in_hand: list[int] = []
        last = 0
        for step, count in steps:
            if step == "append":
                evicted = file.append([outgoing(added + n) for n in range(count)]).evicted
                added += count
                if not in_hand:
                    gone += evicted
                elif evicted:
                    assert names(file)[: len(in_hand)] == in_hand
                    return
            elif step == "read":
                page = file.read(count, LIMIT)
                in_hand, last = [event.minute for event in page.events], page.last
                assert in_hand == list(range(gone, min(added, gone + count)))
            else:
                file.forget(last)
                gone += len(in_hand)
                in_hand = []
            assert file.count == added - gone


def test_a_page_is_bounded_in_bytes(tmp_path: Path) -> None:
    """A page ends before it grows too big, and holds at least one event."""
    with opened(tmp_path / "spool") as file:
        file.append([outgoing(n, size) for n, size in enumerate((100, 10, 10, 10))])
        pages = []
        while (page := file.read(100, 25)).events:
            pages.append([event.minute for event in page.events])
            file.forget(page.last)
    assert pages == [[0], [1, 2], [3]]


def test_an_emptied_file_gives_its_space_back(tmp_path: Path) -> None:
    """After an outage the file is small again."""
    path = tmp_path / "spool"
    with opened(path, 10_000_000) as file:
        file.append([outgoing(n, 1000) for n in range(2000)])
        file.forget(file.read(5000, 10_000_000).last)
        sizes = [each.stat().st_size for each in tmp_path.iterdir()]
    assert sum(sizes) < 100_000


def test_space_is_given_back_once_the_file_is_empty(tmp_path: Path) -> None:
    """Not with each page of a long spool: each time is a wait for the disk."""
    path = tmp_path / "spool"
    with opened(path) as file:
        file.append([outgoing(n) for n in range(20)])
        sizes = []
        for _ in range(2):
            file.forget(file.read(10, LIMIT).last)
            sizes.append(path.with_name("spool-wal").stat().st_size)
    assert [size > 0 for size in sizes] == [True, False]


def test_a_changed_byte_is_found(tmp_path: Path) -> None:
    """An event that is not what was written is not given, and counted."""
    path = tmp_path / "spool"
    with opened(path) as file:
        file.append([outgoing(n) for n in range(3)])
    with sqlite3.connect(path) as connection:
        connection.execute("UPDATE events SET data = x'00' WHERE minute = 1")
    connection.close()
    with opened(path) as file:
        page = file.read(10, LIMIT)
        assert [event.minute for event in page.events] == [0, 2]
        assert page.damaged == 1


def test_each_instance_has_a_file_of_its_own(tmp_path: Path) -> None:
    """A process that opens the directory while others have it open gets another file."""
    directory = SpoolDirectory(tmp_path / "spool", "s", limit=LIMIT)
    files = [directory.open() for _ in range(3)]
    assert len({file.path for file in files}) == 3
    [(wait,)] = files[2]._connection.execute("PRAGMA busy_timeout")
    assert wait == 0, "it does not wait for one that is in use"
    files[1].close()
    again = directory.open()
    assert again.path == files[1].path
    for file in (files[0], files[2], again):
        file.close()


def test_events_of_a_killed_process_are_adopted(tmp_path: Path) -> None:
    """A file whose process is gone is emptied into the own one; one in use is left alone."""
    directory = SpoolDirectory(tmp_path, "s", limit=LIMIT)
    first = directory.open()
    first.append([outgoing(100)])
    child = multiprocessing.get_context("spawn").Process(target=_fill, args=(tmp_path,))
    child.start()
    child.join(20)
    assert child.exitcode == -signal.SIGKILL
    own = SpoolFile(tmp_path / "s-2.sqlite3", limit=LIMIT)
    assert directory.adopt(own) == (3, 0)
    assert names(own) == [1, 2, 3]
    assert len([*tmp_path.glob("*.sqlite3")]) == 3, "a look makes no files"
    first.close()
    own.close()


def test_a_process_that_is_stopped_as_it_looks_keeps_no_other_from_starting(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """An instance waits for another one's look, and then opens its file all the same."""
    monkeypatch.setattr("charter_otel.streams.spool.directory._PATIENCE", 0.05)
    sleep = Mock(wraps=time.sleep)
    monkeypatch.setattr(time, "sleep", sleep)
    held = os.open(tmp_path, os.O_RDONLY)
    fcntl.flock(held, fcntl.LOCK_EX)
    directory = SpoolDirectory(tmp_path, "s", limit=LIMIT)
    directory.open().close()
    assert directory.others() == []
    os.close(held)
    assert {call.args for call in sleep.call_args_list} == {(0.001,)}, (
        "a look takes some milliseconds"
    )


def test_a_file_system_without_locks_of_a_directory_serves(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """NFS refuses an exclusive lock of what is open for reading only."""
    refused = Mock(side_effect=OSError(errno.EBADF, os.strerror(errno.EBADF)))
    monkeypatch.setattr(fcntl, "flock", refused)
    SpoolDirectory(tmp_path, "s", limit=LIMIT).open().close()
    assert refused.call_count == 1, "it does not wait for what never comes"


def test_a_file_that_was_emptied_is_free_for_the_next_instance(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its lock goes when the events are moved, not when something happens to be collected."""
    directory, held = SpoolDirectory(tmp_path, "s", limit=LIMIT), list[object]()
    own, other = directory.open(), directory.open()
    other.append([outgoing(1)])
    other.close()
    opened = directory._try

    def kept(path: Path) -> SpoolFile | None:
        file = opened(path)
        held.append(file)
        return file

    monkeypatch.setattr(directory, "_try", kept)
    assert directory.adopt(own) == (1, 0)
    again = SpoolFile(other.path, limit=LIMIT)
    assert names(again) == []
    again.close()
    own.close()


def _fill(path: Path) -> None:
    file = SpoolDirectory(path, "s", limit=LIMIT).open()
    file.append([outgoing(n) for n in (1, 2, 3)])
    os.kill(os.getpid(), signal.SIGKILL)


def test_a_damaged_file_is_put_aside(tmp_path: Path) -> None:
    """A file that is not a spool is kept under another name, and a new one takes its place."""
    directory = SpoolDirectory(tmp_path, "s", limit=LIMIT)
    directory.open().close()
    [path] = tmp_path.glob("*.sqlite3")
    path.write_bytes(b"no database" * 1000)
    file = directory.open()
    assert file.path == path
    assert file.count == 0
    file.close()
    assert len(list(tmp_path.glob("*.damaged-*"))) == 1


def test_a_disk_that_takes_nothing_of_a_damaged_file_is_named(
    tmp_path: Path, charter_capture: Capture, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The file that was put aside still has the events."""
    directory = SpoolDirectory(tmp_path, "s", limit=LIMIT)
    file = directory.open()
    file.append([outgoing(n) for n in range(3)])
    file.close()
    full = Mock(side_effect=OSError(errno.ENOSPC, "No space left on device"))
    monkeypatch.setattr(SpoolFile, "append", full)
    new, saved = directory.renew(file.path, 0)
    new.close()
    first, second = charter_capture.lines
    assert first["event"] == "nothing could be saved of the damaged spool"
    assert "No space left" in first["error"]
    assert (saved, second["saved"]) == (0, 0)
    with opened(Path(second["path"])) as kept:
        assert kept.count == 3


def test_the_journals_of_a_damaged_file_go_with_it(tmp_path: Path) -> None:
    """A new file of that name must not meet an old journal."""
    for suffix in ("", "-wal", "-shm", "-journal"):
        (tmp_path / f"s-0.sqlite3{suffix}").write_text(suffix)
    kept = put_aside(tmp_path / "s-0.sqlite3")
    assert {path.name.removeprefix(kept.name) for path in tmp_path.iterdir()} == {
        *("", "-wal", "-shm", "-journal")
    }


def test_readable_rows_of_a_damaged_file_are_saved(tmp_path: Path) -> None:
    """A page that is not what was written costs its events; all others are in the new file."""
    directory = SpoolDirectory(tmp_path, "s", limit=LIMIT)
    file = directory.open()
    file.append([outgoing(n, 500) for n in range(400)])
    file.close()
    data = bytearray(file.path.read_bytes())
    middle = len(data) // 2 // 4096 * 4096
    data[middle : middle + 4096] = b"\xff" * 4096
    file.path.write_bytes(data)
    with pytest.raises(sqlite3.DatabaseError), opened(file.path) as damaged:
        names(damaged)
    new, saved = directory.renew(file.path, 0)
    assert 380 < saved < 400
    found = names(new)
    new.close()
    assert found == sorted(set(found)), "each once"
    assert len(found) == saved


@pytest.mark.parametrize(
    "harm", ["id = x'00'", "minute = 'soon'", "traceparent = x'00'", "data = 'text'"]
)
def test_a_row_that_is_not_what_was_written_costs_itself(tmp_path: Path, harm: str) -> None:
    """Whichever of its fields it is in."""
    path = tmp_path / "spool"
    with opened(path) as file:
        file.append([outgoing(n) for n in range(3)])
        file._connection.execute(f"UPDATE events SET {harm} WHERE minute = 1")  # noqa: S608
        page = file.read(10, LIMIT)
    assert [event.minute for event in page.events] == [0, 2]
    assert page.damaged == 1


def test_added_events_are_on_the_disk_before_they_count(tmp_path: Path) -> None:
    """A machine that loses its power loses nothing that `append` has taken."""
    with opened(tmp_path / "spool") as file:
        levels: list[int] = []
        real = file._evict

        def evict(after: int, added: int) -> tuple[int, int]:
            [(level,)] = file._connection.execute("PRAGMA synchronous")
            levels.append(level)
            return real(after, added)

        file._evict = evict  # type: ignore[method-assign]
        file.append([outgoing(1)])
        file.forget(file.read(1, LIMIT).last)
        assert file._connection.execute("PRAGMA synchronous").fetchall() == [(1,)], "NORMAL"
        file.append([outgoing(2)])
    assert levels == [2, 2], "FULL"


def test_events_for_other_addresses_are_known_by_name_and_can_be_adopted(tmp_path: Path) -> None:
    """A Redis that got another port leaves nothing behind."""
    old, new = "redis://127.0.0.1:6379/0 {charter}", "redis://127.0.0.1:6380/0 {charter}"
    file = SpoolDirectory(tmp_path, old, limit=LIMIT).open()
    file.append([outgoing(n) for n in range(40)])
    assert SpoolDirectory(tmp_path, new, limit=LIMIT).others() == [], "somebody has it open"
    file.close()
    [left] = SpoolDirectory(tmp_path, new, limit=LIMIT).others()
    assert (left.place, left.events) == (old, 40)
    assert SpoolDirectory(tmp_path, old, limit=LIMIT).others() == []
    assert adopt_into(tmp_path, [new], [left.name]) == 40
    assert SpoolDirectory(tmp_path, new, limit=LIMIT).others() == []
    file = SpoolDirectory(tmp_path, new, limit=LIMIT).open()
    assert names(file) == list(range(40))
    file.close()


def test_adopted_events_go_to_the_partition_of_their_source(tmp_path: Path) -> None:
    """There the next events of the job follow them, in order."""
    file = SpoolDirectory(tmp_path, "old", limit=LIMIT).open()
    jobs = [f"job-{n % 9}" for n in range(40)]
    for number, job in enumerate(jobs):
        event = encode(started(job))
        file.append([PendingEvent(f"evt_metrics_{number:013d}_aaaaaa", number, event, None)])
    file.close()
    [left] = leftovers(tmp_path, LIMIT)
    assert adopt_into(tmp_path, ["zero", "one"], [left.name]) == 40
    for number, place in enumerate(("zero", "one")):
        file = SpoolDirectory(tmp_path, place, limit=LIMIT).open()
        wanted = [n for n, job in enumerate(jobs) if crc32(job.encode()) % 2 == number]
        assert names(file) == wanted
        file.close()


def test_a_file_that_another_instance_counts_is_not_in_use(tmp_path: Path) -> None:
    """Its events would wait for a minute, until the instance looks for those of dead ones."""
    directory = SpoolDirectory(tmp_path, "redis://a", limit=1_000)
    directory.open().close()
    ended = threading.Event()

    def count() -> None:
        while not ended.wait(0.001):
            leftovers(tmp_path, 1_000)

    counting = threading.Thread(target=count)
    counting.start()
    try:
        for _ in range(50):
            file = directory.open()
            file.close()
            assert file.path.name.endswith("-0.sqlite3")
    finally:
        ended.set()
        counting.join()


def test_the_directory_is_its_owners_only(tmp_path: Path) -> None:
    """Events may say where robots are; nobody else reads them."""
    directory = SpoolDirectory(tmp_path / "spool", "s", limit=LIMIT)
    directory.open().close()
    assert (tmp_path / "spool").stat().st_mode & 0o077 == 0


def test_a_directory_that_cannot_be_made_is_an_error(tmp_path: Path) -> None:
    """An obstacle is reported in the system's words."""
    (tmp_path / "spool").write_text("a file")
    with pytest.raises(FileExistsError):
        SpoolDirectory(tmp_path / "spool", "s", limit=LIMIT).open()


def test_a_batch_that_is_being_published_is_not_evicted(tmp_path: Path) -> None:
    """A batch in the publisher's hand stays, however full the file is; the next oldest go."""
    with opened(tmp_path / "spool", 100) as file:
        assert file.append([outgoing(n) for n in range(10)], 3).evicted == 0
        assert file.append([outgoing(n) for n in range(10, 14)]).evicted == 4
        assert names(file, 3) == [0, 1, 2]
        assert file.append([outgoing(14)]).evicted == 1
        assert names(file) == [0, 1, 2, *range(8, 15)]
