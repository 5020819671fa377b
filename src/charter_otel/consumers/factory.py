"""Consumers by name, for the command line and the environment."""

from pathlib import Path
from typing import Literal, get_args

from charter_otel.consumers.alerts import Alerts, Pager, pagerduty
from charter_otel.consumers.analytics import Analytics
from charter_otel.consumers.audit import Audit
from charter_otel.consumers.base import Consumer
from charter_otel.consumers.status import Status
from charter_otel.otel import Instrumentation
from charter_otel.thresholds import Thresholds

ConsumerName = Literal["status", "analytics", "audit", "alerts"]
"""The names of all consumers."""
NAMES = get_args(ConsumerName)


def make(
    name: str,
    *,
    state_dir: Path,
    pagerduty_routing_key: str | None = None,
    pagerduty_url: str | None = None,
    grafana_url: str | None = None,
    thresholds: Thresholds | None = None,
    instrumentation: Instrumentation | None = None,
) -> Consumer:
    """Make a consumer.

    Args:
        name: One of `NAMES`.
        state_dir: Where the audit log (``audit/``) and the open incidents (``incidents.json``) lie.
        pagerduty_routing_key: Integration key of the PagerDuty service; *alerts* needs it.
        pagerduty_url: Base address of the Events API, if it is not PagerDuty's own.
        grafana_url: Base address of Grafana, for the links of pages.
        thresholds: The limits beyond which something is an incident.
        instrumentation: Where consumers count pages that they give up.

    Raises:
        ValueError: There is no such consumer, or *alerts* has no routing key.
        ModuleNotFoundError: *alerts* needs the extra ``pagerduty``.
    """
    match name:
        case "status":
            return Status()
        case "analytics":
            return Analytics()
        case "audit":
            return Audit(state_dir / "audit", instrumentation=instrumentation)
        case "alerts" if pagerduty_routing_key:
            send = pagerduty(pagerduty_routing_key, url=pagerduty_url, grafana=grafana_url)
            pager = Pager(send, instrumentation=instrumentation)
            return Alerts(pager, state=state_dir / "incidents.json", thresholds=thresholds)
        case "alerts":
            raise ValueError("the consumer alerts needs CHARTER_PAGERDUTY_ROUTING_KEY")
        case _:
            raise ValueError(f"{name!r} is not a consumer; there are {', '.join(NAMES)}")
