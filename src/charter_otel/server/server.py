"""uvicorn as the service needs it: its options, its listening socket and its shutdown."""

import asyncio
import os
import socket
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from types import FrameType
from typing import Any, NamedTuple

import click
import structlog
import uvicorn

from charter_otel.aio import until_first
from charter_otel.failures import CommandFailure, Refusal
from charter_otel.open_files import raise_open_file_limit
from charter_otel.server.dispatch import dispatching_protocol
from charter_otel.server.gc_tuning import settle
from charter_otel.server.websocket import websocket_protocol
from charter_otel.service.app import create_app
from charter_otel.service.settings import SettingError, Settings
from charter_otel.streams import EventStream

_BACKLOG = 2_048

log = structlog.get_logger(__name__)

KEEP_ALIVE = 75
"""Seconds that an idle connection stays: longer than a load balancer's 60, which would otherwise
send a request just when the service closes."""


class Options(NamedTuple):
    """Options of the server."""

    host: str = "127.0.0.1"
    port: int = 0
    """0 takes a free one."""
    keep_alive: int = KEEP_ALIVE
    ssl_certfile: str | None = None
    ssl_keyfile: str | None = None


class Server(uvicorn.Server):
    """A server that a signal ends with exit code 0, once everything is shut down."""

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        """Start, and tune the process, which from then on only serves."""
        first: Any = self.config.http_protocol_class
        first.tls, self.config.ssl = self.config.ssl, None
        await super().startup(sockets)
        settle()

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        """Shut down; a connection that fails to is cut off, and holds up no other."""
        for connection in list(self.server_state.connections):
            try:
                connection.shutdown()
            except Exception:
                log.exception("a connection failed to shut down and is cut off")
                self.server_state.connections.discard(connection)
                connection.transport.abort()
        await super().shutdown(sockets)

    async def serve(self, sockets: list[socket.socket] | None = None) -> None:
        """Serve until asked to end.

        Raises:
            CommandFailure: The app did not start.
        """
        try:
            await super().serve(sockets)
        except SystemExit as error:
            raise CommandFailure(
                "the service did not start; the log lines above say why, fix that and start again"
            ) from error

    def handle_exit(self, sig: int, frame: FrameType | None) -> None:
        """Shut down; a second Ctrl-C does so without waiting for anything."""
        super().handle_exit(sig, frame)
        # uvicorn would raise the captured signals again after a clean end.
        self._captured_signals.clear()


class EmbeddedServer(Server):
    """A server in a program that handles the signals itself."""

    def __init__(self, config: uvicorn.Config) -> None:
        super().__init__(config)
        self.ready = asyncio.Event()

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        """Start, and set the event."""
        await super().startup(sockets)
        self.ready.set()

    @contextmanager
    def capture_signals(self) -> Iterator[None]:
        """Leave the signals to the program."""
        yield


def run(settings: Settings, options: Options) -> None:
    """Run the service until a signal ends it.

    Raises:
        CommandFailure: The address is taken, or the service did not start.
        Refusal: A variable or a certificate is wrong.
    """
    raise_open_file_limit()
    config = configure(build_app(settings), settings, options)
    check_tls(config)
    with listen(options.host, options.port) as listening:
        show_address(listening, config)
        Server(config).run(sockets=[listening])


def show_address(listening: socket.socket, config: uvicorn.Config, *more: str) -> None:
    """Show the service's address and how to stop it."""
    scheme = "https" if config.is_ssl else "http"
    told = [f"the board is at {scheme}://{_address(listening)}/", *more, "Ctrl-C ends the service"]
    click.echo(f"charter-otel: {', '.join(told)}", err=True)


@asynccontextmanager
async def embedded(
    settings: Settings, *, port: int = 0, stream: EventStream | None = None
) -> AsyncIterator[str]:
    """Run the service on loopback in this event loop, and yield its base address.

    Args:
        settings: The service's settings.
        port: Port to listen on; 0 takes a free one.
        stream: An event stream of the caller's, instead of the one that the settings name.

    Raises:
        CommandFailure: The service did not start.
        Refusal: A variable has a wrong value.
    """
    server = EmbeddedServer(configure(build_app(settings, stream=stream), settings))
    with listen("127.0.0.1", port) as listening:
        serving = asyncio.create_task(server.serve([listening]), name="charter-demo-service")
        try:
            # A start that fails ends `serving`, which says why when it is awaited below.
            await until_first(server.ready.wait(), asyncio.wait({serving}))
            if server.started:
                yield f"http://{_address(listening)}"
        finally:
            server.should_exit = True
            await serving


def build_app(settings: Settings, *, stream: EventStream | None = None) -> Any:
    """Build the app.

    Raises:
        Refusal: A variable has a wrong value.
    """
    try:
        return create_app(settings, stream=stream)
    except SettingError as error:
        raise Refusal(str(error)) from error


def configure(app: Any, settings: Settings, options: Options | None = None) -> uvicorn.Config:
    """Return uvicorn's options for the service.

    uvicorn's own log set-up is off, so that its lines go through ours.
    """
    options = options or Options()
    return uvicorn.Config(
        app,
        loop="uvloop",
        http=dispatching_protocol(),
        ws=websocket_protocol(),
        ws_max_size=settings.max_frame_bytes,
        timeout_keep_alive=options.keep_alive,
        timeout_graceful_shutdown=10,
        log_config=None,
        # At INFO it logs each connection's address, which is private.
        log_level="warning",
        access_log=False,
        server_header=False,
        ssl_certfile=options.ssl_certfile,
        ssl_keyfile=options.ssl_keyfile,
    )


def check_tls(config: uvicorn.Config) -> None:
    """Read the certificate and its key now, before the service is announced."""
    try:
        config.load()
    except OSError as error:  # of which ssl.SSLError is one
        raise Refusal(
            f"--ssl-certfile {config.ssl_certfile} and its key are of no use "
            f"({error.strerror or error}); give a certificate chain and its private key in PEM"
        ) from error


def listen(host: str, port: int, *, shared: bool = False) -> socket.socket:
    """Open the listening socket.

    Args:
        host: Address to listen on.
        port: Port to listen on; 0 takes a free one.
        shared: Whether other sockets may listen there too, so that the kernel spreads connections
            among them.

    Raises:
        CommandFailure: The address is taken, or does not belong to this machine.
    """
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    try:
        return socket.create_server(
            (host, port), family=family, backlog=_BACKLOG, reuse_port=shared
        )
    except OSError as error:
        raise CommandFailure(
            f"cannot listen on {host}:{port}: {_reason(error)}; "
            "stop what uses the address, or give another --host or --port"
        ) from error


def _reason(error: OSError) -> str:
    """Return the system's text; asyncio and socket add the address, which ours has already."""
    return os.strerror(error.errno) if error.errno and error.errno > 0 else str(error)


def _address(listening: socket.socket) -> str:
    host, port = listening.getsockname()[:2]
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"
