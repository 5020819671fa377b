"""`charter-otel tail`, through the service and straight from Redis."""

import json
import signal
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from cli.commands import Running, Service, called, running, serving
from support.ports import free_port
from support.redis import RedisServer

CONNECTION = ["telemetry.connection_established", "telemetry.connection_closed"]


def simulate(service: Service) -> None:
    """Connect one robot, which leaves again."""
    ended = called("simulate", "--url", service.websocket, "--robots=1", "--hz=5", "--seconds=0.3")
    assert ended.returncode == 0, ended.stderr


def events(tail: Running, count: int) -> list[Any]:
    """Return the next events."""
    return [json.loads(tail.line()) for _ in range(count)]


@pytest.fixture(scope="module")
def service() -> Iterator[Service]:
    """A running service."""
    with serving() as service:
        yield service


def test_events_come_through_the_service(service: Service) -> None:
    """One envelope a line, the same that the service holds; Ctrl-C ends it quietly."""
    with running("tail", "--url", service.http, "--type=telemetry.*") as tail:
        tail.says("following")
        simulate(service)
        seen = events(tail, 2)
        held = service.get("/api/events?type=telemetry.*")[-2:]
        code, stdout, stderr = tail.ends(signal.SIGINT)
    assert [event["type"] for event in seen] == CONNECTION
    assert seen == held
    assert (code, stdout, stderr) == (0, "", "")


def test_after_begins_behind_an_event(service: Service) -> None:
    """Missed events come first."""
    simulate(service)
    established = service.get("/api/events?type=telemetry.connection_established")[-1]
    arguments = ("tail", "--url", service.http, "--after", established["id"])
    with running(*arguments, "--type=telemetry.*") as tail:
        assert [event["type"] for event in events(tail, 1)] == CONNECTION[1:]


def test_a_service_that_comes_back_is_followed_again() -> None:
    """The outage is said on stderr, and stdout has envelopes only."""
    port = free_port()
    with (
        serving(port=port) as first,
        running("tail", "--url", first.http, "--type=telemetry.*") as tail,
    ):
        tail.says("following")
        first.command.ends(signal.SIGTERM)
        tail.says("trying again")
        with serving(port=port) as second:
            tail.says("following")
            simulate(second)
            assert [event["type"] for event in events(tail, 2)] == CONNECTION


def test_console_form_is_for_people(service: Service) -> None:
    """Each event is told in words within 80 columns, with its whole trace id; JSON is a choice."""
    before = service.get("/api/events?limit=1000")[-1]["id"]
    simulate(service)
    held = service.get("/api/events?type=telemetry.*")[-2:]
    arguments = ("tail", "--url", service.http, "--type=telemetry.*", "--after", before)
    with running(*arguments, "--format=console") as tail:
        text = "".join(tail.line() for _ in range(5))
    for event in held:
        assert f"trace={event['meta']['correlation_id']}" in text
    assert "client_disconnect after" in text
    assert max(map(len, text.splitlines())) <= 80
    assert "\x1b" not in text


@pytest.mark.parametrize("partitions", ["1", "3"])
def test_events_come_straight_from_redis(tmp_path: Path, partitions: str) -> None:
    """With CHARTER_EVENT_STREAM=redis://… it is the stream itself that is followed."""
    redis = RedisServer(tmp_path)
    redis.start()
    try:
        variables = {
            "CHARTER_EVENT_STREAM": redis.url,
            "CHARTER_STREAM_PARTITIONS": partitions,
        }
        with (
            serving(variables=variables) as service,
            running("tail", "--type=telemetry.*", variables=variables) as tail,
        ):
            tail.says("following Redis")
            simulate(service)
            seen = events(tail, 2)
            held = service.get("/api/events?type=telemetry.*")
            code, _, _ = tail.ends(signal.SIGTERM)
    finally:
        redis.stop()
    assert [event["type"] for event in seen] == CONNECTION
    assert seen == held
    assert code == 0


def test_a_redis_that_is_not_there_is_a_failure() -> None:
    """The text names the setting, and nothing goes to stdout."""
    ended = called("tail", variables={"CHARTER_EVENT_STREAM": f"redis://127.0.0.1:{free_port()}/0"})
    assert ended.returncode == 1
    assert ended.stdout == ""
    assert "CHARTER_EVENT_STREAM" in ended.stderr
    assert "Traceback" not in ended.stderr


def test_a_service_that_is_not_there_is_a_failure() -> None:
    """The text says how to start one."""
    ended = called("tail", "--url", f"http://127.0.0.1:{free_port()}")
    assert ended.returncode == 1
    assert "charter-otel serve" in ended.stderr


def test_no_event_stream_is_a_usage_error() -> None:
    """There is nothing to follow."""
    ended = called("tail", variables={"CHARTER_EVENT_STREAM": "none"})
    assert ended.returncode == 2
    assert "--url" in ended.stderr


def test_an_unknown_type_is_a_usage_error() -> None:
    """The text names the types that there are."""
    ended = called("tail", "--type", "metrics.aggregation_finished")
    assert ended.returncode == 2
    assert "metrics.aggregation_failed" in ended.stderr
