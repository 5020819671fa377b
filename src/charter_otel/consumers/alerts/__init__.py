"""Incidents straight from the stream to PagerDuty, for those who run no Alertmanager."""

from charter_otel.consumers.alerts.consumer import Alerts
from charter_otel.consumers.alerts.incidents import Incidents
from charter_otel.consumers.alerts.page import Page
from charter_otel.consumers.alerts.pager import Pager, Sender, pagerduty

__all__ = ["Alerts", "Incidents", "Page", "Pager", "Sender", "pagerduty"]
