"""`make endurance`: what takes long, as lines; ROWS=churn,held for some.

CHURN_CONNECTIONS come and go in CHURN_SECONDS, by default 100,000 in an hour. HELD_CONNECTIONS are
held for HELD_SECONDS, by default 20,000 for two minutes, by HELD_WORKERS, by default two.
HALF_OPEN_CONNECTIONS, by default 200, are cut off by their network; that needs root.
"""

import asyncio
import os
import sys
from collections.abc import Awaitable, Callable

from chaos.endurance.churn import churn
from chaos.endurance.halfopen import half_open
from chaos.endurance.held import held
from chaos.endurance.trimmed import trimmed
from charter_otel.open_files import raise_open_file_limit

ROWS: dict[str, Callable[[], Awaitable[list[str]]]] = {
    "half-open": half_open,
    "trimmed": trimmed,
    "held": held,
    "churn": churn,
}


async def main(names: list[str]) -> None:
    """Play what is asked for, one after the other."""
    for name in names:
        sys.stdout.write(f"{name}\n")
        sys.stdout.writelines(f"  {line}\n" for line in await ROWS[name]())
        sys.stdout.flush()


if __name__ == "__main__":
    raise_open_file_limit()
    asyncio.run(main((os.environ.get("ROWS") or ",".join(ROWS)).split(",")))
