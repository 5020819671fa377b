"""The master of a Sentinel set and of a cluster is killed, and comes back as a replica."""

import asyncio
from collections.abc import Callable
from contextlib import AbstractContextManager
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory

from chaos.account import EXACTLY_ONCE, Row
from chaos.run import Run
from support.redis_sets import RedisSet, cluster, sentinel_set


async def sentinel_set_fails_over(seconds: float) -> Row:
    """The Sentinels promote the replica."""
    return await _fails_over("sentinel set fails over", sentinel_set, seconds)


async def cluster_fails_over(seconds: float) -> Row:
    """The cluster promotes the replica that has our slot."""
    return await _fails_over("cluster fails over", partial(cluster, replicas=1), seconds)


async def _fails_over(
    fault: str, kind: Callable[[Path], AbstractContextManager[RedisSet]], seconds: float
) -> Row:
    with TemporaryDirectory(prefix="charter") as name, kind(Path(name)) as servers:
        old = servers.master()
        run = Run(Path(name), server=old, url=f"{servers.url}?replicas=1")
        try:
            await run.begin()
            old.kill()
            await asyncio.sleep(seconds)
            run.server = await asyncio.to_thread(servers.master)
            await asyncio.to_thread(old.start)
            return await run.finish(fault, EXACTLY_ONCE)
        finally:
            await run.close()
