"""Web pages of other origins, in a browser on the machine of a service without a secret."""

from collections.abc import Iterator

import pytest
from websockets.sync.client import connect

from support.polling import wait_until
from support.robots import READING
from support.service import ServiceProcess, service
from support.strangers import ask, upgrade

METRICS, MISSIONS = "/api/telemetry/robots/robot_1/metrics", "/api/metrics/missions"
ENTRY = b'{"mission_id": "m-1", "status": "completed"}'
PUBLISHED = "telemetry.metrics_published"

FOREIGN = [
    {"Origin": "https://evil.example"},
    {"Origin": "http://127.0.0.1:9"},
    {"Origin": "null"},
    # A picture or a frame: its request has no origin.
    {"Sec-Fetch-Site": "cross-site", "Sec-Fetch-Mode": "no-cors"},
    {"Sec-Fetch-Site": "same-site", "Sec-Fetch-Mode": "navigate"},
    # A name that was made to lead here.
    {"Host": "evil.example", "Origin": "http://evil.example", "Sec-Fetch-Site": "same-origin"},
]


@pytest.fixture(scope="module")
def opened() -> Iterator[ServiceProcess]:
    """Yield a service without a secret that knows a reading of one robot."""
    with (
        service(CHARTER_AGGREGATION_INTERVAL="1") as running,
        connect(f"{running.websocket}/api/telemetry/ws/robot_1?ack=1") as robot,
    ):
        robot.send(READING)
        robot.recv()
        yield running


@pytest.mark.parametrize("headers", FOREIGN, ids=lambda headers: "-".join(headers.values()))
def test_a_page_of_another_origin_causes_no_event(
    opened: ServiceProcess, headers: dict[str, str]
) -> None:
    """It neither reads what is published when read, nor adds missions, nor is a robot."""
    counted = opened.get(MISSIONS)["entries_processed"]
    before = [event for event in opened.events() if event["type"].startswith("telemetry.")]
    assert ask(opened.http, "GET", METRICS, headers).status == 403
    assert ask(opened.http, "HEAD", METRICS, headers).status == 403
    form = {"Content-Type": "text/plain", **headers}
    assert ask(opened.http, "POST", MISSIONS, form, ENTRY).status == 403
    if any(name in headers for name in ("Origin", "Host")):  # with each WebSocket there is one
        assert upgrade(opened.http, "/api/telemetry/ws/robot_2", headers).status == 403
    opened.post(MISSIONS, {"mission_id": "m-2", "status": "completed"})
    wait_until(lambda: opened.get(MISSIONS)["entries_processed"] > counted, "entry is counted")
    assert opened.get(MISSIONS)["entries_processed"] == counted + 1
    after = [event for event in opened.events() if event["type"].startswith("telemetry.")]
    assert after == before


@pytest.mark.parametrize(
    "headers",
    [
        {},
        {"Sec-Fetch-Site": "none", "Sec-Fetch-Mode": "navigate"},
        {"Sec-Fetch-Site": "same-origin", "Sec-Fetch-Mode": "cors"},
    ],
)
def test_programs_and_the_service_s_own_pages_read(
    opened: ServiceProcess, headers: dict[str, str]
) -> None:
    """As does a person who types the address."""
    published = len(opened.events(PUBLISHED))
    assert ask(opened.http, "GET", METRICS, headers).status == 200
    wait_until(lambda: len(opened.events(PUBLISHED)) == published + 1, "the event is there")
