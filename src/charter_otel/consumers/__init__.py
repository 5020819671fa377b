"""Consumers of events: status, analytics, audit, alerts. Each takes an event stream."""

from charter_otel.consumers.alerts import Alerts
from charter_otel.consumers.analytics import Analytics
from charter_otel.consumers.audit import Audit
from charter_otel.consumers.base import Consumer
from charter_otel.consumers.factory import NAMES, make
from charter_otel.consumers.status import Status

__all__ = ["NAMES", "Alerts", "Analytics", "Audit", "Consumer", "Status", "make"]
