"""Stand-ins on loopback: PagerDuty's Events API, a heartbeat service, an exporter of metrics."""

import json
from collections.abc import Callable
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler
from typing import Any

from support.loopback import LoopbackServer


class Server(LoopbackServer):
    """A server that answers whole requests."""

    def handler(self) -> type[BaseHTTPRequestHandler]:
        """Return the class that answers requests."""
        return _handler(self.answer)

    def answer(self, path: str, body: bytes) -> tuple[int, str, bytes]:
        """Return status, content type and body for a request."""
        raise NotImplementedError


@dataclass
class PagerDuty(Server):
    """Events API v2: keeps what is sent to ``/v2/enqueue``, and refuses what the API would.

    While ``refuse`` is set, it answers 503 and keeps nothing. An event with the key ``reject`` is
    not one that it will ever take.
    """

    refuse: bool = False
    reject: str = ""
    refused: int = 0
    events: list[dict[str, Any]] = field(default_factory=list)

    def answer(self, path: str, body: bytes) -> tuple[int, str, bytes]:
        """Take an event."""
        if self.refuse:
            self.refused += 1
            return 503, "application/json", b"{}"
        event = json.loads(body)
        if self.reject and event["dedup_key"] == self.reject:
            return 400, "application/json", b'{"status": "invalid event", "errors": ["told to"]}'
        problem = "path" if path != "/v2/enqueue" else _problem(event)
        if problem:
            answer = {"status": "invalid event", "errors": [problem]}
            self.events.append({"invalid": problem, **event})
            return 400, "application/json", json.dumps(answer).encode()
        self.events.append(event)
        answer = {"status": "success", "dedup_key": event["dedup_key"]}
        return 202, "application/json", json.dumps(answer).encode()

    def of(self, action: str, **payload: str) -> list[dict[str, Any]]:
        """Return the events with this action and these fields of the payload."""
        return [
            event
            for event in list(self.events)
            if event["event_action"] == action
            and all(event["payload"].get(name) == value for name, value in payload.items())
        ]


@dataclass
class Heartbeat(Server):
    """Counts what arrives."""

    beats: int = 0

    def answer(self, path: str, body: bytes) -> tuple[int, str, bytes]:
        """Take a beat."""
        del path, body
        self.beats += 1
        return 200, "text/plain", b""


@dataclass
class Exporter(Server):
    """An exporter whose series the test sets."""

    series: dict[str, float] = field(default_factory=dict)

    def answer(self, path: str, body: bytes) -> tuple[int, str, bytes]:
        """Return the series."""
        del path, body
        text = "".join(f"{name} {value}\n" for name, value in list(self.series.items()))
        return 200, "text/plain; version=0.0.4", text.encode()


def _problem(event: dict[str, Any]) -> str:
    """Return what PagerDuty would refuse an event for; empty where nothing is wrong."""
    trigger = event["event_action"] == "trigger"
    payload = event.get("payload", {})
    links = event.get("links", [])
    fine = {
        "routing_key": bool(event.get("routing_key")),
        "event_action": event["event_action"] in {"trigger", "resolve"},
        "dedup_key": 0 < len(event.get("dedup_key", "")) <= 255,
        "severity": not trigger or payload.get("severity") in {"critical", "warning"},
        "source": not trigger or bool(payload.get("source")),
        "summary": not trigger or 0 < len(payload.get("summary", "")) <= 1024,
        "links": all(link["href"].startswith("http") for link in links),
    }
    return next((name for name, is_fine in fine.items() if not is_fine), "")


def _handler(
    answer: Callable[[str, bytes], tuple[int, str, bytes]],
) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_GET(self) -> None:
            self.reply()

        def do_POST(self) -> None:
            self.reply()

        def reply(self) -> None:
            body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
            status, kind, text = answer(self.path, body)
            self.send_response(status)
            self.send_header("Content-Type", kind)
            self.send_header("Content-Length", str(len(text)))
            self.end_headers()
            self.wfile.write(text)

        def log_message(self, *_: object) -> None:
            """Say nothing: the test says what is wrong."""

    return Handler
