"""The board in a real browser: what it shows, how soon, and what it never does."""

import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any
from urllib.parse import urlsplit

import pytest
from websockets.asyncio.client import connect

from charter_otel.charter import CloseReason
from charter_otel.charter.payloads import AggregationFailed, ConnectionEstablished
from charter_otel.emit import emit
from charter_otel.service.app import create_app
from charter_otel.service.settings import Settings
from charter_otel.streams import EventStream
from charter_otel.telemetry import router as telemetry
from charter_otel.telemetry.connections import Connection
from charter_otel.tokens import sign
from support.browser import Tab
from support.ports import free_port
from support.robots import READING
from support.servers import serving
from support.service import service, service_at

SECRET = "a secret of more than thirty-two bytes"  # noqa: S105 - of this test
HOSTILE = "<img src=x onerror=\"document.title='taken'\"><script>document.title='taken'</script>"
USABLE = {"button", "link", "searchbox", "combobox", "radio", "checkbox"}
WITHIN = 2.0
"""Seconds in which what happened is on the page."""


@asynccontextmanager
async def board(page: Tab, **settings: Any) -> AsyncIterator[str]:
    """Serve the whole service in this process, and return the board's address."""
    app = create_app(Settings(aggregation_interval=60, **settings))
    async with serving(app) as address:
        yield f"http://{address}/"
        # The server waits for the open stream of a page that stays.
        await page.goto("about:blank")


def fail(job_id: str, error_type: str, error_message: str) -> None:
    """Emit the failure of a job onto the service's stream."""
    stream = telemetry._event_stream
    assert isinstance(stream, EventStream)
    failure = AggregationFailed(
        job_id=job_id, error_type=error_type, error_message=error_message, failed_at=1.5
    )
    emit(failure, stream=stream)


def websocket(url: str) -> str:
    """Return the address of the robots' WebSocket, less the robot's id."""
    return f"{url.replace('http', 'ws')}api/telemetry/ws/"


def hosts(page: Tab) -> set[str]:
    """Return the hosts that the page asked."""
    addresses = map(urlsplit, page.requests)
    return {address.netloc for address in addresses if address.scheme in {"http", "https"}}


async def test_events_are_shown_within_two_seconds(page: Tab) -> None:
    """A robot that comes, its readings, its leaving with the reason: each without a reload."""
    async with board(page) as url:
        await page.goto(url)
        await page.sees("live")
        await page.sees("aggregate_mission_metrics")
        robot = await connect(f"{websocket(url)}picker-7")
        await page.until(
            "document.querySelector('#robots tbody')?.innerText.includes('picker-7')", WITHIN
        )
        await page.until("document.querySelector('#events').innerText.includes('picker-7')", WITHIN)
        await robot.send(READING)
        await page.until("document.querySelector('#robots tbody').innerText.includes('78 %')", 3)
        await robot.close()
        await page.until(
            "document.querySelector('#robots tbody').innerText.includes('client_disconnect')",
            WITHIN,
        )
        assert hosts(page) == {urlsplit(url).netloc}
        assert page.complaints == []


async def test_a_job_that_fails_stands_out(page: Tab) -> None:
    """The error is told in words, and the tile of the jobs says how many fail."""
    async with board(page) as url:
        await page.goto(url)
        await page.sees("live")
        fail("nightly", "OSError", "no route to host")
        await page.sees("nightly: OSError: no route to host", WITHIN)


async def test_a_restart_of_the_service_is_survived_and_shown(page: Tab) -> None:
    """The page says that the service is away and since when, comes back, and says that."""
    port = free_port()
    with service_at(port) as running:
        await page.goto(running.http)
        await page.sees("live")
        running.process.kill()
        await page.sees("No connection to the service since", 10)
    with service_at(port) as running:
        await page.sees("Connected again at", 20)
        await page.sees("live")
        async with connect(f"{running.websocket}/api/telemetry/ws/returned"):
            await page.sees("returned", WITHIN)


async def test_runs_of_jobs_are_there_however_many_robots_came_since(page: Tab) -> None:
    """The board asks for the jobs' events by themselves: a busy fleet hides no failure."""
    async with board(page) as url:
        fail("nightly", "OSError", "no route to host")
        stream = telemetry._event_stream
        assert isinstance(stream, EventStream)
        for number in range(250):
            opened = ConnectionEstablished(
                robot_id=f"unit-{number}", connection_id=f"ws_unit-{number}_1", connected_at=1.5
            )
            emit(opened, stream=stream)
        await page.goto(f"{url}#/jobs/nightly")
        await page.sees("OSError: no route to host")


async def test_nothing_hostile_becomes_markup(page: Tab) -> None:
    """Texts of others are text: in the list, in the details, in what a bar's label says."""
    async with board(page) as url:
        await page.goto(url)
        await page.sees("live")
        fail(HOSTILE, HOSTILE, HOSTILE)
        await page.sees("<img src=x onerror", WITHIN)
        await page.evaluate("document.querySelector('#events .event a').click()")
        await page.until("!document.getElementById('details').hidden")
        await page.evaluate(
            f"location.hash = '#/jobs/' + encodeURIComponent({json.dumps(HOSTILE)})"
        )
        await page.until("document.getElementById('details').innerText.includes('How long')")
        assert (
            await page.evaluate(
                "document.querySelectorAll('main img, aside img, main script').length"
            )
            == 0
        )
        assert "taken" not in await page.evaluate("document.title.split('·').at(-1)")
        assert page.complaints == []


async def test_a_token_is_asked_for_and_kept_in_memory_only(page: Tab) -> None:
    """A wrong token is refused in words, a right one opens the board, a reload forgets it."""
    with service(CHARTER_AUTH_SECRET=SECRET) as running:
        await page.goto(running.http)
        await page.sees("asks for a token")
        for token, text in (
            ("nonsense", "token"),
            (sign(SECRET, "sre", scopes=("read",), lifetime=60), "live"),
        ):
            await _give(page, token)
            await page.sees(text)
        await page.until("!document.getElementById('token').open")
        kept = (
            "JSON.stringify({...localStorage, ...sessionStorage}) + document.cookie + location.href"
        )
        assert token not in await page.evaluate(kept)
        await page.goto(f"{running.http}/")
        await page.sees("asks for a token")


async def test_a_late_refusal_of_one_token_is_not_held_against_the_next(page: Tab) -> None:
    """The events of a board that was given a better token meanwhile come all the same."""
    with service(CHARTER_AUTH_SECRET=SECRET) as running:
        await page.goto(running.http)
        await page.sees("asks for a token")
        await page.evaluate(LATE)
        await _give(page, "nonsense")
        await _give(page, sign(SECRET, "sre", scopes=("read",), lifetime=60))
        await page.sees("no robot has connected yet")
        await page.evaluate("held.forEach((release) => release())")
        await page.sees("live")
        assert not await page.evaluate("document.getElementById('token').open")


LATE = """
  const held = [], answered = window.fetch;
  window.fetch = async (address, options) => {
    const response = await answered(address, options);
    const nonsense = options.headers.Authorization === "Bearer nonsense";
    if (nonsense && String(address).endsWith("stream")) await new Promise((go) => held.push(go));
    return response;
  };
"""
"""Holds back the answers that the stream of events gives to the first token."""


async def _give(page: Tab, token: str) -> None:
    await page.until("document.getElementById('token').open")
    await page.evaluate("document.querySelector('#token input').focus()")
    await page.write(token)
    await page.press("Enter")
    await page.evaluate("document.querySelector('#token button').click()")


async def test_twenty_thousand_robots_are_a_page_and_a_search(page: Tab) -> None:
    """The table holds a page of them, and finds one by a part of its id."""
    async with board(page) as url:
        fleet = telemetry._gateway.get().fleet
        for number in range(20_000):
            connection = Connection(f"unit-{number:05}")
            fleet.connected(connection)
            if number % 4 == 0:
                fleet.disconnected(
                    connection, CloseReason.CONNECTION_LOST, 1_700_000_000.0 + number
                )
        await page.goto(url)
        await page.sees("20,000 robots")
        await page.sees("5,000 \u00d7 connection_lost")
        assert await page.evaluate("document.querySelectorAll('#robots tbody tr').length") == 50
        await page.press("/")
        await page.write("t-00777")
        await page.sees("1 of 20,000 robots")
        await page.sees("unit-00777")
        assert page.complaints == []


async def test_robots_jobs_events_and_traces_have_addresses(page: Tab) -> None:
    """Each address opens its details; Escape leads back to the board."""
    async with board(page, recent_spans=100) as url:
        async with connect(f"{websocket(url)}picker-7") as robot:
            await robot.send(READING)
            await page.goto(f"{url}#/robots/picker-7")
            await page.until("document.querySelector('.chart')?.innerText.includes('45.2 %')")
            await page.until("document.querySelector('#details .event a')")
            await page.evaluate("document.querySelector('#details .event a').click()")
            await page.until("location.hash.startsWith('#/events/evt_telemetry_')")
            await page.until(
                "document.querySelector('#details pre')?.innerText.includes('connection_id')"
            )
            await page.evaluate("document.querySelector('#details .trace-id').click()")
            await page.until("document.querySelector('.span')?.innerText.includes('{robot_id}')")
            await page.press("Escape")
            await page.until("document.getElementById('details').hidden")
        await page.goto(f"{url}#/jobs/aggregate_mission_metrics")
        await page.until("document.getElementById('details').innerText.includes('Its last runs')")
        assert page.complaints == []


@pytest.mark.parametrize("dark", [False, True], ids=["light", "dark"])
@pytest.mark.parametrize("width", [360, 768, 1280, 1920, 3840])
async def test_it_fits_from_a_phone_to_a_wall(page: Tab, width: int, *, dark: bool) -> None:
    """Nothing is wider than the window, and whatever can be used has a name for a screen reader."""
    async with board(page) as url, connect(f"{websocket(url)}{'long-id' * 9}"):
        await page.look(width=width, height=900, dark=dark)
        await page.goto(url)
        await page.sees("long-idlong-id")
        assert await page.evaluate("document.documentElement.scrollWidth <= innerWidth")
        nodes = (await page.command("Accessibility.getFullAXTree"))["nodes"]
        usable = [node for node in nodes if node["role"]["value"] in USABLE]
        assert len(usable) > 5
        assert [node for node in usable if not node["name"]["value"]] == []


async def test_the_api_has_a_page_without_another_host(page: Tab) -> None:
    """Both documents can be read on a plant's network, each operation at an address of its own."""
    async with board(page) as url:
        await page.goto(f"{url}api#/rest/follow_events")
        await page.until(
            "document.getElementById('follow_events')?.innerText.includes('Last-Event-ID')"
        )
        await page.goto(f"{url}api#/events")
        await page.sees("telemetry.connection_closed")
        await page.until("document.querySelector('[id=reading]')?.innerText.includes('cpu_usage')")
        assert hosts(page) == {urlsplit(url).netloc}
        assert page.complaints == []


async def test_robots_in_trouble_are_one_click_away(page: Tab) -> None:
    """A low battery stands in the row and in the number beside the choice."""
    low = READING.replace("78.0", "11")
    async with (
        board(page) as url,
        connect(f"{websocket(url)}picker-7") as robot,
        connect(f"{websocket(url)}picker-8") as other,
    ):
        await robot.send(low)
        await other.send(READING)
        await page.goto(url)
        await page.until("document.getElementById('trouble').innerText === '1'")
        await page.evaluate("document.querySelector('input[value=trouble]').click()")
        await page.sees("1 of 2 robots")
        await page.sees("low battery")


async def test_an_outage_of_a_dependency_is_shown(page: Tab) -> None:
    """A degraded dependency stands at the top, with the moment since when."""
    with service(CHARTER_EVENT_STREAM="redis://127.0.0.1:1/0") as running:
        await page.goto(running.http)
        await page.sees("event stream is degraded", 20)
        await page.sees("since")
        await page.sees("no events")
        await page.until("document.title.startsWith('\u26a0')")
