"""A gateway behind a real server, under each supported WebSocket implementation."""

from collections.abc import AsyncIterator

import pytest

from support.robots import Robots, connected_robots
from support.servers import OWN, WEBSOCKET_SERVERS


@pytest.fixture(params=WEBSOCKET_SERVERS)
async def robots(request: pytest.FixtureRequest) -> AsyncIterator[Robots]:
    """Yield a gateway and the robots' side of it."""
    async with connected_robots(request.param) as robots:
        yield robots


@pytest.fixture
async def own() -> AsyncIterator[Robots]:
    """Yield likewise what only the service's own WebSocket protocol can do."""
    async with connected_robots(OWN) as robots:
        yield robots
