"""`python -m benchmarks.profiles`: profiles each load and prints the table."""

import os
import sys
from contextlib import ExitStack

from benchmarks import machine, table
from benchmarks.profiles.loads import LOADS, Open
from benchmarks.profiles.owners import OWNERS, Profile, count
from benchmarks.profiles.sampler import sample

_LEAST = 0.005
"""A smaller share is shown as none."""


def main() -> int:
    """Profile the loads that ``ROWS`` names, or all, for ``PROFILE_SECONDS`` (10) each."""
    names = [name for name in os.environ.get("ROWS", "").split(",") if name] or [*LOADS]
    if unknown := set(names) - LOADS.keys():
        table.say(f"no such row: {', '.join(unknown)}; there are {', '.join(LOADS)}")
        return 2
    seconds = float(os.environ.get("PROFILE_SECONDS", "10"))
    machine.raise_open_file_limit()
    machine.pin(machine.BESIDE)
    profiles = {LOADS[name].title: _profile(LOADS[name].open, seconds) for name in names}
    table.say(table.cells("whose code", *profiles))
    table.say("|---|" + "---:|" * len(profiles))
    for owner in OWNERS:
        table.say(table.cells(owner, *(_percent(p.share(owner)) for p in profiles.values())))
    table.say(table.cells("the largest function", *map(_largest, profiles.values())))
    return 0


def _profile(open_: Open, seconds: float) -> Profile:
    with ExitStack() as stack:
        load = open_(stack)
        load.work()
        return count(sample(load.pid, load.work, seconds), without=load.preparing)


def _largest(profile: Profile) -> str:
    function, share = profile.largest
    return f"`{function}` {_percent(share)}"


def _percent(share: float) -> str:
    return f"{share:.0%}" if share >= _LEAST else "–"  # noqa: RUF001


if __name__ == "__main__":
    sys.exit(main())
