"""Redis gets another port: what was spooled for the old one is adopted."""

import asyncio
import subprocess
import sys

from chaos.account import EXACTLY_ONCE, Row
from chaos.run import running
from support.redis import RedisServer


async def address_changes(seconds: float) -> Row:
    """The service is stopped in an outage, and started with the new address after the adoption."""
    async with running() as (run, _):
        run.server.kill()
        await asyncio.sleep(seconds)
        await run.terminate()
        run.server = RedisServer(run.server.directory)
        run.url = run.server.url
        await asyncio.to_thread(run.server.start)
        said = await asyncio.to_thread(_adopt, run.variables(quiet=True))
        await run.start()
        row = await run.finish("address changes", EXACTLY_ONCE)
        nothing = said.startswith("0 events")
        return row._replace(broken="nothing was adopted") if nothing else row


def _adopt(variables: dict[str, str]) -> str:
    command = [sys.executable, "-m", "charter_otel", "spool", "adopt", "--all"]
    ended = subprocess.run(command, env=variables, capture_output=True, text=True, check=True)
    return ended.stdout
