"""A gateway behind a real server, under each supported WebSocket implementation."""

from collections.abc import AsyncIterator

import pytest

from support.robots import Robots, connected_robots
from support.servers import WEBSOCKET_SERVERS


@pytest.fixture(params=WEBSOCKET_SERVERS)
async def robots(request: pytest.FixtureRequest) -> AsyncIterator[Robots]:
    """Yield a gateway and the robots' side of it."""
    async with connected_robots(request.param) as robots:
        yield robots
