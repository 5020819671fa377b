"""Labels of robots: from the token or the handshake to spans, records, presence and metrics."""

import json
from typing import Any

import pytest

from charter_otel import tokens
from charter_otel.telemetry import Gateway
from charter_otel.telemetry.admission import Admitted, HandshakeRequest, admit
from charter_otel.telemetry.labels import AllowedLabels
from charter_otel.telemetry.router import get_robots
from support.polling import eventually
from support.robots import READING, Robots

SECRET = "s" * 32
SITE, FIRMWARE = "charter.robot.label.site", "charter.robot.label.firmware"


def test_only_labels_that_are_allowed_are_taken() -> None:
    """Others that a robot brings are ignored; those that it lacks are absent."""
    allowed = AllowedLabels(["site", "firmware"])
    assert allowed.choose({"site": "berlin", "owner": "ada"}) == {SITE: "berlin"}
    assert allowed.choose({"firmware": ""}) == {}
    assert AllowedLabels().choose({"site": "berlin"}) == {}


def test_a_label_has_a_hundred_values_at_most() -> None:
    """Those beyond are ``other``, and so is text that cannot be shown; known values stay."""
    allowed = AllowedLabels(["site"])
    sites = [allowed.choose({"site": f"site-{number}"})[SITE] for number in range(102)]
    assert sites[:100] == [f"site-{number}" for number in range(100)]
    assert sites[100:] == ["other", "other"]
    assert allowed.choose({"site": "site-7"}) == {SITE: "site-7"}
    assert AllowedLabels(["site"]).choose({"site": "a\x1b[0m"}) == {SITE: "other"}


def test_combinations_of_values_have_a_limit_too() -> None:
    """Each is a series of several metrics: two hundred, that of all others, and none."""
    allowed = AllowedLabels(["site", "firmware"])
    for number in range(800):
        labels = allowed.choose({"site": f"{number % 31}", "firmware": f"{number % 29}"})
    assert labels == {SITE: "other", FIRMWARE: "other"}
    assert len(allowed.seen) == 202


@pytest.mark.parametrize(
    "request_",
    [
        HandshakeRequest("robot_1", {}, (), query={"label.site": "berlin"}),
        HandshakeRequest("robot_1", {"charter-label-site": "berlin"}, ()),
    ],
    ids=["query", "header"],
)
def test_a_robot_without_a_token_brings_labels_with_its_handshake(
    request_: HandshakeRequest,
) -> None:
    """In the query or as headers; where tokens are asked for, only the token's count."""
    verdict = admit(Gateway(labels=AllowedLabels(["site"])), request_)
    assert isinstance(verdict, Admitted)
    assert verdict.labels == {SITE: "berlin"}
    token = tokens.sign(SECRET, "robot_1", lifetime=60, labels={"site": "paris"})
    bearer = {"authorization": f"Bearer {token}"}
    guarded = Gateway(labels=AllowedLabels(["site"]), secrets=(SECRET,))
    verdict = admit(guarded, request_._replace(headers={**request_.headers, **bearer}))
    assert isinstance(verdict, Admitted)
    assert verdict.labels == {SITE: "paris"}


async def test_labels_are_on_all_telemetry_of_a_robot(robots: Robots) -> None:
    """Spans, presence, and the metrics that count; a robot without labels is counted without."""
    robots.gateway.labels = AllowedLabels(["site"])
    client = await robots.connect("robot_1", query="?label.site=berlin")
    await robots.connect("robot_2")
    await client.send(READING.replace("78.0", "7.0"))
    await eventually(lambda: robots.gateway.connections.frames["reading"], "the reading")
    assert [robot.get("labels") for robot in await get_robots()] == [{"site": "berlin"}, None]
    assert _counted(robots, "charter.connection.active") == {"berlin": 1, None: 1}
    low = _counted(
        robots, "charter.robot.condition.count", ("charter.robot.condition", "low_battery")
    )
    assert low == {"berlin": 1, None: 0}
    await client.close()
    await robots.closings()
    assert _counted(robots, "charter.connection.active") == {"berlin": 0, None: 1}
    online = _counted(robots, "charter.robot.count", ("charter.robot.status", "online"))
    offline = _counted(robots, "charter.robot.count", ("charter.robot.status", "offline"))
    assert (online, offline) == ({"berlin": 0, None: 1}, {"berlin": 1, None: 0})
    closed = robots.metric("charter.connection.duration")
    assert [dict(key).get(SITE) for key in closed] == ["berlin"]
    route = "GET /api/telemetry/ws/{robot_id}"
    for name in (route, "charter.connection"):
        span = next(s for s in robots.spans(name) if (s.attributes or {}).get(SITE))
        assert (span.attributes or {})[SITE] == "berlin"
        assert all((event.attributes or {})[SITE] == "berlin" for event in span.events)


async def test_a_renewed_token_changes_the_labels(robots: Robots) -> None:
    """A robot that was moved is counted at its new site from then on, by its next token."""
    robots.gateway.labels, robots.gateway.secrets = AllowedLabels(["site"]), (SECRET,)
    old, new = (
        tokens.sign(SECRET, "robot_1", lifetime=60, labels={"site": site})
        for site in ("berlin", "paris")
    )
    headers = {"Authorization": f"Bearer {old}"}
    client = await robots.connect("robot_1", additional_headers=headers)
    await client.send(json.dumps({"type": "token", "token": new}))
    assert json.loads(await client.recv())["type"] == "token"
    assert [robot.get("labels") for robot in await get_robots()] == [{"site": "paris"}]
    assert _counted(robots, "charter.connection.active") == {"berlin": 0, "paris": 1, None: 0}


def _counted(
    robots: Robots, metric: str, of: tuple[str, str] | None = None
) -> dict[str | None, float]:
    points: dict[frozenset[tuple[str, Any]], Any] = robots.metric(metric)
    return {
        dict(key).get(SITE): point.value for key, point in points.items() if of is None or of in key
    }
