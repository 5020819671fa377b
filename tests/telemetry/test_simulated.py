"""Simulated robots: served and counted as all others, and nobody is paged about them."""

import pytest
from websockets.exceptions import InvalidStatus

from charter_otel.charter import is_simulated
from charter_otel.consumers.alerts.incidents import Incidents
from charter_otel.otel import semconv
from charter_otel.simulator import parse
from charter_otel.telemetry.conditions import Conditions
from support.robots import Robots

LOW = '{"cpu_usage":99,"memory_usage":62.8,"network_latency_ms":12.5,"battery_percentage":3}'
SIMULATED = (semconv.CHARTER_ROBOT_SIMULATED, True)


async def test_the_connection_id_says_so_and_the_metrics_too(robots: Robots) -> None:
    """The attribute is there for a simulated robot, and for a real one it is not."""
    for robot_id, query in (("robot_001", "?simulated=1"), ("robot_002", "")):
        client = await robots.connect(robot_id, query=f"{query}{'&' if query else '?'}ack=1")
        await client.send(LOW)
        await client.recv()
    of = {event.payload["robot_id"]: event.payload["connection_id"] for event in robots.established}
    assert is_simulated(of["robot_001"])
    assert not is_simulated(of["robot_002"])
    charges = robots.metric(semconv.CHARTER_ROBOT_BATTERY_CHARGE.name)
    marked = {dict(key)[semconv.CHARTER_ROBOT_ID]: SIMULATED in key for key in charges}
    assert marked == {"robot_001": True, "robot_002": False}
    await robots.clients.aclose()
    await robots.closings(2)
    durations = robots.metric(semconv.CHARTER_CONNECTION_DURATION.name)
    assert sorted(SIMULATED in key for key in durations) == [False, True]


async def test_they_are_in_no_condition_that_pages(robots: Robots) -> None:
    """Neither with a low battery nor with a busy CPU, nor when they are lost."""
    client = await robots.connect("robot_001", query="?simulated=1&ack=1")
    await client.send(LOW)
    await client.recv()
    client.transport.abort()
    await robots.closings()
    found = Conditions(robots.gateway.fleet).look()
    assert {name: list(there) for name, there in found.items() if there} == {
        "offline": ["robot_001"]
    }


async def test_the_alerts_consumer_pages_nobody(robots: Robots) -> None:
    """Not about the loss, and not about readings that somebody looks at afterwards."""
    client = await robots.connect("robot_001", query="?simulated=1")
    client.transport.abort()
    await robots.closings()
    incidents = Incidents()
    for event in (*robots.established, *robots.closed):
        assert incidents.handle(event, 0.0) == []
    assert incidents.due(60.0) == []


@pytest.mark.parametrize("name", ["ack", "simulated"])
async def test_a_value_that_is_neither_yes_nor_no_is_refused(robots: Robots, name: str) -> None:
    """The text names the parameter and what is right."""
    with pytest.raises(InvalidStatus) as refused:
        await robots.connect("robot_001", query=f"?{name}=maybe")
    assert refused.value.response.status_code == 400
    assert f"{name}=maybe" in refused.value.response.body.decode()


@pytest.mark.parametrize(
    ("connection_id", "simulated"),
    [
        ("ws_robot_001_1796019255_sim7d2f3b18", True),
        ("ws_robot_001_1796019255_7d2f3b18", False),
        ("ws_a_sim1_1796019255_7d2f3b18", False),
        ("", False),
    ],
)
def test_the_mark_does_not_belong_to_the_robot_id(connection_id: str, simulated: bool) -> None:
    """A robot may be called as it likes."""
    assert is_simulated(connection_id) == simulated


def test_a_fleet_says_so_in_its_address() -> None:
    """Beside what it asks for already."""
    address = parse("ws://127.0.0.1:8000")
    assert address.of("robot_001", simulated=True).endswith("/robot_001?simulated=1")
    assert address.of("robot_001", acknowledge=True, simulated=True).endswith("?ack=1&simulated=1")
