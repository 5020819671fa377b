"""Incidents straight from the stream to PagerDuty, for installations without Alertmanager."""

from charter_otel.consumers.alerts.consumer import Alerts
from charter_otel.consumers.alerts.incidents import Incidents
from charter_otel.consumers.alerts.page import Page, key_of
from charter_otel.consumers.alerts.page_queue import PageQueue
from charter_otel.consumers.alerts.pager import Pager, PageRefused, Sender
from charter_otel.consumers.alerts.pagerduty import pagerduty

__all__ = [
    "Alerts",
    "Incidents",
    "Page",
    "PageQueue",
    "PageRefused",
    "Pager",
    "Sender",
    "key_of",
    "pagerduty",
]
