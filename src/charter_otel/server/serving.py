"""`serve --workers`: the checks before any worker starts, and the task of each worker."""

import asyncio
import os
import re
import socket
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from multiprocessing.connection import Connection

import click
import msgspec
import uvicorn

from charter_otel.failures import CommandFailure, Refusal
from charter_otel.open_files import raise_open_file_limit
from charter_otel.otel import configure_logs
from charter_otel.otel.lines.writer import LineWriter
from charter_otel.otel.sdk.providers import name_of_service
from charter_otel.server.server import (
    Options,
    Server,
    build_app,
    check_tls,
    configure,
    listen,
    show_address,
)
from charter_otel.server.workers import Supervisor, stop_with_parent
from charter_otel.service.settings import Settings

_RESOURCE = "OTEL_RESOURCE_ATTRIBUTES"
_INSTANCE_ID = re.compile(r"service\.instance\.id=[^,]*")


def run_workers(settings: Settings, options: Options, count: int) -> None:
    """Run workers until a signal ends them.

    Raises:
        CommandFailure: The address is taken, or a worker did not start.
        Refusal: A variable or a certificate is wrong, or the workers would share nothing.
    """
    scheme = settings.event_stream.partition("://")[0]
    if scheme in {"memory", "none"}:
        raise Refusal(
            f"--workers {count} needs a Redis that the workers share, and CHARTER_EVENT_STREAM is "
            f"{scheme}; set CHARTER_EVENT_STREAM=redis://host:port/0"
        )
    raise_open_file_limit()
    config = configure(build_app(settings), settings, options)
    check_tls(config)
    writer = configure_logs(
        service_name=name_of_service(),
        log_format=settings.log_format,
        level=settings.log_level,
        writer=LineWriter(shared=True),
    )
    with _reserved(options) as held:
        show_address(held, config, f"{count} workers")
        shared = options._replace(port=held.getsockname()[1])
        try:
            Supervisor(count, partial(work, settings, shared, writer)).run()
        finally:
            writer.flush()


def work(
    settings: Settings, options: Options, writer: LineWriter, number: int, says: Connection
) -> None:
    """Serve as one of the workers, with a state directory and an instance id of its own.

    Args:
        settings: The service's settings.
        options: How the service is served.
        writer: Writes the lines of all workers, one process at a time.
        number: The worker's number, from 1; the next process in its place has the same.
        says: The pipe through which it reports that it serves.
    """
    writer.after_fork()
    own = msgspec.structs.replace(settings, state_dir=settings.state_dir / f"worker-{number}")
    named = os.environ.get(_RESOURCE, "")
    os.environ[_RESOURCE] = _INSTANCE_ID.sub(rf"\g<0>-{number}", named)
    try:
        server = _WorkerServer(configure(build_app(own), own, options), says)
        with listen(options.host, options.port, shared=True) as listening:
            server.run(sockets=[listening])
    except (CommandFailure, Refusal) as error:
        click.echo(f"charter-otel: worker {number}: {error}", err=True)
        sys.exit(1)


class _WorkerServer(Server):
    """A server that reports when it serves, and ends with its supervisor."""

    def __init__(self, config: uvicorn.Config, says: Connection) -> None:
        super().__init__(config)
        self._says = says

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        """Start, and report it."""
        await super().startup(sockets)
        stop_with_parent(asyncio.get_running_loop())
        self._says.send_bytes(b"serves")
        self._says.close()


@contextmanager
def _reserved(options: Options) -> Iterator[socket.socket]:
    """Hold the port for sockets that share it.

    A socket that is bound and does not listen gets no connections. Another program's
    listener is detected first, because sharing would hide it.
    """
    with listen(options.host, options.port) as alone:
        host, port = alone.getsockname()[:2]
    with socket.socket(alone.family) as held:
        held.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
        held.bind((host, port))
        yield held
