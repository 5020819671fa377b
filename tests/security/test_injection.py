"""No input starts a new line or a new field of the log, in neither of its forms."""

import io
import json
import logging
import os
import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import pytest
import structlog
from hypothesis import given
from hypothesis import strategies as st

from charter_otel.otel import configure_logs
from charter_otel.otel.lines.configure import LogFormat
from charter_otel.otel.lines.writer import LineWriter
from charter_otel.testing import logging_restored
from support.polling import wait_until
from support.robots import READING
from support.service import ServiceProcess, service
from support.strangers import ask, connected, frame, shake_hands, upgrade

FORGED = "0:00 [info     ] forged        x=1"
LINE_ENDS = ["\n", "\r", "\r\n", "\v", "\f", "\x1c", "\x1e", "\x85", "\u2028", "\u2029"]
EVIL = [
    *(f"{end}{FORGED}" for end in LINE_ENDS),
    '"}\n{"event":"forged"}',
    '","forged":"1',
    "\x1b[2J\x1b[1;1Hforged",
    "\x1b]0;title\x07",
    "\u202eforged",
    "x forged=1",
    "\ud800",
    "\x00",
]


def _fail(evil: str) -> None:
    raise ValueError(evil) from KeyError(evil)


def _anywhere(evil: str) -> None:
    """Write the text wherever a text can stand in a line."""
    logger = structlog.get_logger("test")
    logger.warning("as a value", value=evil, nested={"a": [evil], evil: 1}, of=Exception(evil))
    logging.getLogger("library").warning("as an argument: %s", evil)
    try:
        _fail(evil)
    except ValueError:
        logger.exception("as an exception")


@contextmanager
def _written(log_format: LogFormat) -> Iterator[Callable[[], str]]:
    """Log into a pipe; give what has come out of it."""
    ours, theirs = os.pipe()
    try:
        with logging_restored():
            writer = configure_logs(
                service_name="test", log_format=log_format, writer=LineWriter(theirs)
            )

            def read() -> str:
                assert writer.flush()
                return os.read(ours, 1_000_000).decode()

            yield read
    finally:
        os.close(ours)
        os.close(theirs)


@given(st.sampled_from(EVIL) | st.text())
def test_json_has_one_object_a_line(evil: str) -> None:
    """For every reader's idea of a line; and the object has the fields that it always has."""
    with _written("json") as read:
        _anywhere(evil)
        text = read()
    lines = text.splitlines()
    assert len(lines) == text.count("\n") == 3
    fields = [set(json.loads(line)) for line in lines]
    always = {"timestamp", "level", "event", "logger", "service.name"}
    error = {"exception.type", "exception.message", "exception.stacktrace"}
    assert fields == [always | {"value", "nested", "of"}, always, always | error]


@given(st.sampled_from(EVIL) | st.text())
def test_the_console_form_has_one_line_too(evil: str) -> None:
    """A traceback has more, and all of those are indented; nothing steers the terminal."""
    with _written("console") as read:
        _anywhere(evil)
        text = read()
    plain = re.sub(r"\x1b\[[0-9;]*m", "", text)
    lines = plain.split("\n")
    assert plain.splitlines() == lines[:-1]
    assert all(line.isprintable() for line in lines)
    heads = [line for line in lines if line and not line.startswith("    ")]
    assert len(heads) == 3
    assert all(re.match(r"\d\d:\d\d:\d\d\.\d{3} (warn |error) ", head) for head in heads)


@pytest.fixture(scope="module")
def running() -> Iterator[ServiceProcess]:
    """Yield a service whose lines are JSON."""
    with service(CHARTER_LOG_LEVEL="DEBUG", CHARTER_LOG_FORMAT="json") as running:
        yield running


@pytest.mark.parametrize("evil", [evil for evil in EVIL if evil != "\ud800"])
def test_nothing_that_a_client_sends_forges_a_line(running: ServiceProcess, evil: str) -> None:
    """In an id, a path, a query, a header, a mission, a frame: percent-encoded or as it is."""
    coded = "".join(f"%{byte:02X}" for byte in evil.encode())
    raw = re.sub(r"[\r\n\x00\ud800]|[^\x00-\xff]", "?", evil)
    headers = {"Origin": f"https://{coded}", "User-Agent": raw, "traceparent": raw}
    upgrade(running.http, f"/api/telemetry/ws/{coded}", headers)
    upgrade(running.http, f"/{coded}")
    ask(running.http, "GET", f"/api/telemetry/robots/{coded}/metrics?{coded}={coded}", headers)
    ask(running.http, "GET", f"/{coded}?type={coded}")
    mission = json.dumps({"mission_id": evil, "status": evil[:64]}).encode()
    assert ask(running.http, "POST", "/api/metrics/missions", body=mission).status == 202
    before = len(running.events("telemetry.connection_closed"))
    with connected(running.http) as client:
        shake_hands(client, running.http, "/api/telemetry/ws/robot_1")
        client.sendall(frame(evil.encode()) + frame(READING.encode()) + frame(evil.encode(), 8))
    wait_until(lambda: len(running.events("telemetry.connection_closed")) > before, "it is closed")
    text = running.output().decode()
    assert len(text.splitlines()) == text.count("\n")
    for line in io.StringIO(text):
        assert "forged" not in json.loads(line)
        assert not json.loads(line)["event"].startswith("forged")
