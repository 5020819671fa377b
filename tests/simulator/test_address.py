"""From the address that a person gives to those that robots and REST clients use."""

import pytest

from charter_otel.simulator import parse


@pytest.mark.parametrize(
    "url",
    [
        "ws://host:8000",
        "ws://host:8000/",
        "http://host:8000",
        "ws://host:8000/api/telemetry/ws",
        "ws://host:8000/api/telemetry/ws/",
        "ws://host:8000/api/telemetry/ws/{robot_id}",
    ],
)
def test_the_route_may_be_given_or_not(url: str) -> None:
    """Robots connect to the same address, whichever part of the route is given."""
    address = parse(url)
    assert address.of("robot_001") == "ws://host:8000/api/telemetry/ws/robot_001"
    assert address.http == "http://host:8000"


def test_a_prefix_and_a_query_are_kept() -> None:
    """A proxy's part of the address stays in it."""
    address = parse("wss://host/fleet/api/telemetry/ws/{robot_id}?tenant=a")
    assert address.of("r1") == "wss://host/fleet/api/telemetry/ws/r1?tenant=a"
    assert address.http == "https://host/fleet"


def test_acknowledgements_are_asked_for_in_the_query() -> None:
    """`?ack=1` is added to whatever query there is."""
    assert parse("ws://host").of("r1", acknowledge=True).endswith("/r1?ack=1")
    assert parse("ws://host?a=b").of("r1", acknowledge=True).endswith("/r1?a=b&ack=1")


@pytest.mark.parametrize("url", ["", "host:8000", "ftp://host", "ws://", "/api/telemetry/ws"])
def test_anything_else_is_refused(url: str) -> None:
    """An address that is none says what one looks like."""
    with pytest.raises(ValueError, match=r"ws://127\.0\.0\.1:8000"):
        parse(url)


def test_the_address_of_one_robot_is_refused() -> None:
    """Every robot of a fleet needs an address of its own."""
    with pytest.raises(ValueError, match="names one robot"):
        parse("ws://host/api/telemetry/ws/robot_001")
