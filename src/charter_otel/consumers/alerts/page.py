"""What is sent to PagerDuty."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal

Severity = Literal["warning", "critical"]


@dataclass(frozen=True, kw_only=True)
class Page:
    """One event of PagerDuty's Events API v2.

    Source: https://developer.pagerduty.com/docs/events-api-v2-overview
    """

    action: Literal["trigger", "resolve"]
    key: str
    """Deduplication key: pages with the same key are one incident."""
    severity: Severity = "warning"
    summary: str = ""
    source: str = "charter-otel"
    details: Mapping[str, str | float | None] = field(default_factory=dict)
    correlation_id: str | None = None
    """Trace id, for the page's link."""


def resolve(key: str) -> Page:
    """Return the page that ends an incident."""
    return Page(action="resolve", key=key)
