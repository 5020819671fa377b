"""The robots of the board: counted, searched, sorted, and listed no more often than it is worth."""

from typing import Any

from charter_otel.service.board.fleet import FleetCounts, FleetView, Listing


def presence(robot_id: str, **known: Any) -> dict[str, Any]:
    """Return a robot that is offline where it has left, and online otherwise."""
    status = "offline" if "disconnected_at" in known else "online"
    nothing = dict.fromkeys(("connected_at", "last_seen_at", "disconnected_at", "last_reason"))
    return {"robot_id": robot_id, "status": status, **nothing, **known}


ROBOTS = [
    presence("picker-2", connected_at=20.0, last_seen_at=90.0),
    presence("Picker-1", connected_at=30.0, last_seen_at=80.0),
    presence("lift-1", disconnected_at=50.0, last_reason="heartbeat_timeout"),
    presence("lift-2", disconnected_at=70.0, last_reason="heartbeat_timeout"),
    presence("lift-3", disconnected_at=60.0, last_reason="client_disconnect"),
]


def ids(robots: list[Any]) -> list[str]:
    """Return the ids."""
    return [robot["robot_id"] for robot in robots]


def test_counts() -> None:
    """Robots are counted by how they stand, those that left by their reasons, the most first."""
    counts = Listing(ROBOTS, {}).counts
    assert counts == FleetCounts(5, 2, 3, {"heartbeat_timeout": 2, "client_disconnect": 1})
    assert next(iter(counts.reasons)) == "heartbeat_timeout"


def test_the_robot_that_left_last_comes_first() -> None:
    """By default what an operator looks for stands at the top."""
    found = Listing(ROBOTS, {}).find("", "all", "attention")
    assert ids(found) == ["lift-2", "lift-3", "lift-1", "Picker-1", "picker-2"]


def test_search_ignores_case() -> None:
    """A part of the id finds the robot, however it is written."""
    assert ids(Listing(ROBOTS, {}).find("PICKER", "all", "connected")) == ["Picker-1", "picker-2"]
    assert ids(Listing(ROBOTS, {}).find("-1", "offline", "robot_id")) == ["lift-1"]
    assert ids(Listing(ROBOTS, {}).find("", "online", "last_seen")) == ["picker-2", "Picker-1"]


def test_search_finds_labels() -> None:
    """A part of a site's name finds its robots."""
    robots = [presence("a", labels={"site": "Hamburg"}), presence("b", labels={"site": "Bremen"})]
    assert ids(Listing(robots, {}).find("hamb", "all", "robot_id")) == ["a"]


def test_robots_in_trouble() -> None:
    """Those in any condition that somebody should look into; being offline is none."""
    conditions = {
        "offline": ["lift-3"],
        "low_battery": ["picker-2"],
        "flapping": ["picker-2"],
        "lost": ["lift-1"],
    }
    listing = Listing(ROBOTS, conditions)
    assert listing.in_trouble == 2
    assert ids(listing.find("", "trouble", "attention")) == ["lift-1", "picker-2"]
    assert listing.conditions("picker-2") == ["low_battery", "flapping"]
    assert {name: len(found) for name, found in listing.trouble.items()} == {
        "low_battery": 1,
        "high_cpu": 0,
        "flapping": 1,
        "lost": 1,
    }


class SlowRobots:
    """Robots that take a second of the test's clock to list."""

    members = 1

    def __init__(self) -> None:
        self.listed = 0
        self.now = 100.0

    async def robots(self) -> list[dict[str, Any]]:
        """Take the time."""
        self.listed += 1
        self.now += 1.0
        return ROBOTS

    async def reading(self, robot_id: str) -> dict[str, Any] | None:
        """Return none."""


async def test_listing_takes_a_small_part_of_the_time_at_most() -> None:
    """A second request soon after gets the same listing; a slow one is kept for longer."""
    robots = SlowRobots()
    view = FleetView(lambda: robots, dict, clock=lambda: robots.now)
    first = await view.listing()
    robots.now += 0.5
    assert await view.listing() is first
    robots.now += 40
    assert await view.listing() is not first
    assert robots.listed == 2
