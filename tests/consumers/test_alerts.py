"""Incidents straight from the stream: one per job or robot, escalated, resolved, never blocking."""

import json
import random
import threading
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pagerduty import ApiClient, EventsApiV2Client

from charter_otel.consumers import Alerts, make
from charter_otel.consumers.alerts import Incidents, Page, Pager, pagerduty
from charter_otel.consumers.alerts.consumer import LONGEST_PAUSE
from charter_otel.consumers.alerts.page import key_of, resolve
from charter_otel.consumers.alerts.page_queue import PageQueue, decode, encode
from charter_otel.consumers.alerts.pagerduty import links
from charter_otel.streams import MemoryStream
from charter_otel.testing import Capture
from charter_otel.thresholds import Thresholds
from consumers.conftest import TRACE, Make
from rules.standins import PagerDuty
from support.polling import eventually

RUNBOOKS = Path(__file__).parents[2] / "dashboards" / "runbooks"
JOB = "charter/job/aggregate"
ROBOT = "charter/robot/robot_001"


def summary(pages: list[Page]) -> list[tuple[str, str, str]]:
    """Return action, key and severity of each page."""
    return [(page.action, page.key, page.severity) for page in pages]


def test_a_failed_job_pages_and_its_next_success_resolves(failed: Make, completed: Make) -> None:
    """One incident per job, with the error and the trace id."""
    incidents = Incidents()
    (page,) = incidents.handle(failed(), 0)
    assert summary([page]) == [("trigger", JOB, "warning")]
    assert page.details["error_message"] == "Connection to Redis lost"
    assert page.correlation_id == TRACE
    assert summary(incidents.handle(completed(), 30)) == [("resolve", JOB, "warning")]
    assert incidents.handle(completed(), 60) == []


def test_repeated_failures_escalate_the_same_incident(failed: Make, completed: Make) -> None:
    """The third failure within ten minutes is critical; a success begins the count anew."""
    incidents = Incidents()
    pages = [incidents.handle(failed(), at)[0] for at in (0, 30, 60)]
    assert [page.severity for page in pages] == ["warning", "warning", "critical"]
    assert [page.summary.partition(":")[0] for page in pages] == [
        "Job aggregate failed",
        "Job aggregate failed, 2 times",
        "Job aggregate failed, 3 times",
    ]
    incidents.handle(completed(), 90)
    assert incidents.handle(failed(), 120)[0].severity == "warning"


def test_failures_far_apart_do_not_escalate(failed: Make) -> None:
    """Events that lie further back than the window do not count."""
    incidents = Incidents()
    severities = [incidents.handle(failed(), at)[0].severity for at in (0, 400, 800, 1200)]
    assert set(severities) == {"warning"}


def test_a_slow_run_pages_until_one_is_quick(completed: Make) -> None:
    """Over five seconds."""
    incidents = Incidents()
    assert incidents.handle(completed(5000), 0) == []
    assert summary(incidents.handle(completed(5001), 0)) == [("trigger", f"{JOB}/slow", "warning")]
    assert summary(incidents.handle(completed(), 30)) == [("resolve", f"{JOB}/slow", "warning")]


def test_a_lost_robot_pages_after_the_hold_and_resolves(closed: Make, established: Make) -> None:
    """A robot that is back within the hold is not a page."""
    incidents = Incidents()
    assert incidents.handle(closed(reason="connection_lost"), 0) == []
    assert incidents.due(4.9) == []
    assert summary(incidents.due(5)) == [("trigger", ROBOT, "warning")]
    assert summary(incidents.handle(established(), 60)) == [("resolve", ROBOT, "warning")]
    incidents.handle(closed(reason="connection_lost"), 700)
    incidents.handle(established(), 702)
    assert incidents.due(800) == []


@pytest.mark.parametrize(
    "reason", ["client_disconnect", "superseded", "token_expired", "server_shutdown"]
)
def test_a_meant_disconnect_is_no_page(closed: Make, reason: str) -> None:
    """Nobody needs to be woken for it."""
    incidents = Incidents()
    incidents.handle(closed(reason=reason), 0)
    assert incidents.due(100) == []


@pytest.mark.parametrize("reason", ["server_shutdown", "token_expired", "client_disconnect"])
def test_robots_that_left_are_no_part_of_the_fleet(
    closed: Make, established: Make, reason: str
) -> None:
    """Five robots of ten are the fleet's incident, though there were a thousand before."""
    incidents = Incidents()
    for number in range(1_000):
        incidents.handle(established(f"robot_{number}"), 0)
    for number in range(10, 1_000):
        incidents.handle(closed(f"robot_{number}", reason), 1)
    for number in range(5):
        incidents.handle(closed(f"robot_{number}", "connection_lost"), 2)
    assert incidents.open_keys == {"charter/fleet"}


def test_a_short_connection_pages(closed: Make) -> None:
    """Under 60 s, though the robot itself closed it; a deployment is none."""
    incidents = Incidents()
    incidents.handle(closed(seconds=59.0), 0)
    incidents.handle(closed("robot_002", seconds=60.0), 0)
    incidents.handle(closed("robot_003", "server_shutdown", seconds=5.0), 0)
    (page,) = incidents.due(10)
    assert page.summary == "Robot robot_001 disconnected after 59 s"


def test_a_fleet_wide_loss_is_one_page(closed: Make, established: Make) -> None:
    """Twenty lost robots are one critical incident, which ends when most are back."""
    incidents = Incidents()
    robots = [f"robot_{number}" for number in range(20)]
    pages = [p for robot in robots for p in incidents.handle(closed(robot, "connection_lost"), 1)]
    assert summary(pages) == [("trigger", "charter/fleet", "critical")]
    assert incidents.due(100) == []
    for robot in robots[:17]:
        incidents.handle(established(robot), 200)
    assert incidents.due(201) == []
    incidents.handle(established(robots[17]), 210)
    assert incidents.due(210) == []
    assert summary(incidents.due(270)) == [("resolve", "charter/fleet", "warning")]


@pytest.mark.parametrize("outage", [2.0, 20.0])
def test_a_storm_of_flapping_robots_is_one_page(
    closed: Make, established: Make, outage: float
) -> None:
    """Of a thousand robots that come and go for a day, nobody is paged again and again."""
    incidents, pages = Incidents(), list[Page]()
    robots = [f"robot_{number}" for number in range(1000)]
    dice = random.Random(1)  # noqa: S311 - no secret
    happens = [(0.0, established(robot)) for robot in robots]
    for minute in range(24 * 60):
        for robot in dice.sample(robots, 60):
            at = 60.0 * minute + dice.uniform(0, 59 - outage)
            happens.append((at, closed(robot, "connection_lost")))
            happens.append((at + outage, established(robot)))
    looked = 0.0
    for at, event in sorted(happens, key=lambda item: item[0]):
        if at - looked >= 1:
            looked = at
            pages += incidents.due(at)
        pages += incidents.handle(event, at)
    triggered = Counter(page.key for page in pages if page.action == "trigger")
    assert {"charter/fleet", "charter/fleet/flapping"} & set(triggered)
    assert set(triggered.values()) == {1}
    assert len(triggered) <= 11
    for hour in range(1, 4):
        incidents.due(24 * 3600 + hour * 3600)
    assert incidents._open == set()


def test_a_robot_that_comes_and_goes_pages_once(closed: Make, established: Make) -> None:
    """After the third loss it flaps: one incident, which resolves once it has been steady."""
    incidents, pages = Incidents(), list[Page]()
    for number in range(50):
        at = number * 120.0
        pages += incidents.handle(closed(reason="connection_lost"), at)
        pages += incidents.due(at + 30)
        pages += incidents.handle(established(), at + 60)
    opened = [page.key for page in pages if page.action == "trigger"]
    assert opened == [ROBOT, ROBOT, f"{ROBOT}/flapping"]
    assert summary(incidents.due(50 * 120 + 600)) == []
    assert summary(incidents.due(50 * 120 + 1800)) == [("resolve", f"{ROBOT}/flapping", "warning")]


def test_many_robots_that_flap_are_one_incident(closed: Make, established: Make) -> None:
    """It is open for as long as one of them flaps."""
    incidents, pages = Incidents(), list[Page]()
    for number in range(10):
        for _ in range(3):
            incidents.handle(established(f"robot_{number}"), 0)
            pages += incidents.handle(closed(f"robot_{number}"), 1)
    opened = [page.key.removeprefix("charter/") for page in pages]
    assert opened == [*(f"robot/robot_{number}/flapping" for number in range(4)), "fleet/flapping"]
    assert incidents.due(60) == []
    assert {page.key for page in incidents.due(3600)} == {page.key for page in pages}


def test_robots_lost_one_by_one_are_no_fleet(closed: Make) -> None:
    """Ten robots within ten minutes are ten incidents."""
    incidents = Incidents()
    pages: list[Page] = []
    for number in range(10):
        incidents.handle(closed(f"robot_{number}", "connection_lost"), number * 60.0)
        pages += incidents.due(number * 60.0 + 10)
    assert len({page.key for page in pages}) == 10


def test_readings_beyond_the_thresholds_page_once(published: Make) -> None:
    """Battery under 20 %, CPU over 90 %; well again, not just better, resolves."""
    incidents = Incidents()
    assert incidents.handle(published(battery=20.0, cpu=90.0), 0) == []
    pages = incidents.handle(published(battery=19.9, cpu=90.1), 0)
    assert {page.key for page in pages} == {f"{ROBOT}/battery", f"{ROBOT}/cpu"}
    assert incidents.handle(published(battery=18.0, cpu=95.0), 0) == []
    assert incidents.handle(published(battery=20.1, cpu=89.9), 0) == []
    resolved = incidents.handle(published(battery=25.0, cpu=80.0), 0)
    assert [page.action for page in resolved] == ["resolve", "resolve"]


def test_every_page_leads_to_a_runbook_that_exists(
    failed: Make, completed: Make, closed: Make, published: Make
) -> None:
    """The runbooks are those of the alert rules."""
    incidents = Incidents(Thresholds(fleet_robots=3))
    pages = incidents.handle(failed(), 0)
    pages += incidents.handle(completed(9000), 0)
    pages += incidents.handle(published(battery=1.0, cpu=99.0), 0)
    incidents.handle(closed("a", "connection_lost"), 0)
    pages += incidents.due(10)
    pages += [p for r in ("b", "c") for p in incidents.handle(closed(r, "connection_lost"), 10)]
    names = {
        links(page, "https://grafana.test")[1]["href"].rpartition("/")[2]
        for page in pages
        if page.action == "trigger"
    }
    assert len(names) == 6
    assert names <= {path.name for path in RUNBOOKS.iterdir()}


@pytest.fixture
def pager_duty(monkeypatch: pytest.MonkeyPatch) -> Iterator[PagerDuty]:
    """Run a stand-in for PagerDuty, which the client may reach without TLS."""
    monkeypatch.setattr(ApiClient, "url", None)
    with PagerDuty() as standin:
        yield standin


async def test_from_the_stream_to_pagerduty(
    pager_duty: PagerDuty, failed: Make, completed: Make, tmp_path: Path
) -> None:
    """Trigger, escalation and resolution arrive with one key, severities and links."""
    alerts = make(
        "alerts",
        state_dir=tmp_path,
        pagerduty_routing_key="key",
        pagerduty_url=f"http://{pager_duty.address}",
        grafana_url="https://grafana.test",
    )
    stream = MemoryStream()
    alerts.attach(stream)
    await stream.start()
    await alerts.start()
    for event in (failed(), failed(), failed(), completed()):
        stream.publish_nowait(event)
    await eventually(lambda: pager_duty.of("resolve"), "resolved")
    await stream.stop()
    await alerts.stop()
    events = [(e["event_action"], e["dedup_key"]) for e in pager_duty.events]
    assert events == [("trigger", JOB)] * 3 + [("resolve", JOB)]
    severities = [e["payload"]["severity"] for e in pager_duty.of("trigger")]
    assert severities == ["warning", "warning", "critical"]
    first = pager_duty.events[0]
    assert first["routing_key"] == "key"
    assert first["payload"]["custom_details"]["correlation_id"] == TRACE
    assert [link["text"] for link in first["links"]] == ["Dashboard", "Runbook", "Trace"]
    assert TRACE in first["links"][2]["href"]


async def test_a_page_that_was_refused_is_tried_again(pager_duty: PagerDuty) -> None:
    """While PagerDuty is away pages wait, and arrive in order."""
    pager_duty.refuse = True
    pager = Pager(pagerduty("key", url=f"http://{pager_duty.address}"), pause=0.01)
    pager.start()
    pager.page(Page(action="trigger", key="one", summary="one"))
    pager.page(Page(action="resolve", key="one"))
    await eventually(lambda: pager_duty.refused > 1, "two attempts")
    pager_duty.refuse = False
    await eventually(lambda: pager.sent == 2, "both pages")
    await pager.stop()
    assert [event["event_action"] for event in pager_duty.events] == ["trigger", "resolve"]


async def test_the_pause_grows_while_pagerduty_takes_no_page() -> None:
    """From a second to half a minute; once it takes one, the next pause is short again."""
    pauses, failing = list[float](), True
    before = {*threading.enumerate()}

    def send(page: Page) -> None:
        if failing:
            raise ConnectionError(page.key)

    pager = Pager(send)
    drawn = pager._backoff.next

    def next_pause() -> float:
        pauses.append(drawn())
        return 0.0

    pager._backoff.next = next_pause  # type: ignore[method-assign]
    pager.start()
    pager.page(Page(action="trigger", key="one"))
    await eventually(lambda: len(pauses) >= 8, "eight attempts")
    failing = False
    await eventually(lambda: pager.sent == 1, "it is taken")
    count = len(pauses)
    pager.page(Page(action="trigger", key="next"))
    await eventually(lambda: pager.sent == 2, "it is taken")
    pager.page(Page(action="trigger", key="last"))
    await eventually(lambda: pager.sent == 3, "it is taken, without a pause before it")
    assert len(pauses) == count
    failing = True
    pager.page(Page(action="trigger", key="two"))
    await eventually(lambda: len(pauses) > count, "another attempt")
    await pager.stop()
    await eventually(
        lambda: (
            "charter pager" not in [thread.name for thread in {*threading.enumerate()} - before]
        ),
        "its thread has ended",
    )
    longest = (1, 2, 4, 8, 16, 30, 30, 30)
    assert all(most / 2 <= pause <= most for pause, most in zip(pauses, longest, strict=False))
    assert 0.5 <= pauses[count] <= 1


async def test_too_many_incidents_drop_the_oldest_and_count() -> None:
    """Paging never waits, whatever PagerDuty does; the stop has a deadline."""
    release, sent = threading.Event(), list[str]()

    def stuck(page: Page) -> None:
        release.wait(10)
        sent.append(page.key)

    pager = Pager(stuck, PageQueue(capacity=3))
    pager.start()
    for number in range(6):
        pager.page(Page(action="trigger", key=str(number)))
    assert pager.dropped == 3
    release.set()
    await pager.stop()
    assert sent == ["3", "4", "5"]


async def test_pages_that_nobody_takes_stay_for_the_next_start() -> None:
    """The stop does not wait for PagerDuty, and nothing is given up."""

    def broken(page: Page) -> None:
        raise ConnectionError(page.key)

    pager = Pager(broken, pause=30)
    pager.start()
    pager.page(Page(action="trigger", key="one"))
    pager.page(Page(action="trigger", key="two"))
    await pager.stop(0.05)
    assert (len(pager.queue), pager.dropped) == (2, 0)


async def test_a_page_that_is_refused_for_good_delays_nobody(pager_duty: PagerDuty) -> None:
    """It is given up at once and counted; the critical one behind it arrives."""
    pager_duty.reject = "bad"
    pager = Pager(pagerduty("key", url=f"http://{pager_duty.address}"), pause=30)
    pager.start()
    pager.page(Page(action="trigger", key="bad", summary="bad"))
    pager.page(Page(action="trigger", key="good", summary="good", severity="critical"))
    await eventually(lambda: pager.sent == 1, "the other page", within=5)
    await pager.stop()
    assert pager.dropped == 1
    assert [event["dedup_key"] for event in pager_duty.events] == ["good"]


async def test_a_page_that_fails_alone_lets_the_others_go_first() -> None:
    """PagerDuty stumbles over one page, not over all."""
    sent: list[str] = []

    def send(page: Page) -> None:
        if page.key == "odd" and len(sent) < 2:
            raise ConnectionError(page.key)
        sent.append(page.key)

    pager = Pager(send, pause=0.01)
    pager.start()
    for key in ("odd", "one", "two"):
        pager.page(Page(action="trigger", key=key))
    await eventually(lambda: sent == ["one", "two", "odd"], "all three")
    await pager.stop()


def test_a_pager_that_hangs_is_left_after_ten_seconds(monkeypatch: pytest.MonkeyPatch) -> None:
    """Its client waits no longer, and makes one attempt for each of the pager's."""
    made: list[EventsApiV2Client] = []

    def resolve(client: EventsApiV2Client, key: str) -> str:
        made.append(client)
        return key

    monkeypatch.setattr(EventsApiV2Client, "resolve", resolve)
    pagerduty("key")(Page(action="resolve", key="one"))
    [client] = made
    assert (client.timeout, client.max_network_attempts, dict(client.retry)) == (10, 0, {})


@given(st.lists(st.text(max_size=400), min_size=1, max_size=3))
def test_a_key_is_one_and_the_same_for_trigger_and_resolve(parts: list[str]) -> None:
    """Of any id, 255 bytes at most; different incidents have different keys."""
    key = key_of(*parts)
    assert key == key_of(*parts)
    assert len(key.encode(errors="replace")) <= 255
    assert key != key_of(*parts, "slow")
    assert key_of("job", "a/slow") != key_of("job", "a", "slow")
    long = [key_of("job", "x" * 300 + end) for end in "ab"]
    assert [len(each) for each in long] == [255, 255]
    assert long[0] != long[1]


def test_any_job_id_pages_with_a_link_to_its_runbook(failed: Make, completed: Make) -> None:
    """A slash in it, or 300 letters, make no difference."""
    for job_id in ("etl/nightly", "x" * 300):
        incidents = Incidents()
        [page] = incidents.handle(failed(job_id=job_id), 0)
        assert links(page, "https://grafana.test")[1]["href"].endswith("/JobFailed.md")
        [resolved] = incidents.handle(completed(job_id=job_id), 1)
        assert resolved.key == page.key


@settings(max_examples=200, deadline=None)
@given(
    st.lists(
        st.tuples(
            st.sampled_from(["trigger", "resolve", "send", "send", "restart", "away", "back"]),
            st.sampled_from("abc"),
        ),
        max_size=60,
    )
)
def test_pagerduty_knows_the_newest_state_in_the_end_whatever_fails(
    steps: list[tuple[str, str]],
) -> None:
    """Opened are those that were resolved and those that are open, of each incident."""
    queue, open_, theirs, away = PageQueue(), set[str](), set[str](), False
    for action, key in steps:
        if action == "trigger":
            open_.add(key)
            queue.add(Page(action="trigger", key=key, summary=f"{len(open_)}"))
        elif action == "resolve" and key in open_:
            open_.discard(key)
            queue.add(resolve(key))
        elif action == "restart":
            state = decode(encode(queue.state(open_, [])))
            queue = PageQueue()
            queue.restore(state)
        elif action == "send":
            _send(queue, theirs, away=away, lost_answer=key == "c")
        else:
            away = action == "away"
    while len(queue):
        _send(queue, theirs, away=False, lost_answer=False)
    assert theirs == open_


def _send(queue: PageQueue, theirs: set[str], *, away: bool, lost_answer: bool) -> None:
    page = queue.next()
    if page is None:
        return
    if away and not lost_answer:
        queue.failed(page)
        return
    if page.action == "trigger":
        theirs.add(page.key)
    else:
        theirs.discard(page.key)
    if away:
        queue.failed(page)
    else:
        queue.taken(page)


async def test_an_incident_of_before_the_restart_is_resolved(
    tmp_path: Path, failed: Make, completed: Make
) -> None:
    """A file remembers what is open and what PagerDuty has not taken, kill -9 included."""
    state, sent, away = tmp_path / "incidents.json", list[Page](), [True]

    def send(page: Page) -> None:
        if away[0]:
            raise ConnectionError
        sent.append(page)

    first = Alerts(Pager(send, pause=60), state=state)
    await first.start()
    await first.handle(failed())
    await eventually(lambda: first.pager.trouble, "it was tried")
    away[0] = False
    second = Alerts(Pager(send, pause=0.01), state=state)
    assert second.open_keys == {JOB}
    await second.start()
    await eventually(lambda: summary(sent) == [("trigger", JOB, "warning")], "the page")
    await second.handle(completed())
    await second.stop()
    assert summary(sent)[1:] == [("resolve", JOB, "warning")]
    assert Alerts(Pager(send), state=state).open_keys == frozenset()
    await first.stop()


async def test_a_state_of_an_earlier_version_is_read(tmp_path: Path, completed: Make) -> None:
    """It is a list of the open keys."""
    state, sent = tmp_path / "incidents.json", list[Page]()
    state.write_text(json.dumps([JOB]))
    alerts = Alerts(Pager(sent.append), state=state)
    await alerts.start()
    await alerts.handle(completed())
    await alerts.stop()
    assert summary(sent) == [("resolve", JOB, "warning")]


@pytest.mark.parametrize("nonsense", [b"", b"null", b"{", b"\xff\xfe", b'{"open": 3}', b"[[]]"])
def test_a_state_that_holds_nonsense_is_put_aside(
    tmp_path: Path, nonsense: bytes, charter_capture: Capture
) -> None:
    """The consumer begins without it and says so; the file stays for whoever looks into it."""
    state = tmp_path / "incidents.json"
    state.write_bytes(nonsense)
    assert Alerts(Pager(list[Page]().append), state=state).open_keys == frozenset()
    [kept] = tmp_path.iterdir()
    assert kept.name.startswith("incidents.json.damaged-")
    assert kept.read_bytes() == nonsense
    [line] = charter_capture.lines
    assert (line["level"], line["path"]) == ("error", str(kept))


async def test_a_crash_while_the_state_is_written_leaves_the_one_before(
    tmp_path: Path,
    failed: Make,
    completed: Make,
    monkeypatch: pytest.MonkeyPatch,
    charter_capture: Capture,
) -> None:
    """A state is there whole or not at all; that it is the old one is said until it is mended."""
    state, now = tmp_path / "incidents.json", [0.0]
    alerts = Alerts(Pager(list[Page]().append), state=state, clock=lambda: now[0])
    await alerts.handle(failed())
    before = state.read_bytes()

    def crash(path: Path, data: bytes) -> int:
        with path.open("wb") as file:
            file.write(data[:5])
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patched:
        patched.setattr(Path, "write_bytes", crash)
        await alerts.handle(completed())
        await alerts.look()
    assert state.read_bytes() == before
    told = [line["event"] for line in charter_capture.lines]
    assert told == ["open incidents could not be written down"]
    assert "cannot be written" in (alerts.trouble or "")
    now[0] += LONGEST_PAUSE
    await alerts.look()
    assert alerts.trouble is None
    assert state.read_bytes() != before


async def test_held_pages_are_sent_when_they_are_due(closed: Make) -> None:
    """The consumer looks at them every second."""
    now, sent = [0.0], list[Page]()
    pager = Pager(sent.append)
    alerts = Alerts(pager, clock=lambda: now[0])
    await alerts.start()
    await alerts.handle(closed(reason="heartbeat_timeout"))
    now[0] = 6.0
    await eventually(lambda: sent, "the page")
    await alerts.stop()
    assert summary(sent) == [("trigger", ROBOT, "warning")]
