"""A simulated reader of a dashboard, with the service itself."""

import asyncio

import httpx
import pytest

from charter_otel.server.server import embedded
from charter_otel.service.settings import Settings
from charter_otel.simulator import RobotBehaviour, SimulatedFleet, parse
from charter_otel.simulator.credentials import Credentials
from charter_otel.simulator.viewer import Viewer

SECRET = "s" * 32


@pytest.mark.parametrize(
    ("credentials", "statuses", "failures"),
    [(Credentials(SECRET), [200, 404], 0), (Credentials(), [401, 401], 2)],
    ids=["robot that sent nothing", "no token"],
)
async def test_every_refusal_but_of_an_unknown_robot_is_a_failure(
    credentials: Credentials, statuses: list[int], failures: int
) -> None:
    """A robot that has sent nothing yet has no readings; a reader without a token gets nothing."""
    stop, answers = asyncio.Event(), list[int]()

    async def look(response: httpx.Response) -> None:
        answers.append(response.status_code)
        if len(answers) == len(statuses):
            stop.set()

    async with (
        embedded(Settings(auth_secret=SECRET)) as url,
        httpx.AsyncClient(
            base_url=url,
            auth=credentials.of_client("read"),
            trust_env=False,
            event_hooks={"response": [look]},
        ) as client,
    ):
        fleet = SimulatedFleet(parse(url), 1, lambda _: RobotBehaviour())
        async with asyncio.timeout(10):
            await Viewer(client, fleet, every=0.01).view(stop)
    assert answers == statuses
    assert fleet.stats.errors.total() == failures
