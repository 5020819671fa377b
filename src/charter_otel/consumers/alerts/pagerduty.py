"""PagerDuty's Events API v2, and the links of a page."""

import contextlib
import json
from typing import Any
from urllib.parse import quote

from charter_otel.consumers.alerts.page import Page
from charter_otel.consumers.alerts.pager import PageRefused, Sender

_REFUSALS = frozenset({400, 413, 414, 415, 422})
"""Statuses that mean that the page is wrong; after any other one, a retry may succeed."""


def pagerduty(
    routing_key: str, *, url: str | None = None, grafana: str | None = None, timeout: int = 10
) -> Sender:
    """Return the function that sends pages to PagerDuty's Events API v2.

    Args:
        routing_key: Integration key of the PagerDuty service.
        url: Base address of the API, if it is not PagerDuty's own.
        grafana: Base address of Grafana; then pages link to dashboard, runbook and trace.
        timeout: Most seconds that a request takes.

    Raises:
        ModuleNotFoundError: The package ``pagerduty`` is not installed; the text says what to do.
    """
    try:
        from pagerduty import EventsApiV2Client, HttpError  # noqa: PLC0415 - an optional extra
    except ModuleNotFoundError as error:
        raise ModuleNotFoundError(
            "pages need the package pagerduty; run: pip install 'charter-otel[pagerduty]'"
        ) from error

    def send(page: Page) -> None:
        client = EventsApiV2Client(routing_key, base_url=url)
        client.timeout = timeout
        client.max_network_attempts = 0  # `Pager` tries again, and can be stopped meanwhile
        client.retry.clear()
        # Pages are rare; a connection that stays open would be dead when it is needed.
        with contextlib.closing(client):
            try:
                if page.action == "resolve":
                    client.resolve(page.key)
                else:
                    client.trigger(**_event(page, grafana))
            except HttpError as error:
                if getattr(error.response, "status_code", None) in _REFUSALS:
                    raise PageRefused(str(error)[:300]) from error
                raise

    return send


def links(page: Page, grafana: str) -> list[dict[str, str]]:
    """Return the links of a page: dashboard, runbook, and trace if there is one."""
    given = [{"text": "Dashboard", "href": f"{grafana}/d/charter-incidents"}]
    if page.runbook:
        runbook = f"{grafana}/public/runbooks/{page.runbook}.md"
        given.append({"text": "Runbook", "href": runbook})
    if page.correlation_id:
        given.append({"text": "Trace", "href": _trace(page.correlation_id, grafana)})
    return given


def _event(page: Page, grafana: str | None) -> dict[str, Any]:
    return {
        "summary": page.summary[:1024],
        "source": page.source,
        "dedup_key": page.key,
        "severity": page.severity,
        "custom_details": {**page.details, "correlation_id": page.correlation_id},
        "links": links(page, grafana) if grafana else None,
    }


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
