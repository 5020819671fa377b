"""The consumers of which several instances have one: audit and alerts, over a real Redis."""

import json
from collections.abc import AsyncIterator
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest

from charter_otel.consumers import Alerts, Audit
from charter_otel.consumers.alerts import Page, Pager
from charter_otel.consumers.audit import CONTINUED, verify
from charter_otel.consumers.audit.segments import segments
from charter_otel.streams import RedisStream
from consumers.conftest import Make
from streams.backends import abandon
from support.polling import eventually
from support.redis import RedisServer

pytestmark = pytest.mark.timeout(60)


@pytest.fixture
async def server() -> AsyncIterator[RedisServer]:
    """Yield a Redis of the test's own."""
    with TemporaryDirectory(prefix="charter") as directory:
        server = RedisServer(Path(directory))
        server.start()
        yield server
        server.stop()


def pending(server: RedisServer) -> object:
    """Return how many entries the audit log has read and not acknowledged."""
    reply = server.command("XPENDING", "{charter}:events", "charter.audit")
    return reply[0] if isinstance(reply, list) else reply


def rows(directory: Path) -> list[dict[str, object]]:
    """Return the events of the audit log's rows."""
    lines = [line for path in segments(directory) for line in path.read_bytes().splitlines()]
    return [json.loads(line)["event"] for line in lines]


async def test_one_instance_writes_the_audit_log_and_the_next_names_its_head(
    server: RedisServer, tmp_path: Path, established: Make
) -> None:
    """Each event is in one row of one of the two logs, also after the writer was killed."""
    streams = [RedisStream(server.url, lease=0.6, min_idle=60.0) for _ in range(2)]
    audits = [Audit(tmp_path / name) for name in ("one", "two")]
    for stream, audit in zip(streams, audits, strict=True):
        audit.attach(stream)
        await stream.start()
        await audit.start()
    await eventually(lambda: any(audit.holds and audit.log.is_open for audit in audits), "a writer")
    first = next(number for number, audit in enumerate(audits) if audit.holds and audit.log.is_open)
    other = 1 - first
    assert not audits[other].holds, "it waits, and says so"
    events = [established(number=number) for number in range(20)]
    for number, event in enumerate(events[:10]):
        streams[number % 2].publish_nowait(event)
    await eventually(lambda: audits[first].log.rows == 10, "ten rows")
    head = audits[first].log.head
    await eventually(lambda: pending(server) == 0, "all are acknowledged")
    await abandon(streams[first])
    await audits[first].stop()
    for event in events[10:]:
        streams[other].publish_nowait(event)
    await eventually(lambda: audits[other].log.rows == 11, "the other goes on")
    await streams[other].stop()
    await audits[other].stop()
    one, two = rows(audits[first].log.directory), rows(audits[other].log.directory)
    assert {event["id"] for event in one} == {event.id for event in events[:10]}
    assert len(one) == 10
    assert [event["id"] for event in two[1:]] == [event.id for event in events[10:]]
    assert two[0]["type"] == CONTINUED
    assert head in json.dumps(two[0])
    assert all(verify(audit.log.directory).broken is None for audit in audits)


async def test_an_instance_that_sees_the_recovery_knows_of_the_incident(
    server: RedisServer, tmp_path: Path, failed: Make, completed: Make
) -> None:
    """Failures and recoveries come through two instances: each incident that opened resolves."""
    pages: list[Page] = []
    streams = [RedisStream(server.url, lease=0.6, min_idle=60.0) for _ in range(2)]
    alerts = [Alerts(Pager(pages.append), state=tmp_path / f"{number}.json") for number in range(2)]
    for stream, consumer in zip(streams, alerts, strict=True):
        consumer.attach(stream)
        await stream.start()
        await consumer.start()
    await eventually(lambda: any(map(_holds, streams)), "one pages")
    jobs = [f"job-{number}" for number in range(12)]
    for number, job in enumerate(jobs):
        streams[number % 2].publish_nowait(failed(job))
    await eventually(lambda: len(pages) == 12, "all are open")
    for number, job in enumerate(jobs):
        streams[(number + 1) % 2].publish_nowait(completed(job_id=job))
    await eventually(lambda: len(pages) == 24, "all are resolved")
    assert {page.key for page in pages[:12]} == {page.key for page in pages[12:]}
    assert {page.action for page in pages[12:]} == {"resolve"}
    for stream, consumer in zip(streams, alerts, strict=True):
        await stream.stop()
        await consumer.stop()


def _holds(stream: RedisStream) -> bool:
    return stream.statistics().subscribers[0].holder
