"""The audit log: each event once, on disk before it is acknowledged, and any change is found."""

import asyncio
import os
import stat
import subprocess
import sys
import threading
import time
from collections.abc import Sequence
from pathlib import Path
from types import SimpleNamespace

import pytest
from click.testing import CliRunner
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from structlog.testing import capture_logs

from charter_otel.charter import Event, encode
from charter_otel.cli.audit import audit as command
from charter_otel.consumers import Audit
from charter_otel.consumers.audit import FIRST, AuditLog, AuditLogError, consumer, verify
from charter_otel.consumers.audit.chain import make, read
from charter_otel.streams import MemoryStream
from charter_otel.testing import Capture
from consumers.conftest import Make
from support.polling import eventually


def write(directory: Path, count: int, *, max_bytes: int = 2**20) -> AuditLog:
    """Write rows with small events and give the closed log."""
    log = AuditLog(directory, max_bytes=max_bytes, clock=lambda: 1_703_001_234.5)
    for number in range(count):
        log.append(f"evt_{number}", b'{"id":"evt_%d","payload":{"n":%d}}' % (number, number))
    log.close()
    return log


def only(directory: Path) -> Path:
    """Return the log's only file."""
    (path,) = directory.glob("*.jsonl")
    return path


def test_rows_make_a_chain(tmp_path: Path) -> None:
    """Each row has the next number and the hash of the one before; the event is kept as it was."""
    log = write(tmp_path, 3)
    rows = [read(line) for line in only(tmp_path).read_bytes().splitlines(keepends=True)]
    assert [row.row for row in rows] == [1, 2, 3]
    assert [row.previous for row in rows] == [FIRST, rows[0].hash, rows[1].hash]
    assert bytes(rows[2].event) == b'{"id":"evt_2","payload":{"n":2}}'
    found = verify(tmp_path)
    assert (found.rows, found.first, found.head, found.broken) == (3, 1, log.head, None)


def test_the_chain_goes_on_after_a_restart_and_into_new_files(tmp_path: Path) -> None:
    """A file that is full is followed by another; a new process takes up the end."""
    write(tmp_path, 5, max_bytes=300)
    log = AuditLog(tmp_path, max_bytes=300)
    log.append("evt_x", b'{"id":"evt_x"}')
    log.close()
    assert len(list(tmp_path.glob("*.jsonl"))) > 1
    found = verify(tmp_path)
    assert (found.rows, found.broken) == (6, None)


def test_an_event_that_is_delivered_again_is_one_row(tmp_path: Path) -> None:
    """In the same process and after a restart."""
    log = write(tmp_path, 2)
    assert not log.append("evt_1", b'{"id":"evt_1"}')
    log.close()
    again = AuditLog(tmp_path)
    assert not again.append("evt_0", b'{"id":"evt_0"}')
    again.close()
    assert verify(tmp_path).rows == 2


def test_rows_that_come_together_wait_for_the_disk_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """They make the chain that they make one by one; those that are there already are left out."""
    log = write(tmp_path / "one by one", 5)
    together = AuditLog(tmp_path / "together", clock=lambda: 1_703_001_234.5)
    together.open()
    synced: list[int] = []
    monkeypatch.setattr(os, "fsync", synced.append)
    events = [(f"evt_{n}", b'{"id":"evt_%d","payload":{"n":%d}}' % (n, n)) for n in range(5)]
    assert together.extend(events[:2]) == 2
    assert together.extend([*events, events[4]]) == 3
    assert together.extend(events) == 0
    assert len(synced) == 2
    together.close()
    assert only(tmp_path / "together").read_bytes() == only(tmp_path / "one by one").read_bytes()
    assert together.head == log.head


@settings(max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data())
def test_any_changed_byte_is_found(
    tmp_path_factory: pytest.TempPathFactory, data: st.DataObject
) -> None:
    """Whichever byte of whichever row is changed, that row is named."""
    directory = tmp_path_factory.mktemp("audit")
    write(directory, 4)
    path = only(directory)
    content = bytearray(path.read_bytes())
    place = data.draw(st.integers(0, len(content) - 1))
    content[place] ^= data.draw(st.integers(1, 255))
    path.write_bytes(content)
    row = path.read_bytes()[:place].count(b"\n") + 1
    broken = verify(directory).broken
    assert broken is not None
    assert broken.row == row


@pytest.mark.parametrize(
    ("order", "row"),
    [([0, 2, 3], 3), ([0, 2, 1, 3], 3), ([0, 1, 1, 2, 3], 2), ([1, 0, 2, 3], 2), ([1, 2, 3], 2)],
)
def test_removed_moved_and_repeated_rows_are_found(
    tmp_path: Path, order: list[int], row: int
) -> None:
    """The first row that does not follow the one before it is named."""
    write(tmp_path, 4)
    path = only(tmp_path)
    lines = path.read_bytes().splitlines(keepends=True)
    path.write_bytes(b"".join(lines[number] for number in order))
    broken = verify(tmp_path).broken
    assert broken is not None
    assert broken.row == row


@pytest.mark.parametrize(("previous", "row"), [("the row before", 3), ("another", 2)])
def test_a_forged_row_is_found(tmp_path: Path, previous: str, row: int) -> None:
    """A row with a right hash of its own: it does not follow, or the next one does not."""
    write(tmp_path, 4)
    path = only(tmp_path)
    lines = path.read_bytes().splitlines(keepends=True)
    before = read(lines[0]).hash if previous == "the row before" else "a" * 64
    lines[1] = make(2, 1.0, b'{"id":"evt_forged"}', before).line()
    path.write_bytes(b"".join(lines))
    broken = verify(tmp_path).broken
    assert broken is not None
    assert broken.row == row


def test_an_added_byte_is_found(tmp_path: Path) -> None:
    """Even one that JSON does not care about."""
    write(tmp_path, 2)
    path = only(tmp_path)
    path.write_bytes(path.read_bytes().replace(b'{"row":2', b'{ "row":2'))
    broken = verify(tmp_path).broken
    assert broken is not None
    assert broken.row == 2


def test_a_removed_file_is_found(tmp_path: Path) -> None:
    """A gap between files breaks the chain; older files may be archived."""
    write(tmp_path, 9, max_bytes=600)
    first, second, *_ = sorted(tmp_path.glob("*.jsonl"))
    archived = second.read_bytes()
    second.unlink()
    broken = verify(tmp_path).broken
    assert broken is not None
    assert "missing" in broken.reason
    second.write_bytes(archived)
    beginning = first.read_bytes()
    first.write_bytes(b"")
    assert verify(tmp_path).broken is not None, "a file that was emptied is not one that went"
    first.write_bytes(beginning)
    first.unlink()
    found = verify(tmp_path)
    assert found.broken is None
    assert found.first > 1


@pytest.mark.parametrize("kept", [1, 50, 150])
def test_a_torn_last_row_is_cut_off_at_the_next_start(tmp_path: Path, kept: int) -> None:
    """A half-written row of a crash was never acknowledged: it goes, and comes again."""
    write(tmp_path, 3)
    path = only(tmp_path)
    lines = path.read_bytes().splitlines(keepends=True)
    path.write_bytes(b"".join(lines[:2]) + lines[2][:kept])
    assert verify(tmp_path).broken is not None
    log = AuditLog(tmp_path)
    assert log.append("evt_2", b'{"id":"evt_2"}')
    log.close()
    found = verify(tmp_path)
    assert (found.rows, found.broken) == (3, None)


def test_a_damaged_log_goes_on_in_a_new_file_that_names_the_break(tmp_path: Path) -> None:
    """The evidence stays as it is; verify names the damage, what follows it is in order."""
    write(tmp_path, 3)
    path = only(tmp_path)
    path.write_bytes(path.read_bytes().replace(b'"n":1', b'"n":7'))
    damaged = path.read_bytes()
    log = AuditLog(tmp_path)
    assert not log.append("evt_2", b'{"id":"evt_2"}')
    assert log.append("evt_3", b'{"id":"evt_3"}')
    log.close()
    assert path.read_bytes() == damaged
    again = AuditLog(tmp_path)
    assert again.append("evt_4", b'{"id":"evt_4"}')
    again.close()
    assert len(list(tmp_path.glob("*.jsonl"))) == 2
    found = verify(tmp_path)
    assert [(b.path, b.row) for b in found.breaks] == [(path, 2)]
    [(row, reason)] = found.continued
    assert (row, "damaged" in reason, found.doubles) == (4, True, ())


def test_a_log_whose_rows_are_missing_goes_on_in_a_new_file(tmp_path: Path) -> None:
    """The file that somebody cut stays as it was found."""
    log = write(tmp_path, 3)
    path = only(tmp_path)
    cut = b"".join(path.read_bytes().splitlines(keepends=True)[:2])
    path.write_bytes(cut)
    assert log.append("evt_3", b'{"id":"evt_3"}')
    log.close()
    [first, second] = sorted(tmp_path.glob("*.jsonl"))
    assert (first, first.read_bytes()) == (path, cut)
    assert len(second.read_bytes().splitlines()) == 2, "the row that names the break, and the event"


def test_a_file_that_goes_away_under_its_writer_is_noticed(tmp_path: Path) -> None:
    """The log goes on in a new file that names the head that was known, moved or removed."""
    log = AuditLog(tmp_path)
    for number in range(3):
        log.append(f"evt_{number}", b'{"id":"evt_%d"}' % number)
    head = log.head
    only(tmp_path).rename(tmp_path / "moved.away")
    with capture_logs() as lines:
        assert log.append("evt_3", b'{"id":"evt_3"}')
    assert ("warning", "rows are missing") in [(e["log_level"], e.get("reason")) for e in lines]
    log.close()
    rows = [read(line) for line in only(tmp_path).read_bytes().splitlines(keepends=True)]
    assert [row.row for row in rows] == [1, 2]
    assert head.encode() in bytes(rows[0].event)
    assert verify(tmp_path).continued == ((1, "rows are missing"),)


def test_a_cut_tail_is_found_by_the_head_that_is_known_elsewhere(tmp_path: Path) -> None:
    """The log names the head that it should have; rows that merely follow it are not a break."""
    log = write(tmp_path, 3)
    known = log.last
    more = AuditLog(tmp_path)
    more.append("evt_3", b'{"id":"evt_3"}')
    more.close()
    later = AuditLog(tmp_path)
    later.expected = known
    later.append("evt_4", b'{"id":"evt_4"}')
    later.close()
    assert verify(tmp_path).continued == ()
    path = only(tmp_path)
    path.write_bytes(b"".join(path.read_bytes().splitlines(keepends=True)[:2]))
    cut = AuditLog(tmp_path)
    cut.expected = known
    cut.append("evt_5", b'{"id":"evt_5"}')
    cut.close()
    found = verify(tmp_path)
    assert (found.continued, found.broken) == (((3, "rows are missing"),), None)


def test_an_event_is_one_row_however_long_ago_it_was_written(tmp_path: Path) -> None:
    """Also of files before the last two, and where the index was lost or damaged."""
    write(tmp_path, 40, max_bytes=600)
    assert len(list(tmp_path.glob("*.jsonl"))) > 4
    for harm in (Path.exists, Path.unlink, lambda path: path.write_bytes(b"nonsense" * 1000)):
        harm(tmp_path / "audit.index.sqlite3")
        log = AuditLog(tmp_path, max_bytes=600)
        assert log.extend([(f"evt_{n}", b'{"id":"evt_%d"}' % n) for n in range(40)]) == 0
        log.close()
    assert (verify(tmp_path).rows, verify(tmp_path).doubles) == (40, ())


def test_a_double_and_every_gap_are_named(tmp_path: Path) -> None:
    """Verify goes on behind the first break, and knows an event that has two rows."""
    write(tmp_path / "whole", 3)
    lines = only(tmp_path / "whole").read_bytes().splitlines(keepends=True)
    head = read(lines[2]).hash
    double = make(4, 1.0, b'{"id":"evt_1"}', head)
    path = tmp_path / "audit-000000000001.jsonl"
    path.write_bytes(b"".join([*lines, double.line()]))
    assert verify(tmp_path).doubles == (("evt_1", 4),)
    result = CliRunner().invoke(command, ["verify", str(tmp_path)])
    assert (result.exit_code, "evt_1 again in row 4" in result.output) == (1, True)
    path.write_bytes(b"".join([lines[0], lines[2], b"nonsense\n", lines[0]]))
    assert [broken.line for broken in verify(tmp_path).breaks] == [2, 3, 4]


def test_files_of_the_log_are_readable_by_their_owner_only(tmp_path: Path) -> None:
    """Directory and files are readable for nobody else, whatever the umask."""
    before = os.umask(0)
    try:
        log = write(tmp_path / "state" / "audit", 3, max_bytes=300)
    finally:
        os.umask(before)
    assert (log.directory.stat().st_mode & 0o077) == 0
    assert {path.stat().st_mode & 0o077 for path in log.directory.iterdir()} == {0}


def test_the_name_of_a_new_file_is_on_the_disk_before_its_rows_count(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A power cut right after a rotation does not take the file away."""
    log = AuditLog(tmp_path, max_bytes=1)
    log.append("evt_0", b'{"id":"evt_0"}')
    synced: list[bool] = []
    real = os.fsync

    def sync(file: int) -> None:
        synced.append(stat.S_ISDIR(os.fstat(file).st_mode))
        real(file)

    monkeypatch.setattr(os, "fsync", sync)
    log.append("evt_1", b'{"id":"evt_1"}')
    log.close()
    assert synced == [True, False]


def test_an_empty_directory_is_no_audit_log(tmp_path: Path) -> None:
    """It is said as such."""
    with pytest.raises(FileNotFoundError, match="no audit log"):
        verify(tmp_path)


class _Counting(Audit):
    """Counts how often it is handed events."""

    attempts = 0

    async def record(self, events: Sequence[Event]) -> None:
        self.attempts += 1
        await super().record(events)


async def test_a_log_that_cannot_be_written_waits_and_loses_nothing(
    tmp_path: Path, established: Make
) -> None:
    """The service starts; the consumer says what is wrong, and goes on when it is mended."""
    directory = tmp_path / "audit"
    directory.write_text("a file where the directory should be")
    stream, audit = MemoryStream(redelivery_delay=0.01, max_deliveries=2), _Counting(directory)
    audit.attach(stream)
    await stream.start()
    await audit.start()
    events = [established() for _ in range(20)]
    for event in events:
        stream.publish_nowait(event)
    await eventually(lambda: audit.trouble and "cannot be written" in audit.trouble, "it says so")
    await eventually(lambda: audit.attempts > 2, "it tries more often than events are delivered")
    [score] = stream.statistics().subscribers
    assert (score.lag, score.dead_lettered, score.waiting) == (20, 0, audit.trouble)
    directory.unlink()
    await eventually(lambda: audit.log.rows == 20, "all have rows")
    assert audit.trouble is None
    await stream.stop()
    await audit.stop()
    assert verify(directory).rows == 20


async def test_a_stop_waits_for_rows_that_are_being_written(
    tmp_path: Path, established: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The file is not closed under the thread that writes it."""
    audit = Audit(tmp_path)
    await audit.record([established()])
    real, begun = os.fsync, threading.Event()

    def slow(file: int) -> None:
        begun.set()
        time.sleep(0.2)
        real(file)

    monkeypatch.setattr(os, "fsync", slow)
    writing = asyncio.create_task(audit.record([established()]))
    await asyncio.to_thread(begun.wait, 5)
    await audit.stop()
    await writing
    assert verify(tmp_path).rows == 2


def test_two_processes_do_not_write_one_log(tmp_path: Path) -> None:
    """The second one is refused."""
    log = AuditLog(tmp_path)
    log.open()
    try:
        with pytest.raises(AuditLogError, match="another process"):
            AuditLog(tmp_path).open()
    finally:
        log.close()


def test_a_full_disk_leaves_no_part_of_a_row(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The row is refused whole, and can be written when there is room again."""
    write(tmp_path, 1)
    log = AuditLog(tmp_path)
    log.open()

    def full(file: int) -> None:
        raise OSError(28, f"No space left on device: {file}")

    with monkeypatch.context() as patched:
        patched.setattr(os, "fsync", full)
        with pytest.raises(OSError, match="No space"):
            log.append("evt_1", b'{"id":"evt_1"}')
    assert verify(tmp_path).rows == 1
    assert log.append("evt_1", b'{"id":"evt_1"}')
    log.close()
    assert (verify(tmp_path).rows, verify(tmp_path).broken) == (2, None)


def test_rows_that_a_failing_disk_kept_are_brought_to_it_before_they_count(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Rows that could be neither synced nor cut off are synced when the log is opened."""
    log = AuditLog(tmp_path)
    log.open()

    def failing(*_: int) -> None:
        raise OSError(5, "Input/output error")

    with monkeypatch.context() as patched:
        patched.setattr(os, "fsync", failing)
        patched.setattr(os, "ftruncate", failing)
        with pytest.raises(OSError, match="Input/output"):
            log.append("evt_1", b'{"id":"evt_1"}')
    synced: list[int] = []
    monkeypatch.setattr(os, "fsync", synced.append)
    assert not log.append("evt_1", b'{"id":"evt_1"}')
    assert synced
    log.close()
    assert verify(tmp_path).rows == 1


async def test_an_instance_without_the_group_leaves_the_log_alone(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It opens nothing, so that the holder can; and a stop leaves no task that could."""
    turns = 0

    async def sleep(_: float) -> None:
        nonlocal turns
        turns += 1
        await real(0)

    real = asyncio.sleep
    monkeypatch.setattr(consumer, "asyncio", SimpleNamespace(**vars(asyncio) | {"sleep": sleep}))
    audit = Audit(tmp_path / "audit")
    await audit.start()
    await eventually(lambda: turns > 3, "it has looked three times")
    await audit.stop()
    assert not (tmp_path / "audit").exists()
    assert "charter consumer audit" not in {task.get_name() for task in asyncio.all_tasks()}


async def test_an_event_is_on_disk_before_it_is_acknowledged(
    tmp_path: Path, established: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    """While the disk is not done, the stream counts the event as not handled."""
    event: Event = established()
    stream, audit = MemoryStream(), Audit(tmp_path)
    audit.attach(stream)
    await stream.start()
    await audit.start()
    loop, entered, release = asyncio.get_running_loop(), asyncio.Event(), asyncio.Event()
    real = os.fsync

    def slow(file: int) -> None:
        loop.call_soon_threadsafe(entered.set)
        asyncio.run_coroutine_threadsafe(release.wait(), loop).result(10)
        real(file)

    monkeypatch.setattr(os, "fsync", slow)
    stream.publish_nowait(event)
    await asyncio.wait_for(entered.wait(), 10)
    assert stream.statistics().subscribers[0].lag == 1
    release.set()
    await eventually(lambda: not stream.statistics().subscribers[0].lag, "acknowledged")
    row = read(only(tmp_path).read_bytes())
    assert bytes(row.event) == encode(event)
    await stream.stop()
    await audit.stop()


async def test_events_published_before_it_are_recorded_too(
    tmp_path: Path, established: Make, closed: Make
) -> None:
    """The log begins with the earliest event that the stream holds."""
    stream, audit = MemoryStream(), Audit(tmp_path, types=("telemetry.*",))
    await stream.start()
    stream.publish_nowait(established())
    stream.publish_nowait(closed())
    audit.attach(stream)
    await audit.start()
    await eventually(lambda: audit.log.rows == 2, "two rows")
    await stream.stop()
    await audit.stop()


def test_the_command_says_that_all_is_well(tmp_path: Path) -> None:
    """`audit verify` gives the number of rows and the head, and exits with 0."""
    log = write(tmp_path, 3)
    result = CliRunner().invoke(command, ["verify", str(tmp_path)])
    assert result.exit_code == 0
    assert "3 rows from row 1 are in order" in result.output
    assert log.head in result.output


def test_the_command_names_the_first_broken_row(tmp_path: Path) -> None:
    """It fails, with file, line and row."""
    write(tmp_path, 3)
    path = only(tmp_path)
    path.write_bytes(path.read_bytes().replace(b'"n":1', b'"n":9'))
    result = CliRunner().invoke(command, ["verify", str(tmp_path)])
    assert result.exit_code == 1
    assert f"{path.name}:2: row 2 is broken" in result.output


def test_the_command_without_a_log(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """It fails and says where it looked: by default in the state directory."""
    monkeypatch.setenv("CHARTER_STATE_DIR", str(tmp_path))
    result = CliRunner().invoke(command, ["verify"])
    assert result.exit_code == 1
    assert str(tmp_path / "audit") in result.output


def test_a_killed_writer_leaves_a_log_that_goes_on(tmp_path: Path) -> None:
    """Rows that `append` reported as written outlive SIGKILL, and the chain continues."""
    writer = (
        "import sys; from pathlib import Path; from charter_otel.consumers.audit import AuditLog\n"
        "log = AuditLog(Path(sys.argv[1]))\n"
        "for n in range(10**6):\n"
        "    log.append(f'evt_{n}', b'{\"id\":\"evt_%d\"}' % n); print(n, file=sys.stderr)\n"
    )
    command = [sys.executable, "-c", writer, str(tmp_path)]
    with subprocess.Popen(
        command, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True
    ) as process:
        assert process.stderr is not None
        acknowledged = [int(line) for _, line in zip(range(50), process.stderr, strict=False)]
        process.kill()
        acknowledged += [int(line) for line in process.stderr]
    log = AuditLog(tmp_path)
    log.open()
    assert log.rows > acknowledged[-1]
    assert log.append("evt_after", b'{"id":"evt_after"}')
    log.close()
    assert verify(tmp_path).broken is None


async def test_the_head_is_logged_with_each_file(
    tmp_path: Path, established: Make, charter_capture: Capture
) -> None:
    """As a line and as a log record, so that who cuts the tail off has to forge these too."""
    audit = Audit(tmp_path, max_bytes=1, instrumentation=charter_capture.instrumentation)
    await audit.record([established(number=1)])
    head = audit.log.head
    await audit.record([established(number=2)])
    await audit.stop()
    told = [line for line in charter_capture.lines if line["event"] == "audit log anchored"]
    assert [(line["rows"], line["head"]) for line in told][-1] == (1, head)
    bodies = [str(record.log_record.body) for record in charter_capture.raw_log_records]
    assert f"audit log anchored: 1 rows, head {head}" in bodies
