"""`make outages`: what is paged while something is away for ten minutes; a Markdown table.

OUTAGES=redis,site chooses some. OUTAGE_SECONDS is how long each lasts, 600 by default; all run side
by side, and take half an hour. WRITE=1 puts the table into `dashboards/README.md`. It ends non-zero
if something else is paged than the runbooks describe.
"""

import os
import sys
from concurrent.futures import ThreadPoolExecutor

from charter_otel.open_files import raise_open_file_limit
from outages import table
from outages.causes import CAUSES
from outages.run import run


def main() -> bool:
    """Run the outages, print the table, and return whether all is as described."""
    chosen = os.environ.get("OUTAGES", ",".join(cause.name for cause in CAUSES)).split(",")
    seconds = float(os.environ.get("OUTAGE_SECONDS", "600"))
    causes = [cause for cause in CAUSES if cause.name in chosen]
    with ThreadPoolExecutor(len(causes)) as pool:
        rows = list(pool.map(lambda cause: run(cause, seconds), causes))
    text = table.of(rows, seconds)
    sys.stdout.write(text)
    if os.environ.get("WRITE"):
        table.write(text)
    return all(row.kept for row in rows)


if __name__ == "__main__":
    raise_open_file_limit()
    sys.exit(not main())
