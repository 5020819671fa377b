"""The audit log: append-only, hash-chained, fsynced before an event is acknowledged."""

from charter_otel.consumers.audit.chain import FIRST, Row
from charter_otel.consumers.audit.consumer import Audit
from charter_otel.consumers.audit.log import CONTINUED, AuditLog
from charter_otel.consumers.audit.segments import AuditLogError
from charter_otel.consumers.audit.verification import Break, Verification, verify

__all__ = [
    "CONTINUED",
    "FIRST",
    "Audit",
    "AuditLog",
    "AuditLogError",
    "Break",
    "Row",
    "Verification",
    "verify",
]
