"""The faults. Each lasts for some seconds, and gives the account of every event meanwhile."""

import asyncio
import random
import signal
import socket
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager

from chaos.account import COUNTED, EXACTLY_ONCE, LAST_100_MS, UNHINDERED, Row
from chaos.run import Run, running
from support.ports import free_port

Fault = Callable[[float], Awaitable[Row]]


async def redis_killed(seconds: float) -> Row:
    """Redis is killed, and comes back with its data."""
    async with running() as (run, _):
        run.server.kill()
        await asyncio.sleep(seconds)
        await asyncio.to_thread(run.server.start)
        return await run.finish("redis killed", EXACTLY_ONCE)


async def redis_paused(seconds: float) -> Row:
    """Redis stops answering, with its connections left open."""
    async with running() as (run, _):
        run.server.pause()
        await asyncio.sleep(seconds)
        run.server.resume()
        return await run.finish("redis paused", EXACTLY_ONCE)


async def redis_flaps(seconds: float) -> Row:
    """Redis stops and goes on, again and again."""
    async with running() as (run, _):
        for _ in range(max(2, int(seconds / 0.5))):
            run.server.pause()
            await asyncio.sleep(random.uniform(0.05, 0.4))  # noqa: S311 - any moment will do
            run.server.resume()
            await asyncio.sleep(0.2)
        return await run.finish("redis flaps", EXACTLY_ONCE)


async def redis_out_of_memory(seconds: float) -> Row:
    """Redis refuses writes because its memory is full."""
    return await _refusing("out of memory", seconds, "CONFIG SET maxmemory 1mb", "maxmemory 0")


async def redis_read_only(seconds: float) -> Row:
    """Redis has become a replica, and refuses writes."""
    async with running() as (run, _):
        await _command(run, "REPLICAOF 127.0.0.1 1")
        await asyncio.sleep(seconds)
        await _command(run, "REPLICAOF NO ONE")
        return await run.finish("read-only replica", EXACTLY_ONCE)


async def replies_lost(seconds: float) -> Row:
    """Connections are cut after Redis has taken a batch and before it says so."""
    async with running(proxied=True) as (run, proxy):
        for _ in range(max(5, int(seconds * 5))):
            proxy.lose_replies_to = b"EVALSHA"
            await asyncio.sleep(0.2)
        assert proxy.cuts
        proxy.lose_replies_to = None
        return await run.finish("replies lost", EXACTLY_ONCE)


async def terminated(seconds: float) -> Row:
    """The process is terminated and started again, at any moment, while Redis comes and goes."""
    async with running() as (run, _):
        for _ in range(max(2, int(seconds / 5))):
            run.server.pause()
            await asyncio.sleep(random.uniform(0, seconds / 3))  # noqa: S311 - likewise
            await run.terminate()
            await run.start()
            run.server.resume()
            await asyncio.sleep(random.uniform(0, 0.2))  # noqa: S311 - likewise
        return await run.finish("process terminated", EXACTLY_ONCE)


async def killed(seconds: float) -> Row:
    """The process is killed and started again, at any moment, while Redis comes and goes."""
    async with running() as (run, _):
        for _ in range(max(2, int(seconds / 2))):
            await asyncio.sleep(random.uniform(0, 0.2))  # noqa: S311 - likewise
            run.server.pause()
            await asyncio.sleep(random.uniform(0, 1))  # noqa: S311 - likewise
            await run.kill()
            run.server.resume()
            await run.start()
        return await run.finish("process killed", LAST_100_MS)


async def disk_full(seconds: float) -> Row:
    """The disk is full while Redis is away."""
    async with running(capacity=max(100, int(seconds * 50))) as (run, _):
        run.server.kill()
        await asyncio.sleep(seconds / 3)
        run.fill_disk(full=True)
        await asyncio.sleep(seconds)
        run.fill_disk(full=False)
        await asyncio.to_thread(run.server.start)
        row = await run.finish("disk full", COUNTED)
        return row if row.dropped else row._replace(broken="the disk was not full")


async def audit_disk_full(seconds: float) -> Row:
    """The disk is full under the consumer `audit`, while Redis works."""
    async with running() as (run, _):
        run.fill_disk(full=True)
        await asyncio.sleep(seconds)
        waiting = run.server.command("XPENDING", "{charter}:events", "charter.audit")
        run.fill_disk(full=False)
        row = await run.finish("audit disk full", EXACTLY_ONCE)
        given_up = run.server.command("XLEN", "{charter}:events:dead")
        if not isinstance(waiting, list) or not waiting[0]:
            return row._replace(broken="the disk was not full")
        return row._replace(broken=row.broken or (f"{given_up} dead letters" if given_up else ""))


async def collector_dead(seconds: float) -> Row:
    """Nothing listens where the Collector should be."""
    with _silent(listening=False) as url:
        return await _without_collector("collector dead", seconds, url)


async def collector_black_hole(seconds: float) -> Row:
    """The Collector accepts connections and answers nothing."""
    with _silent(listening=True) as url:
        return await _without_collector("collector black hole", seconds, url)


async def collector_flaps(seconds: float) -> Row:
    """The Collector comes and goes."""
    url = f"http://127.0.0.1:{free_port()}"
    async with running(environment=_exporting(url)) as (run, _), _coming_and_going(url):
        await asyncio.sleep(seconds)
        return await run.finish("collector flaps", EXACTLY_ONCE, UNHINDERED)


async def clock_steps(seconds: float) -> Row:
    """The wall clock steps back and forth by an hour, while Redis is away too.

    At the end it is an hour ahead: a duration that goes by it would show that.
    """
    forward, back = signal.SIGUSR1, signal.SIGUSR2
    async with running() as (run, _):
        run.server.pause()
        for number in (forward, back, back, forward, forward):
            run.life.process.send_signal(number)
            await asyncio.sleep(seconds / 5)
        run.server.resume()
        return await run.finish("clock steps an hour", EXACTLY_ONCE)


FAULTS: tuple[Fault, ...] = (
    redis_killed,
    redis_paused,
    redis_flaps,
    redis_out_of_memory,
    redis_read_only,
    replies_lost,
    terminated,
    killed,
    disk_full,
    audit_disk_full,
    collector_dead,
    collector_black_hole,
    collector_flaps,
    clock_steps,
)


async def _refusing(fault: str, seconds: float, begin: str, end: str) -> Row:
    async with running() as (run, _):
        await _command(run, begin)
        await asyncio.sleep(seconds)
        await _command(run, f"CONFIG SET {end}")
        return await run.finish(fault, EXACTLY_ONCE)


async def _command(run: Run, command: str) -> None:
    await asyncio.to_thread(run.server.command, *command.split())


async def _without_collector(fault: str, seconds: float, url: str) -> Row:
    async with running(environment=_exporting(url)) as (run, _):
        await asyncio.sleep(seconds)
        return await run.finish(fault, EXACTLY_ONCE, UNHINDERED)


def _exporting(url: str) -> dict[str, str]:
    return {"OTEL_EXPORTER_OTLP_ENDPOINT": url, "OTEL_METRIC_EXPORT_INTERVAL": "500"}


@contextmanager
def _silent(*, listening: bool) -> Iterator[str]:
    with socket.socket() as one:
        one.bind(("127.0.0.1", 0))
        if listening:
            one.listen(128)
        yield f"http://127.0.0.1:{one.getsockname()[1]}"


@asynccontextmanager
async def _coming_and_going(url: str) -> AsyncIterator[None]:
    task = asyncio.create_task(_come_and_go(int(url.rpartition(":")[2])), name="collector")
    try:
        yield
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)


async def _come_and_go(port: int) -> None:
    while True:
        async with await asyncio.start_server(_hang_up, "127.0.0.1", port):
            await asyncio.sleep(0.5)
        await asyncio.sleep(0.5)


async def _hang_up(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    await reader.read(100)
    writer.close()
