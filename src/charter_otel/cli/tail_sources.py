"""Follows the event stream, directly from Redis or through a service."""

import asyncio
import os
import sys
from collections.abc import Callable, Coroutine
from typing import Any

import click
import httpx
import msgspec
import uvloop

from charter_otel.aio import FIRST_PAUSE, LONGEST_PAUSE, Backoff, stop_on_signal, until_first
from charter_otel.charter import Event, encode
from charter_otel.cli.sse import EventSource, Refused
from charter_otel.failures import CommandFailure, Refusal
from charter_otel.otel.lines.configure import LogFormat, configure_logs
from charter_otel.otel.lines.console import event_line
from charter_otel.otel.lines.values import plain_json, printable
from charter_otel.otel.lines.writer import LineWriter
from charter_otel.simulator.credentials import READER_HINT, REFUSALS, Credentials
from charter_otel.streams import EventTypes, StreamUnavailable, connect

Write = Callable[[str], None]
"""Writes an envelope, given as JSON, to stdout in one format or the other."""

_ROUTE = "/api/events/stream"
_STDERR = 2
_CONNECT_WITHIN = 10.0
_SILENT_AT_MOST = 45.0
"""Seconds: a service sends a comment every 15 s, so that a dead one is noticed."""


def writer(form: LogFormat) -> Write:
    """Return the function that writes envelopes in a format."""
    if form == "json":
        return lambda envelope: _print(plain_json(envelope))
    colors = sys.stdout.isatty() and not os.environ.get("NO_COLOR")

    def write(envelope: str) -> None:
        try:
            event = msgspec.json.decode(envelope, type=Event)
        except msgspec.DecodeError:
            _print(printable(envelope))
        else:
            _print(event_line(event, colors=colors))

    return write


def follow_redis(
    url: str, types: EventTypes, after: str | None, write: Write, partitions: int = 1
) -> None:
    """Print the events of a stream in Redis until a signal.

    Raises:
        CommandFailure: The stream cannot be reached.
        Refusal: The address or ``after`` is wrong.
    """
    # stdout is for envelopes; the stream's messages about its connection go to stderr.
    configure_logs(
        service_name="charter-otel",
        log_format="console",
        level="WARNING",
        writer=LineWriter(_STDERR),
    )
    try:
        uvloop.run(_until_signal(_follow_redis(url, types, after, write, partitions)))
    except StreamUnavailable as error:
        raise CommandFailure(str(error)) from error
    except ValueError as error:
        raise Refusal(str(error)) from error


def follow_service(
    url: str, types: EventTypes, after: str | None, credentials: Credentials, write: Write
) -> None:
    """Print the events that a service sends, until a signal.

    Raises:
        CommandFailure: The service cannot be reached, or refuses.
    """
    try:
        uvloop.run(_until_signal(_follow_service(url, types, after, credentials, write)))
    except Refused as error:
        hint = f"; {READER_HINT}" if error.status in REFUSALS else ""
        raise CommandFailure(f"{url} refuses: {error}{hint}") from error
    except (httpx.HTTPError, httpx.InvalidURL) as error:
        raise CommandFailure(
            f"cannot follow {url} ({error}); start the service with `charter-otel serve`, "
            "give its address with --url, or set CHARTER_EVENT_STREAM=redis://… to do without"
        ) from error


async def _until_signal(work: Coroutine[Any, Any, None]) -> None:
    with stop_on_signal() as stop:
        await until_first(stop.wait(), work)


async def _follow_redis(
    url: str, types: EventTypes, after: str | None, write: Write, partitions: int
) -> None:
    try:
        stream = connect(url, partitions=partitions)
    except ValueError as error:
        raise Refusal(f"CHARTER_EVENT_STREAM: {error}") from error
    if stream is None:
        raise ValueError("CHARTER_EVENT_STREAM=none: there is nothing to follow; give --url")
    # Fails at once if Redis is not there; later on the stream reconnects by itself.
    await stream.read(limit=1)
    await stream.start()
    _say("following Redis")
    try:
        async for event in stream.follow(after=after, types=types):
            write(encode(event).decode())
    finally:
        await stream.stop()


async def _follow_service(
    url: str, types: EventTypes, after: str | None, credentials: Credentials, write: Write
) -> None:
    async with httpx.AsyncClient(
        base_url=url,
        auth=credentials.of_client("read"),
        trust_env=False,
        timeout=httpx.Timeout(_CONNECT_WITHIN, read=_SILENT_AT_MOST),
    ) as client:
        source = EventSource(
            client,
            _ROUTE,
            {"type": list(types.patterns)},
            last_event_id=after,
            on_open=lambda: _say(f"following {url}"),
        )
        await _follow_on(source, write)


async def _follow_on(source: EventSource, write: Write) -> None:
    """Print events, and connect again when the connection ends."""
    pauses = Backoff(FIRST_PAUSE, LONGEST_PAUSE)
    while True:
        reason: object = "the service ended it"
        try:
            async for data in source.events():
                pauses.reset()
                write(data)
        except httpx.TransportError as error:
            # Before the first connection it is a wrong address; after that, an outage.
            if not source.opened:
                raise
            reason = error
        _say(f"no connection ({reason}), trying again")
        await asyncio.sleep(pauses.next())


def _print(text: str) -> None:
    sys.stdout.write(text + "\n")
    sys.stdout.flush()


def _say(text: str) -> None:
    click.echo(f"charter-otel: {printable(text)}", err=True)
