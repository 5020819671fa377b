"""The loop of `charter-otel top`: look, draw, wait for a key."""

import os
import select
import signal
import sys
import termios
import time
import tty
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import FrameType
from typing import Any

import httpx
from rich.console import Console
from rich.live import Live

from charter_otel.charter import EventType
from charter_otel.cli.rest import Rest
from charter_otel.cli.top_view import Look, screen

_ROWS = 60
"""Robots and events to ask for: as many as a tall terminal shows."""
_LEAVE = ("q", "Q", "\x04")


def look_once(rest: Rest) -> None:
    """Print one snapshot.

    Raises:
        Failure: The service does not answer, or refuses.
    """
    try:
        look = ask(rest)
    except httpx.TransportError as error:
        raise rest.unreachable(error) from error
    console = Console(highlight=False)
    console.print(screen(look, console.width, max(console.height, 24)))


def look_on(rest: Rest, every: float) -> None:
    """Draw one snapshot after the other until the user quits.

    Raises:
        Failure: The service does not answer the first time, or refuses.
    """
    try:
        look = ask(rest)
    except httpx.TransportError as error:
        raise rest.unreachable(error) from error
    console = Console(highlight=False)
    with _keys() as wait, Live(console=console, screen=True, auto_refresh=False) as live:
        while True:
            live.update(screen(look, console.width, console.height), refresh=True)
            if wait(every) in _LEAVE:
                return
            look = _again(rest, look)


def ask(rest: Rest) -> Look:
    """Ask the service for a snapshot.

    Raises:
        httpx.TransportError: It does not answer.
    """
    return Look(
        url=rest.url,
        board=rest.get("/api/board", has="fleet"),
        ready=rest.get("/readyz", has="status", also=503),
        robots=rest.get("/api/board/robots", has="robots", limit=_ROWS),
        events=_events(rest),
    )


def _events(rest: Rest) -> list[dict[str, Any]]:
    """Return the last events, except those that merely report a read: they would hide the rest."""
    # A stream that is unreachable or not configured has none.
    answer = rest.get("/api/events", also=503, limit=4 * _ROWS)
    found = answer if isinstance(answer, list) else []
    return [event for event in found if event["type"] != EventType.TELEMETRY_METRICS_PUBLISHED]


def _again(rest: Rest, last: Look) -> Look:
    try:
        return ask(rest)
    except httpx.TransportError as error:
        lost_at = last.lost_at or time.time()
        return last.lost(lost_at, str(error))


@contextmanager
def _keys() -> Iterator[Callable[[float], str]]:
    """Yield a function that waits for a key, for so many seconds at most; Ctrl-C ends quietly."""
    signal.signal(signal.SIGTERM, _leave)
    terminal = sys.stdin.isatty()
    before = termios.tcgetattr(sys.stdin) if terminal else None
    try:
        if terminal:
            tty.setcbreak(sys.stdin)
        yield _key if terminal else _no_key
    except KeyboardInterrupt:
        return
    finally:
        if before is not None:
            termios.tcsetattr(sys.stdin, termios.TCSADRAIN, before)


def _key(seconds: float) -> str:
    ready, _, _ = select.select([sys.stdin], [], [], seconds)
    return os.read(sys.stdin.fileno(), 1).decode(errors="replace") or "q" if ready else ""


def _no_key(seconds: float) -> str:
    time.sleep(seconds)
    return ""


def _leave(_: int, __: FrameType | None) -> None:
    """End as Ctrl-C does, so that the terminal is restored."""
    raise KeyboardInterrupt
