"""Faults of `make chaos`, short: a row of each kind.

The gate runs all of them; fail-overs are in `test_failover.py` and `test_redis_failover.py`, too.
"""

import pytest

from chaos.account import Row
from chaos.anew import redis_anew
from chaos.astray import clock_astray
from chaos.faults import FAULTS, Fault, collector_black_hole, collector_dead, terminated
from chaos.fleet import restarted_in_an_outage
from chaos.instances import instances_with_partitions
from chaos.moved import address_changes
from chaos.paging import pager_away
from chaos.promises import EVERY, promised
from chaos.strangers import strangers_take_all_files

LIKE_OTHERS = {terminated, collector_dead, collector_black_hole}
"""Like `killed` and `collector_flaps`."""


@pytest.fixture(autouse=True)
def _few_robots(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CHAOS_ROBOTS", "20")


def is_as_promised(row: Row) -> bool:
    """Return whether a row keeps its class, and that is the one of the README's table."""
    return not row.broken and promised()[row.fault] == row.promise


def test_the_readme_has_every_fault() -> None:
    """Its table has a row for each fault, and no other."""
    assert len(promised()) == len(EVERY)


@pytest.mark.timeout(90)
@pytest.mark.parametrize(
    "fault",
    [
        *(fault for fault in FAULTS if fault not in LIKE_OTHERS),
        redis_anew,
        address_changes,
        strangers_take_all_files,
        clock_astray,
    ],
    ids=lambda fault: fault.__name__,
)
async def test_a_fault_keeps_its_class(fault: Fault) -> None:
    """No event is lost uncounted, none comes twice, and the order stays, whatever fails."""
    row = await fault(2.0)
    assert is_as_promised(row), row
    assert row.emitted > 50


@pytest.mark.timeout(90)
async def test_a_service_that_is_restarted_in_an_outage_loses_nothing() -> None:
    """Each event that stdout names is in the stream, once and in order."""
    row = await restarted_in_an_outage(2.0)
    assert is_as_promised(row), row
    assert row.replayed > 100


@pytest.mark.timeout(90)
async def test_a_pager_that_is_away_learns_the_newest_state_of_each_incident() -> None:
    """Opened are those that were resolved and those that are open, across two instances."""
    row = await pager_away(3.0)
    assert is_as_promised(row), row


@pytest.mark.timeout(120)
async def test_instances_that_are_killed_and_paused_come_out_exact() -> None:
    """Slots run once, connections are closed once, missions count once, presence is the truth."""
    row = await instances_with_partitions(5.0)
    assert is_as_promised(row), row
    assert row.emitted > 50
