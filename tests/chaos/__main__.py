"""`make chaos`: every fault at full length, as a table; ends non-zero if a row breaks its class.

CHAOS_SECONDS is how long each fault lasts: 60 by default, 10 for a run of five minutes.
CHAOS_ROBOTS is how many robots are connected meanwhile, 500 by default. CHAOS_SEED is the chance by
which instances are killed and paused; the table tells the one that was used.
"""

import asyncio
import os
import sys
import time

from chaos.account import Row
from chaos.promises import EVERY, promised
from charter_otel.open_files import raise_open_file_limit

LINE = "{:24}{:>8}{:>10}{:>9}{:>8}{:>5}{:>12}{:>8}  {:16}{:6}{}"
HEAD = LINE.format(
    *("fault", "emitted", "delivered", "replayed", "dropped", "lost", "connections", "audited"),
    *("class", "", "note"),
)


async def main(seconds: float) -> bool:
    """Run all faults and tell whether every row keeps its class."""
    _say(HEAD)
    kept = True
    begun = time.monotonic()
    for fault in EVERY:
        row = _as_promised(await fault(seconds))
        kept = kept and not row.broken
        _say(_line(row))
    verdict = "every class kept" if kept else "a class is broken"
    _say(f"{time.monotonic() - begun:.0f} s; {verdict}")
    return kept


def _as_promised(row: Row) -> Row:
    """Break a row whose class is not the one that the README promises."""
    promise = promised().get(row.fault)
    return row if promise == row.promise else row._replace(broken=f"the README says {promise}")


def _line(row: Row) -> str:
    *cells, broken, note = ("-" if cell is None else cell for cell in row)
    return LINE.format(*cells, "BROKEN" if broken else "kept", f"  {broken or note}")


def _say(text: str) -> None:
    sys.stdout.write(text + "\n")
    sys.stdout.flush()


if __name__ == "__main__":
    raise_open_file_limit()
    sys.exit(not asyncio.run(main(float(os.environ.get("CHAOS_SECONDS", "60")))))
