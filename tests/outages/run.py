"""One outage, from before it until nothing follows from it any more."""

import sys
import tempfile
import threading
import time
from contextlib import ExitStack
from pathlib import Path
from typing import NamedTuple

from outages.causes import SITES, Cause
from outages.stack import Stack, running, versions
from support.polling import wait_until

SETTLE = 150.0
"""Seconds until the fleet is in Prometheus and no connection is short."""
AFTER = 900.0
"""Seconds for which what follows is held back, and five minutes more."""
_ONE_STARTS = threading.Lock()
"""Outages run side by side, but each starts alone: ten processes at once would be too slow."""


class Page(NamedTuple):
    """An incident at PagerDuty."""

    alert: str
    severity: str
    after: float
    """Seconds from the beginning of the outage to the page,"""
    over: float | None
    """and from its end to the end of the incident; None while it is open."""


class Row(NamedTuple):
    """Pages of one outage."""

    cause: Cause
    pages: list[Page]
    held: list[str]
    """Alerts that fired and paged nobody."""
    lost: float
    """Robots that the dashboards show as lost at the end, and those that are not connected."""
    prometheus: str

    @property
    def kept(self) -> bool:
        """Whether each page is one that the runbooks describe, once, and all is over."""
        paged = sorted((page.alert, page.severity) for page in self.pages)
        over = all(page.over is not None for page in self.pages)
        return paged == sorted(self.cause.pages.items()) and over and not self.lost


def run(cause: Cause, seconds: float) -> Row:
    """Let something be away, and return what was paged."""
    everybody = sum(SITES.values())
    with ExitStack() as started:
        directory = started.enter_context(tempfile.TemporaryDirectory(prefix="outage"))
        with _ONE_STARTS:
            stack = started.enter_context(running(Path(directory), SITES))
            wait_until(lambda: stack.fleet.connected == everybody, "the fleet is connected", 120)
        _pause(SETTLE)
        wait_until(lambda: not _pages(stack, 0, 0, still_open=True), "nothing is paged", 900)
        stack.pager.arrived.clear()
        began = time.monotonic()
        _say(f"{cause.what}, for {seconds:.0f} s")
        cause.goes(stack)
        _pause(seconds)
        cause.returns(stack)
        ended = time.monotonic()
        _say(f"{cause.name} is back")
        # Nothing comes after the last page that must not come: each alert waits as long as it does.
        _pause(AFTER)
        pages = _pages(stack, began, ended)
        for page in pages:
            _say(f"{cause.name}: {page}")
        fired = stack.fired((time.monotonic() - began) / 60)
        held = sorted(fired - {page.alert for page in pages})
        lost = stack.lost()
        _say(f"{cause.name}: {stack.fleet.connected} robots are connected, {lost:g} are lost")
        return Row(cause, pages, held, lost + everybody - stack.fleet.connected, versions(stack))


def _pages(stack: Stack, began: float, ended: float, *, still_open: bool = False) -> list[Page]:
    """Return the incidents since the beginning of the outage."""
    pages: dict[str, Page] = {}
    for at, event in stack.pager.arrived:
        key = event["dedup_key"]
        if event["event_action"] == "trigger" and key not in pages:
            payload = event["payload"]
            alert = payload["class"].partition(",")[0]
            pages[key] = Page(alert, payload["severity"], at - began, None)
        elif event["event_action"] == "resolve" and key in pages:
            pages[key] = pages[key]._replace(over=at - ended)
    return [page for page in pages.values() if not still_open or page.over is None]


def _pause(seconds: float) -> None:
    threading.Event().wait(seconds)


def _say(text: str) -> None:
    sys.stderr.write(f"{time.strftime('%H:%M:%S')} {text}\n")
