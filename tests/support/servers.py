"""A real uvicorn in the test's own event loop, with the service's WebSocket."""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Iterator

import uvicorn
from litestar import Litestar

from charter_otel.server.dispatch import dispatching_protocol
from charter_otel.server.websocket import websocket_protocol
from support.polling import eventually
from support.ports import free_port

OWN, USERS = "charter-otel serve", "websockets-sansio"
WEBSOCKET_SERVERS = (OWN, USERS)
"""The service's own WebSocket protocol, and the one of those who run uvicorn themselves."""


class _Server(uvicorn.Server):
    """A server that leaves the test runner's signal handlers alone."""

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        yield


@contextlib.asynccontextmanager
async def serving(app: Litestar, *, ws: str = OWN, max_size: int = 65_536) -> AsyncIterator[str]:
    """Serve the app on loopback and give ``host:port``; stop it gracefully at the end."""
    port = free_port()
    config = uvicorn.Config(
        app,
        host="127.0.0.1",
        port=port,
        **(
            {"http": dispatching_protocol(), "ws": websocket_protocol()}
            if ws == OWN
            else {"ws": ws}
        ),
        ws_max_size=max_size,
        ws_per_message_deflate=False,
        log_config=None,
        access_log=False,
        timeout_graceful_shutdown=5,
    )
    server = _Server(config)
    task = asyncio.create_task(server.serve(), name="uvicorn")
    try:
        await eventually(lambda: server.started or task.done(), "uvicorn listens")
        yield f"127.0.0.1:{port}"
    finally:
        server.should_exit = True
        await task
