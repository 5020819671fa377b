"""The bare application with a span, a measurement and an event for each reading, by bare calls.

The least that a program does which says through the SDK what the service says. The event is
`Calls`' own, which is about as large as that of a reading.
"""

import os
import time
from collections.abc import Awaitable
from typing import Any

from litestar import Litestar, get
from litestar.enums import ScopeType
from litestar.params import FromPath
from litestar.types import ASGIApp, Receive, Scope, Send
from opentelemetry.trace import SpanKind, use_span

from benchmarks.references import app
from benchmarks.references.calls import Calls
from support.apps import make_app

_BOUNDARIES = (0.005, 0.01, 0.025, 0.05, 0.075, 0.1, 0.25, 0.5, 0.75, 1, 2.5, 5, 7.5, 10)


def application() -> Litestar:
    """Return the application."""
    calls = Calls(os.open(os.devnull, os.O_WRONLY))
    duration = calls.meter.create_histogram(
        "http.server.request.duration", "s", explicit_bucket_boundaries_advisory=_BOUNDARIES
    )

    @get("/api/telemetry/robots/{robot_id:str}/metrics")
    async def get_metrics(robot_id: FromPath[str]) -> dict[str, Any]:
        """Return a robot's last reading, and say so."""
        calls.emit()
        reading: dict[str, Any] = await app.get_metrics.fn(robot_id)
        return reading

    async def observe(scope: Scope, receive: Receive, send: Send, inner: ASGIApp) -> None:
        started = time.perf_counter()
        same = {
            "http.request.method": "GET",
            "url.scheme": "http",
            "http.route": scope["path_template"],
        }
        span = calls.tracer.start_span(
            f"GET {scope['path_template']}",
            kind=SpanKind.SERVER,
            attributes={
                **same,
                "url.path": scope["path"],
                "server.address": "127.0.0.1",
                "server.port": 8000,
                "network.protocol.version": scope["http_version"],
            },
        )
        with use_span(span, end_on_exit=True):
            await inner(scope, receive, send)
            span.set_attribute("http.response.status_code", 200)
            duration.record(
                time.perf_counter() - started, {**same, "http.response.status_code": 200}
            )

    def observed(app: ASGIApp) -> ASGIApp:
        def middleware(scope: Scope, receive: Receive, send: Send) -> Awaitable[None]:
            http = scope["type"] == ScopeType.HTTP
            return observe(scope, receive, send, app) if http else app(scope, receive, send)

        return middleware

    return make_app(
        [app.hold, get_metrics, app.healthz],
        middleware=[observed],
        openapi_config=None,
    )
