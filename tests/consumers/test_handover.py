"""The consumer *alerts* that goes on where another one ended: it judges as that one would have."""

import json
from pathlib import Path
from typing import Any

import pytest
from redis.exceptions import ConnectionError as RedisConnectionError

from charter_otel.consumers import Alerts
from charter_otel.consumers.alerts import Page, Pager
from charter_otel.consumers.alerts.consumer import LONGEST_PAUSE
from charter_otel.streams import Lease, LeaseLost
from charter_otel.testing import Capture
from consumers.conftest import Make
from support.fake_time import settle
from support.polling import eventually

ROBOT = "charter/robot/robot_001"
JOB = "charter/job/aggregate"


class _Exclusive:
    """A stream of which only its subscription is asked for, and the state that holders leave."""

    def __init__(self) -> None:
        self.left: bytes | None = None
        self.tried = 0
        """Attempts of holders to leave one."""
        self.failure: Exception | None = None
        self._take_over: Any = None

    def subscribe(self, *_: str, take_over: Any, **__: Any) -> Any:
        """Note what is called at a change of the holder."""
        self._take_over = take_over
        return lambda handler: handler

    async def to(self, consumer: Alerts, epoch: int) -> Lease:
        """Make a consumer the holder."""
        consumer.attach(self)  # type: ignore[arg-type]  # one method is enough here
        lease = _Shared(self._take_over)
        lease.stream, lease.epoch = self, epoch
        await lease.wait()
        return lease


class _Shared(Lease):
    """A lease whose state outlives its holder."""

    stream: _Exclusive

    async def load(self) -> bytes | None:
        """Return what the last holder left."""
        return self.stream.left

    async def save(self, state: bytes) -> None:
        """Leave a state, or fail."""
        self.stream.tried += 1
        if self.stream.failure is not None:
            raise self.stream.failure
        self.stream.left = state


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


async def test_a_robot_that_flaps_flaps_on_at_the_next_holder(
    tmp_path: Path, closed: Make, established: Make
) -> None:
    """Its incident stays open until it has been steady."""
    state, sent, now = tmp_path / "state.json", list[Page](), [1_000.0]
    await _flap(_heir(state, sent, now), closed, established, 3)
    second = _heir(state, sent, now)
    await second.look()
    assert second.open_keys == {f"{ROBOT}/flapping"}
    now[0] += 3_600
    await second.look()
    assert second.open_keys == frozenset()


@pytest.mark.parametrize(
    ("later", "opened"),
    [
        (5.0, {"charter/robot/robot_003", "charter/fleet"}),
        (30.0, {"charter/robot/robot_003", "charter/robot/robot_004"}),
    ],
)
async def test_robots_paged_for_one_by_one_are_the_fleet_within_a_minute(
    tmp_path: Path, closed: Make, established: Make, later: float, opened: set[str]
) -> None:
    """Also where two holders paged, and though the robots of the first are back."""
    state, sent, now = tmp_path / "state.json", list[Page](), [1_000.0]
    holder = _heir(state, sent, now)
    for number in range(5):
        if number == 3:
            now[0] += 20.0
            await holder.handle(established("robot_to_save_once_more"))
            await holder.look()
            now[0] += later
            left = json.loads(state.read_bytes())
            left["memory"]["at"] -= later
            state.write_text(json.dumps(left))
            holder = _heir(state, sent, now)
        robot_id = f"robot_{number:03}"
        await holder.handle(closed(robot_id, "connection_lost"))
        now[0] += 5.0
        await holder.look()
        if number < 3:
            await holder.handle(established(robot_id))
    assert holder.open_keys == opened


async def test_nothing_is_saved_where_nothing_changed(failed: Make, published: Make) -> None:
    """Neither by a look, nor because of readings that are as they should be, however late."""
    stream, now = _Exclusive(), [0.0]
    alerts = Alerts(Pager(list[Page]().append), clock=lambda: now[0])
    await stream.to(alerts, epoch=1)
    await alerts.handle(failed())
    await alerts.look()
    tried = stream.tried
    for _ in range(20):
        now[0] += 1.0
        await alerts.handle(published())
        await alerts.look()
    assert stream.tried == tried


async def test_an_incident_that_opens_as_another_ends_is_saved(
    failed: Make, completed: Make, closed: Make
) -> None:
    """One incident ends as another one opens; a page that was held opens its incident."""
    stream, now = _Exclusive(), [0.0]
    alerts = Alerts(Pager(list[Page]().append), clock=lambda: now[0])
    await stream.to(alerts, epoch=1)
    await alerts.handle(failed())
    await alerts.handle(completed(9_000.0))
    assert json.loads(stream.left or b"")["open"] == [f"{JOB}/slow"]
    await alerts.handle(completed())
    await alerts.handle(closed(reason="connection_lost"))
    now[0] = 4.0
    await alerts.look()
    assert json.loads(stream.left or b"")["open"] == []
    now[0] = 5.0
    await alerts.look()
    assert json.loads(stream.left or b"")["open"] == [ROBOT]


async def test_the_next_holder_sends_what_waits(failed: Make) -> None:
    """At once, whether or not anything else happens."""
    stream, sent = _Exclusive(), list[Page]()
    first, second = Alerts(Pager(list[Page]().append)), Alerts(Pager(sent.append))
    second.attach(stream)  # type: ignore[arg-type]  # one method is enough here
    await second.start()
    await settle()
    await stream.to(first, epoch=1)
    await first.handle(failed())
    await stream.to(second, epoch=2)
    await second.look()
    await eventually(lambda: [page.key for page in sent] == [JOB], "the page")
    await second.stop()


async def test_open_incidents_are_handed_over_without_a_file(
    failed: Make, completed: Make, charter_capture: Capture
) -> None:
    """An event counts as handled when the next holder could resolve its incident."""
    stream, sent = _Exclusive(), list[Page]()
    first, second = Alerts(Pager(list[Page]().append)), Alerts(Pager(sent.append))
    await stream.to(first, epoch=1)
    await first.handle(failed())
    await stream.to(second, epoch=2)
    assert second.open_keys == {JOB}
    await second.handle(completed())
    assert second.open_keys == frozenset()
    await stream.to(first, epoch=3)
    assert first.open_keys == frozenset(), "its own state is the older one"
    told = [line for line in charter_capture.lines if line["event"] == "incidents taken over"]
    assert [(line["open"], line["waiting"]) for line in told] == [(1, 1)]


async def test_the_clock_of_the_last_holder_s_machine_forgets_nothing(closed: Make) -> None:
    """It was an hour behind; losses at two holders are still those of one minute."""
    stream = _Exclusive()
    first, second = (Alerts(Pager(list[Page]().append)) for _ in range(2))
    await stream.to(first, epoch=1)
    for number in range(3):
        await first.handle(closed(f"robot_{number:03}", reason="heartbeat_timeout"))
    left = json.loads(stream.left or b"")
    left["memory"]["at"] -= 3_600
    stream.left = json.dumps(left).encode()
    await stream.to(second, epoch=2)
    for number in range(3, 5):
        await second.handle(closed(f"robot_{number:03}", reason="heartbeat_timeout"))
    assert second.open_keys == {"charter/fleet"}


async def test_a_page_about_a_reading_is_handed_on(published: Make) -> None:
    """Its details hold the reading itself; the next holder sends it."""
    stream, sent = _Exclusive(), list[Page]()
    first, second = Alerts(Pager(list[Page]().append)), Alerts(Pager(sent.append))
    await stream.to(first, epoch=1)
    await first.handle(published(battery=11.0))
    await stream.to(second, epoch=2)
    await second.start()
    await eventually(lambda: sent, "the page")
    await second.stop()
    assert [page.key for page in sent] == [f"{ROBOT}/battery"]
    assert sent[0].details["metrics"]["battery_percentage"] == 11.0


async def test_a_state_that_could_not_be_left_is_left_later(
    tmp_path: Path, failed: Make, completed: Make
) -> None:
    """While Redis is away, paging goes on; the state is saved some seconds after it is back."""
    stream, now = _Exclusive(), [0.0]
    file = tmp_path / "state.json"
    alerts = Alerts(Pager(list[Page]().append), state=file, clock=lambda: now[0])
    await stream.to(alerts, epoch=1)
    await alerts.handle(failed())
    await alerts.look()
    assert stream.left is not None
    stream.failure = RedisConnectionError("away")
    await alerts.handle(completed())
    assert (alerts.open_keys, json.loads(stream.left)["open"]) == (frozenset(), [JOB])
    tried = stream.tried
    for _ in range(60):
        now[0] += 1.0
        await alerts.look()
    assert 5 <= stream.tried - tried <= 14, "in growing pauses, not every second"
    stream.failure = None
    now[0] += LONGEST_PAUSE
    await alerts.look()
    assert json.loads(stream.left) == json.loads(file.read_bytes())
    assert json.loads(stream.left)["open"] == []
    tried = stream.tried
    now[0] += LONGEST_PAUSE
    await alerts.look()
    assert stream.tried == tried


async def test_an_event_is_not_handled_by_who_has_lost_the_lease(failed: Make) -> None:
    """The stream gives it to the new holder; the old one stops without an error."""
    stream, alerts = _Exclusive(), Alerts(Pager(list[Page]().append))
    await stream.to(alerts, epoch=1)
    stream.failure = LeaseLost()
    with pytest.raises(LeaseLost):
        await alerts.handle(failed())
    await alerts.stop()
    assert stream.left is None


async def test_an_instance_that_pages_no_longer_is_in_no_trouble(
    tmp_path: Path, failed: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its disk was full as it lost the lease: the next holder's trouble is not its own."""
    stream = _Exclusive()
    alerts = Alerts(Pager(list[Page]().append), state=tmp_path / "file" / "state")
    (tmp_path / "file").touch()
    await stream.to(alerts, epoch=1)
    await alerts.handle(failed())
    await alerts.look()
    assert "cannot be written" in (alerts.trouble or "")
    monkeypatch.setattr(_Shared, "held", False)
    await alerts.look()
    assert alerts.trouble is None


async def test_a_state_that_cannot_be_read_is_reported_and_left_behind(
    failed: Make, charter_capture: Capture
) -> None:
    """The next holder pages all the same, with what it knows itself."""
    stream, alerts = _Exclusive(), Alerts(Pager(list[Page]().append))
    stream.left = b"nonsense"
    await stream.to(alerts, epoch=1)
    assert "the state of the last pager is unreadable" in [
        line["event"] for line in charter_capture.lines
    ]
    await alerts.handle(failed())
    assert json.loads(stream.left)["open"] == [JOB]
