"""Simulated robots: nobody is paged about them, for as long as they are simulated."""

from charter_otel.charter import Event, EventType, create
from charter_otel.consumers.alerts import Incidents
from consumers.conftest import Make

ROBOT = "charter/robot/robot_001"


def _connects(mark: str) -> Event:
    return create(
        EventType.TELEMETRY_CONNECTION_ESTABLISHED,
        {
            "robot_id": "robot_001",
            "connection_id": f"ws_robot_001_1703001234_{mark}",
            "connected_at": 1000.0,
        },
    )


def test_readings_of_a_simulated_robot_page_nobody(published: Make) -> None:
    """A reading does not say what its robot is: the connection before it did."""
    incidents = Incidents()
    incidents.handle(_connects("sim7d2f3b18"), 0)
    assert incidents.handle(published(battery=1.0, cpu=99.0), 1) == []
    assert incidents.open_keys == frozenset()


def test_a_real_robot_of_the_same_name_pages_again(published: Make, closed: Make) -> None:
    """Its newest connection counts, for its readings and for its loss."""
    incidents = Incidents()
    incidents.handle(_connects("sim7d2f3b18"), 0)
    incidents.handle(_connects("7d2f3b18"), 1)
    [low] = incidents.handle(published(battery=1.0), 2)
    assert low.key == f"{ROBOT}/battery"
    incidents.handle(closed(reason="connection_lost"), 3)
    assert [page.key for page in incidents.due(8)] == [ROBOT]


def test_a_robot_that_was_never_seen_to_connect_is_a_real_one(published: Make) -> None:
    """It may have connected before this process began to look."""
    [low] = Incidents().handle(published(battery=1.0), 0)
    assert low.key == f"{ROBOT}/battery"
