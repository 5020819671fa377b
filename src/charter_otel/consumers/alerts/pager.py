"""The way to PagerDuty: a bounded queue and a thread, so that the event loop never waits."""

import asyncio
import contextlib
import json
import queue
import random
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any
from urllib.parse import quote

import structlog

from charter_otel.consumers.alerts.page import Page
from charter_otel.otel import Instrumentation

CAPACITY = 1000
"""Pages that wait at most; beyond it the oldest goes."""
ATTEMPTS = 8
"""How often a page is tried; with growing pauses that is about two minutes."""
PAUSE = 1.0
"""Seconds before the second attempt; doubles up to `LONGEST_PAUSE`."""
LONGEST_PAUSE = 30.0

_RUNBOOKS = {
    ("job", ""): "JobFailed",
    ("job", "slow"): "JobSlow",
    ("robot", ""): "RobotDisconnected",
    ("robot", "battery"): "LowBattery",
    ("robot", "cpu"): "HighCpu",
    ("robot", "flapping"): "RobotFlapping",
    ("fleet", ""): "FleetDisconnected",
}

Sender = Callable[[Page], None]
"""Sends a page, blocking; raises where it was not taken."""

log = structlog.get_logger(__name__)


class Pager:
    """Sends pages in order from a thread of its own, and remembers which incidents are open.

    Args:
        send: Sends one page.
        state: File that remembers the open incidents across a restart; None to forget them.
        capacity: Pages that wait at most.
        pause: Seconds before the second attempt.
        instrumentation: Where pages that are given up are counted.
    """

    def __init__(
        self,
        send: Sender,
        *,
        state: Path | None = None,
        capacity: int = CAPACITY,
        pause: float = PAUSE,
        instrumentation: Instrumentation | None = None,
    ) -> None:
        self.dropped = 0
        """Pages given up: the queue was full, or PagerDuty did not take them."""
        self.sent = 0
        """Pages that PagerDuty took."""
        self._send = send
        self._instrumentation = instrumentation or Instrumentation()
        self._state = state
        self._pause = pause
        self._open = _load(state)
        self._queue: queue.Queue[Page | None] = queue.Queue(capacity + 1)
        self._capacity = capacity
        self._stopping = threading.Event()
        self._thread: threading.Thread | None = None

    @property
    def open_keys(self) -> frozenset[str]:
        """Keys of the incidents that PagerDuty has open, as far as is known."""
        return frozenset(self._open)

    def start(self) -> None:
        """Begin to send."""
        self._stopping.clear()
        self._thread = threading.Thread(target=self._run, name="charter-pager", daemon=True)
        self._thread.start()

    async def stop(self, deadline: float = 3.0) -> None:
        """Send what waits, within ``deadline`` seconds; what is left is given up and counted."""
        thread, self._thread = self._thread, None
        if thread is None:
            return
        self._queue.put_nowait(None)
        await asyncio.to_thread(thread.join, deadline)
        self._stopping.set()
        while not self._queue.empty():
            if self._queue.get_nowait() is not None:
                self._give_up("stopped", "the service stopped")

    def page(self, page: Page) -> None:
        """Queue a page; never waits."""
        if self._queue.qsize() >= self._capacity:
            try:
                self._queue.get_nowait()
            except queue.Empty:
                pass
            else:
                self._give_up("queue_full", "too many pages wait")
        self._queue.put_nowait(page)

    def _run(self) -> None:
        while (page := self._queue.get()) is not None:
            self._deliver(page)

    def _deliver(self, page: Page) -> None:
        pause: float = self._pause
        error = ""
        for _ in range(ATTEMPTS):
            try:
                self._send(page)
            except Exception as raised:  # noqa: BLE001 - whatever it is, the page was not taken
                error = f"{type(raised).__name__}: {raised}"[:300]
            else:
                self._taken(page)
                return
            if self._stopping.wait(pause * random.uniform(0.5, 1.0)):  # noqa: S311 - jitter
                break
            pause = min(LONGEST_PAUSE, 2 * pause)
        self._give_up("error", error, page)

    def _taken(self, page: Page) -> None:
        self.sent += 1
        if page.action == "trigger":
            self._open.add(page.key)
        else:
            self._open.discard(page.key)
        try:
            _save(self._state, self._open)
        except OSError as error:
            log.warning("open incidents could not be written down", error=repr(error))

    def _give_up(self, reason: str, error: str, page: Page | None = None) -> None:
        self.dropped += 1
        self._instrumentation.instruments.dropped("subscriber", reason)
        key = page.key if page else None
        log.error("page given up", key=key, reason=reason, error=error)


def pagerduty(
    routing_key: str, *, url: str | None = None, grafana: str | None = None, timeout: int = 10
) -> Sender:
    """Return what sends pages to PagerDuty's Events API v2.

    Args:
        routing_key: Integration key of the PagerDuty service.
        url: Base address of the API, where it is not PagerDuty's own.
        grafana: Base address of Grafana; then pages link to dashboard, runbook and trace.
        timeout: Seconds that a request takes at most.

    Raises:
        ModuleNotFoundError: The package ``pagerduty`` is not installed; the text says what to do.
    """
    try:
        from pagerduty import EventsApiV2Client  # noqa: PLC0415 - an optional extra
    except ModuleNotFoundError as error:
        raise ModuleNotFoundError(
            "pages need the package pagerduty; run: pip install 'charter-otel[pagerduty]'"
        ) from error

    def send(page: Page) -> None:
        client = EventsApiV2Client(routing_key, base_url=url)
        client.timeout = timeout
        client.max_network_attempts = 0  # `Pager` tries again, and can be stopped meanwhile
        client.retry.clear()
        # Pages are rare; a connection that stays open would be a dead one when it is needed.
        with contextlib.closing(client):
            if page.action == "resolve":
                client.resolve(page.key)
            else:
                client.trigger(**_event(page, grafana))

    return send


def _event(page: Page, grafana: str | None) -> dict[str, Any]:
    return {
        "summary": page.summary[:1024],
        "source": page.source,
        "dedup_key": page.key[:255],
        "severity": page.severity,
        "custom_details": {**page.details, "correlation_id": page.correlation_id},
        "links": links(page, grafana) if grafana else None,
    }


def links(page: Page, grafana: str) -> list[dict[str, str]]:
    """Return the links of a page: dashboard, runbook, and trace where there is one."""
    given = [
        {"text": "Dashboard", "href": f"{grafana}/d/charter-incidents"},
        {"text": "Runbook", "href": f"{grafana}/public/runbooks/{_runbook(page.key)}.md"},
    ]
    if page.correlation_id:
        given.append({"text": "Trace", "href": _trace(page.correlation_id, grafana)})
    return given


def _runbook(key: str) -> str:
    _, kind, *rest = key.split("/")
    condition = rest[-1] if len(rest) > 1 else ""
    return _RUNBOOKS[kind, condition]


def _trace(trace_id: str, grafana: str) -> str:
    source = {"type": "tempo", "uid": "charter-tempo"}
    query: dict[str, Any] = {
        "refId": "A",
        "datasource": source,
        "queryType": "traceql",
        "query": trace_id,
    }
    pane = {
        "datasource": "charter-tempo",
        "queries": [query],
        "range": {"from": "now-6h", "to": "now"},
    }
    panes = json.dumps({"charter": pane}, separators=(",", ":"))
    return f"{grafana}/explore?schemaVersion=1&panes={quote(panes)}"


def _load(state: Path | None) -> set[str]:
    if state is None:
        return set()
    try:
        return {str(key) for key in json.loads(state.read_text(encoding="utf-8"))}
    except (OSError, ValueError):
        return set()


def _save(state: Path | None, keys: set[str]) -> None:
    if state is None:
        return
    state.parent.mkdir(parents=True, exist_ok=True)
    draft = state.with_suffix(".new")
    draft.write_text(json.dumps(sorted(keys)), encoding="utf-8")
    draft.replace(state)
