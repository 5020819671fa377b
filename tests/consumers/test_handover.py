"""The consumer *alerts* that goes on where another one ended: it judges as that one would have."""

import json
from pathlib import Path

from charter_otel.consumers import Alerts
from charter_otel.consumers.alerts import Page, Pager
from consumers.conftest import Make
from support.polling import eventually

ROBOT = "charter/robot/robot_001"


def _heir(state: Path, sent: list[Page], now: list[float]) -> Alerts:
    """Make a consumer that begins with the state; its clock is another one's."""
    return Alerts(Pager(sent.append), state=state, clock=lambda: now[0])


async def _flap(alerts: Alerts, closed: Make, established: Make, times: int) -> None:
    for _ in range(times):
        await alerts.handle(established())
        await alerts.handle(closed(reason="client_disconnect"))


async def test_the_next_holder_knows_who_disconnects_often(
    tmp_path: Path, closed: Make, established: Make
) -> None:
    """The third disconnect is flapping, although two holders saw them."""
    state, sent, now = tmp_path / "state.json", list[Page](), [1_000.0]
    first = _heir(state, sent, now)
    await _flap(first, closed, established, 2)
    await first.look()
    now[0] = 50.0
    second = _heir(state, sent, now)
    await second.start()
    await _flap(second, closed, established, 1)
    await eventually(lambda: sent, "the page")
    await second.stop()
    assert [page.key for page in sent] == [f"{ROBOT}/flapping"]


async def test_a_penalty_halves_while_nobody_holds(
    tmp_path: Path, closed: Make, established: Make
) -> None:
    """An hour later it is gone: the third disconnect is not flapping."""
    state, sent, now = tmp_path / "state.json", list[Page](), [1_000.0]
    first = _heir(state, sent, now)
    await _flap(first, closed, established, 2)
    await first.look()
    left = json.loads(state.read_bytes())
    left["memory"]["at"] -= 3_600
    state.write_text(json.dumps(left))
    second = _heir(state, sent, [50.0])
    await _flap(second, closed, established, 1)
    assert second.open_keys == frozenset()


async def test_losses_at_two_holders_are_one_of_the_fleet(tmp_path: Path, closed: Make) -> None:
    """Three robots were lost at one holder and two at the next: five within a minute."""
    state, sent = tmp_path / "state.json", list[Page]()
    first, second = (_heir(state, sent, [at]) for at in (1_000.0, 50.0))
    for number in range(3):
        await first.handle(closed(f"robot_{number:03}", reason="heartbeat_timeout"))
    second = _heir(state, sent, [50.0])
    for number in range(3, 5):
        await second.handle(closed(f"robot_{number:03}", reason="heartbeat_timeout"))
    assert second.open_keys == {"charter/fleet"}


async def test_a_large_fleet_stays_large_for_the_next_holder(
    tmp_path: Path, closed: Make, established: Make
) -> None:
    """Five robots of a thousand are five pages, not the fleet's, although it knows no names."""
    state, sent = tmp_path / "state.json", list[Page]()
    first = _heir(state, sent, [1_000.0])
    for number in range(1_000):
        await first.handle(established(f"robot_{number:04}"))
    await first.look()
    second = _heir(state, sent, [50.0])
    for number in range(5):
        await second.handle(closed(f"robot_{number:04}", reason="heartbeat_timeout"))
    assert second.open_keys == frozenset()


async def test_failures_at_two_holders_escalate(tmp_path: Path, failed: Make) -> None:
    """The third failure within ten minutes is critical, whoever saw the others."""
    state, sent = tmp_path / "state.json", list[Page]()
    first = _heir(state, sent, [1_000.0])
    await first.handle(failed())
    await first.handle(failed())
    second = _heir(state, sent, [50.0])
    await second.start()
    await second.handle(failed())
    await eventually(lambda: len(sent) >= 1, "the pages")
    await second.stop()
    assert sent[-1].severity == "critical"
