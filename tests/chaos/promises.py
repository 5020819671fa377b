"""All faults, and the class that the table beside this file promises for each."""

import re
from functools import cache
from pathlib import Path

from chaos.anew import redis_anew
from chaos.astray import clock_astray
from chaos.failover import cluster_fails_over, sentinel_set_fails_over
from chaos.faults import FAULTS, Fault
from chaos.fleet import restarted_in_an_outage
from chaos.instances import instances_at_random, instances_with_partitions
from chaos.moved import address_changes
from chaos.paging import pager_away
from chaos.strangers import strangers_take_all_files

EVERY: tuple[Fault, ...] = (
    *FAULTS,
    sentinel_set_fails_over,
    cluster_fails_over,
    restarted_in_an_outage,
    redis_anew,
    address_changes,
    strangers_take_all_files,
    clock_astray,
    pager_away,
    instances_at_random,
    instances_with_partitions,
)

_README = Path(__file__).with_name("README.md")
_TABLE = re.compile(r"\| fault of `make chaos` \|.*\n\|[-|]+\n((?:\|.*\n)+)")


@cache
def promised() -> dict[str, str]:
    """Return the README's table: each fault with its class."""
    found = _TABLE.search(_README.read_text(encoding="utf-8"))
    assert found is not None, "the README has no table of the faults"
    rows = [line.strip("| ").split("|") for line in found[1].splitlines()]
    return {fault.strip(): promise.strip() for fault, promise, *_ in rows}
