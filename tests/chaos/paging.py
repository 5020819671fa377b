"""Pages while PagerDuty is away, over two instances of which the one that pages is killed."""

import asyncio
import random
import time
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from tempfile import TemporaryDirectory

from chaos.account import Row, breaks
from charter_otel.charter import Event, create
from charter_otel.consumers import Alerts
from charter_otel.consumers.alerts import Page, Pager
from charter_otel.streams import RedisStream
from streams.backends import abandon
from support.polling import eventually
from support.redis import RedisServer

NEWEST = "newest state"
"""Class: of each incident the newest state arrives, however long that takes."""

JOBS = 20
LEASE = 1.0


class Theirs:
    """A stand-in for PagerDuty: while it is away it takes nothing, and it may lose an answer."""

    def __init__(self) -> None:
        self.away = False
        self.open: set[str] = set()
        self.counts: Counter[str] = Counter()

    def send(self, page: Page) -> None:
        """Take a page, or not."""
        if self.away and random.random() < 0.9:  # noqa: S311 - any of them will do
            raise ConnectionError("away")
        # A page of a key that has this state already opens no further incident, and resolves none.
        if page.action == "trigger" and page.key not in self.open:
            self.open.add(page.key)
            self.counts["opened"] += 1
        elif page.action == "resolve" and page.key in self.open:
            self.open.discard(page.key)
            self.counts["resolved"] += 1
        if self.away:
            raise TimeoutError("the answer was lost")


class Instance:
    """A stream and its consumer."""

    def __init__(self, url: str, directory: Path, theirs: Theirs) -> None:
        self.stream = RedisStream(url, lease=LEASE, min_idle=60.0)
        self.pager = Pager(theirs.send, pause=0.05)
        self.alerts = Alerts(self.pager, state=directory / f"{id(self)}.json")
        self.alerts.attach(self.stream)

    @property
    def holds(self) -> bool:
        """Whether it pages."""
        return self.stream.statistics().subscribers[0].holder

    async def start(self) -> None:
        """Begin."""
        await self.stream.start()
        await self.alerts.start()

    async def kill(self) -> None:
        """End without a word, as a crash does."""
        tasks = [task for task in (self.alerts._ticking, self.pager._task) if task is not None]
        for task in tasks:
            task.cancel()
        await asyncio.wait(tasks)
        await abandon(self.stream)

    async def stop(self) -> None:
        """End as a deployment does."""
        await self.stream.stop()
        await self.alerts.stop()


async def pager_away(seconds: float) -> Row:
    """PagerDuty takes no pages; the instance that pages is killed meanwhile, and another one is."""
    theirs = Theirs()
    with TemporaryDirectory(prefix="charter") as directory:
        server = RedisServer(Path(directory))
        server.start()
        try:
            return await _play(server, Path(directory), theirs, seconds)
        finally:
            server.stop()


async def _play(server: RedisServer, directory: Path, theirs: Theirs, seconds: float) -> Row:
    instances = [Instance(server.url, directory, theirs) for _ in range(3)]
    for instance in instances[:2]:
        await instance.start()
    await eventually(lambda: any(i.holds for i in instances[:2]), "one instance pages")
    theirs.away = True
    last: dict[str, bool] = {}
    count = await _emit(instances[:2], last, seconds / 2)
    first = next(i for i in instances[:2] if i.holds)
    await first.kill()
    left = [i for i in instances if i is not first]
    await left[1].start()
    count += await _emit(left, last, seconds / 2)
    theirs.away = False
    expected = {f"charter/job/{job}" for job, failing in last.items() if failing}
    problem = ""
    try:
        await eventually(lambda: theirs.open == expected and _is_done(left), "all is paged", 30)
    except AssertionError as late:
        problem = f"{late}: {theirs.open ^ expected}"
    for instance in left:
        await instance.stop()
    opened, resolved = theirs.counts["opened"], theirs.counts["resolved"]
    checks = {
        "opened is not resolved and open": opened != resolved + len(theirs.open),
        "nothing was opened": not opened,
        "a page was given up": sum(i.pager.dropped for i in instances) > 0,
    }
    return Row(
        fault="pager away",
        emitted=count,
        delivered=sum(i.pager.sent for i in instances),
        replayed=0,
        dropped=sum(i.pager.dropped for i in instances),
        lost=len(theirs.open ^ expected),
        connections=0,
        audited=None,
        promise=NEWEST,
        broken=breaks([problem], checks),
        note=f"opened {opened} = resolved {resolved} + open {len(theirs.open)}",
    )


def _is_done(instances: Sequence[Instance]) -> bool:
    holder = next((i for i in instances if i.holds), None)
    return holder is not None and not len(holder.pager.queue)


async def _emit(instances: Sequence[Instance], last: dict[str, bool], seconds: float) -> int:
    """Emit failures and completions of jobs, each on one instance; the order of one job stays."""
    count, until = 0, time.monotonic() + seconds
    while time.monotonic() < until:
        number = random.randrange(JOBS)  # noqa: S311 - any of them will do
        job = f"etl/job-{number}"
        failing = random.random() < 0.5  # noqa: S311 - likewise
        last[job.replace("/", "%2F")] = failing
        instances[number % len(instances)].stream.publish_nowait(_run(job, failing=failing))
        count += 1
        await asyncio.sleep(0.02)
    streams = [instance.stream for instance in instances]
    await eventually(lambda: not any(s.statistics().queued for s in streams), "all is in Redis")
    return count


def _run(job: str, *, failing: bool) -> Event:
    if failing:
        payload = {"job_id": job, "error_message": "no", "error_type": "E", "failed_at": 1.5}
        return create("metrics.aggregation_failed", payload)
    payload = {"job_id": job, "entries_processed": 1, "duration_ms": 1.0, "completed_at": 1.5}
    return create("metrics.aggregation_completed", payload)
