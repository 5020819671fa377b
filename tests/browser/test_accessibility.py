"""The board by the rules of WCAG 2.2, as the linter axe checks them in a real Chromium."""

import json

import pytest
from websockets.asyncio.client import connect

from browser.test_board import board, fail, websocket
from support.browser import Tab
from support.node import installed
from support.robots import READING

PACKAGE = "axe-core@4.14.1"
RULES = ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22aa", "best-practice"]
FOUND = f"""axe.run({{runOnly: {RULES}}}).then(({{violations}}) => violations.map(
  ({{id, nodes}}) => [id, ...nodes.map((node) => node.html + node.failureSummary)].join("\\n")))"""


@pytest.fixture(scope="module")
def axe() -> str:
    """Return the linter's source."""
    return (installed("axe", PACKAGE) / "node_modules/axe-core/axe.min.js").read_text()


@pytest.mark.parametrize("dark", [False, True], ids=["light", "dark"])
@pytest.mark.parametrize("width", [360, 1280])
async def test_names_roles_contrast_and_targets(
    page: Tab, axe: str, width: int, *, dark: bool
) -> None:
    """Board, robot and job: with trouble, a failure, and a robot that has left."""
    async with board(page) as url, connect(f"{websocket(url)}picker-7") as robot:
        await robot.send(READING.replace("78.0", "11"))
        async with connect(f"{websocket(url)}picker-8") as other:
            await other.send(READING)
        fail("nightly", "OSError", "no route to host")
        await page.look(width=width, height=900, dark=dark)
        await page.goto(url)
        await page.sees("low battery")
        await page.sees("client_disconnect")
        await page.evaluate(axe)
        for place, shows in (("#/", ""), ("#/robots/picker-7", "CPU"), ("#/jobs/nightly", "runs")):
            await page.evaluate(f"location.hash = {json.dumps(place)}")
            await page.until(
                f"document.getElementById('details').innerText.includes({json.dumps(shows)})"
            )
            assert await page.evaluate(FOUND) == [], place


@pytest.mark.parametrize(
    ("width", "dark"), [(360, True), (1280, False)], ids=["360-dark", "1280-light"]
)
async def test_the_api_page_keeps_the_same_rules(
    page: Tab, axe: str, width: int, *, dark: bool
) -> None:
    """Both documents."""
    async with board(page) as url:
        await page.look(width=width, height=900, dark=dark)
        await page.goto(f"{url}api")
        await page.evaluate(axe)
        for place, shows in (("#/rest", "/api/telemetry/info"), ("#/events", "connection_closed")):
            await page.evaluate(f"location.hash = {json.dumps(place)}")
            await page.sees(shows)
            assert await page.evaluate(FOUND) == [], place


async def test_a_window_that_grows_uncovers_the_board(page: Tab) -> None:
    """On a phone the details cover the board, which then takes no focus; turned, both are there."""
    async with board(page) as url:
        await page.look(width=360, height=900)
        await page.goto(f"{url}#/jobs/aggregate_mission_metrics")
        await page.until("document.getElementById('main').inert")
        await page.look(width=900, height=360)
        await page.until("!document.getElementById('main').inert")
