"""`charter-otel trace`: one trace at a terminal, from the service itself."""

import io
import json

from rich.console import Console

from charter_otel.cli.trace_view import tree
from cli.commands import called, run, serving
from support.ports import free_port

UNKNOWN = "0af7651916cd43dd8448eb211c80319c"


def test_a_connection_as_a_tree() -> None:
    """The handshake with its event, and below it the connection with how it ended."""
    with serving(variables={"CHARTER_RECENT_SPANS": "100"}) as service:
        ended = called("simulate", "--url", service.websocket, "--robots=1", "--seconds=0.3")
        assert ended.returncode == 0, ended.stderr
        closed = service.get("/api/events?type=telemetry.connection_closed")[0]
        trace_id = closed["meta"]["correlation_id"]
        shown = called("trace", trace_id, "--url", service.http)
        assert shown.returncode == 0, shown.stderr
        lines = [line.strip(" │├└─") for line in shown.stdout.splitlines()]
        assert lines[0].startswith(f"trace {trace_id}  2 spans, ")
        assert lines[1].startswith("GET /api/telemetry/ws/{robot_id}  ")
        assert lines[2].startswith("◆ telemetry.connection_established  +")
        assert "charter.connection  " in lines[3]
        assert "client_disconnect" in lines[3]
        assert lines[4].startswith("◆ telemetry.connection_closed  +")
        parent = f"00-{trace_id}-00f067aa0ba902b7-01"
        answer = run("trace", parent, "--url", service.http, "--format=json")
        assert json.loads(answer.stdout) == service.get(f"/api/traces/{trace_id}")


def test_a_service_without_spans_says_how_to_keep_them() -> None:
    """The setting is named, and the exit code says that there is nothing to show."""
    with serving() as service:
        ended = called("trace", UNKNOWN, "--url", service.http)
    assert (ended.returncode, "CHARTER_RECENT_SPANS=" in ended.stderr) == (1, True)


def test_a_service_that_is_not_there_is_a_failure() -> None:
    """The text says how to start one."""
    ended = called("trace", UNKNOWN, "--url", f"http://127.0.0.1:{free_port()}")
    assert (ended.returncode, "charter-otel serve" in ended.stderr) == (1, True)


def test_an_argument_without_a_trace_id_is_a_usage_error() -> None:
    """The text says where one is found."""
    ended = called("trace", "robot_001")
    assert (ended.returncode, "meta.correlation_id" in ended.stderr) == (2, True)


def test_nothing_hostile_steers_the_terminal() -> None:
    """Names of spans and of their events, and errors, are text: no escape or markup works."""
    span = {
        "span_id": "a" * 16,
        "parent_span_id": None,
        "name": "\x1b[2J[red]name",
        "started_at": 1.0,
        "duration_ms": 3.0,
        "status": "error",
        "error": "\x1b]0;title\x07",
        "attributes": {"charter.robot.id": "[bold]r"},
        "events": [{"name": "\x1b[3J[red]event", "at": 1.002}],
        "links": ["a" * 16],
    }
    console = Console(record=True, width=100, file=io.StringIO())
    console.print(tree({"trace_id": UNKNOWN, "spans": [span]}))
    text = console.export_text()
    assert "\x1b" not in text
    assert r"\x1b[2J[red]name  3.0 ms" in text
    assert r"◆ \x1b[3J[red]event  +2.0 ms" in text
    assert "[bold]r" in text
