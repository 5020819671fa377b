"""The end of an audit log that is not as its writer left it: cut, counted on, and never reused."""

import os
import sqlite3
import time
from collections.abc import Awaitable, Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from redis.exceptions import ResponseError

from charter_otel.consumers import Audit
from charter_otel.consumers.audit import FIRST, AuditLog, consumer, verify
from charter_otel.consumers.audit.chain import make
from charter_otel.consumers.audit.index import Index
from charter_otel.consumers.audit.segments import segment, segments
from charter_otel.streams import Lease, MemoryStream, NotNow
from charter_otel.testing import Capture
from consumers.conftest import Make
from support.polling import eventually


class _Stream:
    """A stream of which only its subscription is asked for."""

    take_over: Callable[[Lease], Awaitable[None]]

    def subscribe_batch(self, *_: str, take_over: Any, **__: Any) -> Any:
        """Note what is called at a change of the holder."""
        self.take_over = take_over
        return lambda handler: handler


class _Nonsense(Lease):
    """A lease whose last holder left what nobody can read."""

    async def load(self) -> bytes:
        """Return it."""
        return b"nonsense"

    async def save(self, state: bytes) -> None:
        """Refuse what this process leaves."""
        del state
        raise ResponseError("no permission")


def _write(directory: Path, *, max_bytes: int = 2**20) -> list[Path]:
    """Write three rows, and return the files."""
    log = AuditLog(directory, max_bytes=max_bytes)
    for number in range(3):
        log.append(f"evt_{number}", b'{"id":"evt_%d"}' % number)
    log.close()
    return segments(directory)


def _go_on(directory: Path) -> AuditLog:
    """Append one more row, as the next process does."""
    log = AuditLog(directory)
    assert log.append("evt_3", b'{"id":"evt_3"}')
    log.close()
    return log


def test_a_half_row_is_cut_off_the_disk_before_another_file_goes_on(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, charter_capture: Capture
) -> None:
    """It would be back after a power cut, in a file that nobody looks at again."""
    [path] = _write(tmp_path)
    whole = path.read_bytes().replace(b"evt_1", b"evt_x")
    path.write_bytes(whole + b'{"row":4,')
    synced: list[tuple[int, int]] = []
    real = os.fsync

    def sync(file: int) -> None:
        real(file)
        there = os.fstat(file)
        synced.append((there.st_ino, there.st_size))

    monkeypatch.setattr(os, "fsync", sync)
    _go_on(tmp_path)
    assert path.read_bytes() == whole
    assert synced[0] == (path.stat().st_ino, len(whole))
    told = [line for line in charter_capture.lines if "half-written" in line["event"]]
    assert [(line["file"], line["bytes"]) for line in told] == [(path.name, 9)]


def test_a_log_whose_last_row_is_whole_goes_on_without_a_word(
    tmp_path: Path, charter_capture: Capture
) -> None:
    """A restart in good order is none of the reasons to look into the log."""
    _write(tmp_path)
    _go_on(tmp_path)
    assert [line["event"] for line in charter_capture.lines] == []


def test_a_first_row_that_cannot_be_read_is_row_1(tmp_path: Path) -> None:
    """The name of the file may say otherwise; one that was copied may have any name."""
    path = tmp_path / "copied.jsonl"
    path.write_bytes(b"nonsense\n")
    broken = verify(path).broken
    assert broken is not None
    assert (broken.line, broken.row) == (1, 1)


@pytest.mark.parametrize("destroyed", [1, 2, 3])
def test_rows_that_cannot_be_read_keep_their_numbers(tmp_path: Path, destroyed: int) -> None:
    """The row that names the break has the number behind them, whatever is left of the file."""
    [path] = _write(tmp_path)
    lines = path.read_bytes().splitlines(keepends=True)[: 3 - destroyed]
    path.write_bytes(b"".join([*lines, *[b"nonsense\n"] * destroyed]))
    log = _go_on(tmp_path)
    assert segments(tmp_path) == [path, segment(tmp_path, 4)]
    found = verify(tmp_path)
    assert ([row for row, _ in found.continued], log.rows) == ([4], 5)


def test_the_name_of_a_file_counts_the_rows_that_were_archived(tmp_path: Path) -> None:
    """Nothing can be read in the one file that is left: its name says which row it began with."""
    *archived, last = _write(tmp_path, max_bytes=1)
    for path in archived:
        path.unlink()
    last.write_bytes(b"nonsense\n")
    log = _go_on(tmp_path)
    assert segments(tmp_path) == [segment(tmp_path, 3), segment(tmp_path, 4)]
    assert log.rows == 5


def test_a_row_that_is_not_in_the_index_is_found_though_later_rows_were_cut_off(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A power cut took rows that the index has, and then its disk was full: nothing comes twice."""
    [path] = _write(tmp_path)
    path.write_bytes(b"".join(path.read_bytes().splitlines(keepends=True)[:1]))
    log = AuditLog(tmp_path)

    def full(*_: object) -> None:
        raise sqlite3.OperationalError("database or disk is full")

    with monkeypatch.context() as patched:
        patched.setattr(Index, "add", full)
        assert log.append("evt_3", b'{"id":"evt_3"}')
    assert not log.append("evt_3", b'{"id":"evt_3"}')
    assert log.append("evt_1", b'{"id":"evt_1"}'), "it was cut off"
    log.close()
    assert (verify(tmp_path).rows, verify(tmp_path).doubles) == (3, ())


def test_a_closed_log_has_no_file_open(tmp_path: Path) -> None:
    """Neither a file that was full, nor the directory."""
    open_files = Path("/proc/self/fd")
    before = len([*open_files.iterdir()])
    _write(tmp_path, max_bytes=1)
    assert len([*open_files.iterdir()]) == before


async def test_a_stop_tells_the_head(
    tmp_path: Path, established: Make, charter_capture: Capture
) -> None:
    """The line outlives a log whose end is cut off while the service is down."""
    audit = Audit(tmp_path)
    await audit.record([established()])
    await audit.stop()
    [line] = [line for line in charter_capture.lines if line["event"] == "audit log closed"]
    assert (line["rows"], line["head"]) == (1, verify(tmp_path).head)
    assert not audit.log.is_open, "another process may write it"


def test_a_first_row_that_follows_another_is_found(tmp_path: Path) -> None:
    """A log that was cut at its beginning and numbered anew is not a whole one."""
    row = make(1, 1.0, b'{"id":"evt_0"}', "a" * 64)
    segment(tmp_path, 1).write_bytes(row.line())
    broken = verify(tmp_path).broken
    assert broken is not None
    assert (broken.row, broken.reason) == (1, "it is row 1 and names a row before it")


def test_an_event_without_an_id_is_a_row_like_any_other(tmp_path: Path) -> None:
    """The chain is what is checked; such an event has no double."""
    row = make(1, 1.0, b'{"type":"of somebody else"}', FIRST)
    segment(tmp_path, 1).write_bytes(row.line())
    found = verify(tmp_path)
    assert (found.rows, found.broken, found.doubles) == (1, None, ())


def test_a_last_row_without_its_line_end_is_called_half_written(tmp_path: Path) -> None:
    """The words say that nothing has to be done."""
    [path] = _write(tmp_path)
    path.write_bytes(path.read_bytes()[:-1])
    broken = verify(tmp_path).broken
    assert broken is not None
    assert broken.reason == "it is only half-written; the next start of the service cuts it off"


async def test_the_head_is_logged_every_hour(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, charter_capture: Capture
) -> None:
    """Beside the time at which a file is begun, and not with each look."""
    now, looks = [1_000_000.0], [0]
    monkeypatch.setattr(consumer, "TICK", 0.01)
    clocks = SimpleNamespace(monotonic=lambda: now[0], time_ns=time.time_ns)
    monkeypatch.setattr(consumer, "time", clocks)
    stream, audit = MemoryStream(), Audit(tmp_path)

    def look() -> None:
        looks[0] += 1

    async def anchored(at: float) -> int:
        now[0] = at
        before = looks[0]
        await eventually(lambda: looks[0] > before + 2, "it has looked")
        return [line["event"] for line in charter_capture.lines].count("audit log anchored")

    monkeypatch.setattr(audit.log, "check", look)
    audit.attach(stream)
    await stream.start()
    await audit.start()
    assert await anchored(1_000_000.0) == 1
    assert await anchored(1_003_599.0) == 1
    assert await anchored(1_003_600.0) == 2
    assert await anchored(1_007_199.0) == 2
    monkeypatch.setattr(consumer, "time", time)
    await stream.stop()
    await audit.stop()


async def test_a_log_of_another_process_is_named_as_the_trouble(
    tmp_path: Path, established: Make
) -> None:
    """The events wait, and the reason says what to do."""
    theirs, audit = AuditLog(tmp_path), Audit(tmp_path)
    theirs.open()
    with pytest.raises(NotNow, match=r"another process writes .* CHARTER_STATE_DIR"):
        await audit.record([established()])
    assert "another process" in (audit.trouble or "")
    theirs.close()
    await audit.record([established()])
    assert audit.trouble is None
    assert audit.log.rows == 1
    await audit.stop()


async def test_a_log_that_cannot_be_opened_is_reported_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, charter_capture: Capture
) -> None:
    """Before the first event already; it is opened as soon as that is possible."""
    monkeypatch.setattr(consumer, "TICK", 0.01)
    stream, theirs, audit = MemoryStream(), AuditLog(tmp_path), Audit(tmp_path)
    looks: list[object] = []
    monkeypatch.setattr(audit.log, "check", lambda: looks.append(audit.trouble))
    theirs.open()
    audit.attach(stream)
    await stream.start()
    await audit.start()
    await eventually(lambda: len(looks) > 3 and audit.trouble, "it says so, and looks again")
    theirs.close()
    await eventually(lambda: audit.log.is_open and not audit.trouble, "it is open")
    await stream.stop()
    await audit.stop()
    told = [line["event"] for line in charter_capture.lines]
    assert told.count("audit log cannot be written, events wait") == 1


async def test_a_head_that_cannot_be_read_is_reported_and_left_behind(
    tmp_path: Path, established: Make, charter_capture: Capture
) -> None:
    """The log goes on at its own end."""
    stream, audit = _Stream(), Audit(tmp_path)
    audit.attach(stream)  # type: ignore[arg-type]  # one method is enough here
    await stream.take_over(_Nonsense(stream.take_over))
    await audit.record([established()])
    await audit.stop()
    told = [line["event"] for line in charter_capture.lines]
    assert told.count("audit log: the last writer's state is unreadable") == 1
    assert told.count("audit log: the head will be handed over later") >= 1
    assert (verify(tmp_path).rows, verify(tmp_path).continued) == (1, ())
