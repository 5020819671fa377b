"""`make endurance`: what takes long, as lines; ROWS=churn,held for some.

CHURN_CONNECTIONS come and go in CHURN_SECONDS, by default 100,000 in an hour.
"""

import asyncio
import os
import sys
from collections.abc import Awaitable, Callable

from chaos.endurance.churn import churn
from charter_otel.open_files import raise_open_file_limit

ROWS: dict[str, Callable[[], Awaitable[list[str]]]] = {"churn": churn}


async def main(names: list[str]) -> None:
    """Play what is asked for, one after the other."""
    for name in names:
        sys.stdout.write(f"{name}\n")
        sys.stdout.writelines(f"  {line}\n" for line in await ROWS[name]())
        sys.stdout.flush()


if __name__ == "__main__":
    raise_open_file_limit()
    asyncio.run(main((os.environ.get("ROWS") or ",".join(ROWS)).split(",")))
