"""A page, as it is sent to PagerDuty."""

from collections.abc import Mapping
from hashlib import sha256
from typing import Any, Literal

from msgspec import Struct, field

Severity = Literal["warning", "critical"]

MOST_BYTES = 255
"""Most bytes of a deduplication key; PagerDuty refuses longer ones."""


class Page(Struct, frozen=True, kw_only=True):
    """One event of PagerDuty's Events API v2.

    Source: https://developer.pagerduty.com/docs/events-api-v2-overview
    """

    action: Literal["trigger", "resolve"]
    key: str
    """Deduplication key: pages with the same key are one incident. See `key_of`."""
    severity: Severity = "warning"
    summary: str = ""
    source: str = "charter-otel"
    runbook: str = ""
    """The runbook's name, for the page's link."""
    details: Mapping[str, Any] = field(default_factory=dict)
    correlation_id: str | None = None
    """Trace id, for the page's link."""


def key_of(*parts: str) -> str:
    """Return the deduplication key of an incident, the same for its trigger and its resolve.

    Parts stay distinct whatever they hold, e.g. a job's id with a slash. A key that would be too
    long ends in a digest of the whole one.
    """
    escaped = (part.replace("%", "%25").replace("/", "%2F") for part in parts)
    key = "/".join(("charter", *escaped))
    if len(key.encode(errors="replace")) <= MOST_BYTES:
        return key
    digest = sha256(key.encode(errors="replace")).hexdigest()[:16]
    kept = key.encode(errors="replace")[: MOST_BYTES - len(digest) - 1].decode(errors="ignore")
    return f"{kept}~{digest}"


def resolve(key: str) -> Page:
    """Return the page that ends an incident."""
    return Page(action="resolve", key=key)
