"""The robots of the board, as REST answers them."""

from typing import Any

from litestar.testing import TestClient

from charter_otel.service.board import Source, board_router
from charter_otel.thresholds import Thresholds
from support.apps import make_app


class NewerRobots:
    """The robots, one of which left an instance of a newer version."""

    members = 2

    async def robots(self) -> list[dict[str, Any]]:
        """Return it, with a reason and a field that this version does not know."""
        times = dict.fromkeys(("connected_at", "last_seen_at", "disconnected_at"), 1.0)
        known = {"robot_id": "robot_1", "status": "offline", "connection_id": None, **times}
        return [{**known, "last_reason": "battery_swap", "weather": "rain"}]

    async def reading(self, robot_id: str) -> None:
        """Return none."""
        del robot_id


def test_a_close_reason_of_a_newer_version_is_shown() -> None:
    """The document lists the reasons of this version; an answer may hold another."""
    source = Source(
        get_robots=NewerRobots,
        get_connections=lambda: 0,
        get_conditions=dict,
        get_emitted=dict,
        thresholds=Thresholds(),
    )
    with TestClient(make_app([board_router(source)])) as client:
        robot = client.get("/api/board/robots/robot_1").json()
    assert (robot["status"], robot["last_reason"]) == ("offline", "battery_swap")
    assert "weather" not in robot
