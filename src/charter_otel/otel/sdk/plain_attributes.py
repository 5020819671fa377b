"""Attributes of plain values as the SDK keeps them, without its look at each value.

Workaround: the SDK checks and copies values one by one, of each event twice: for the log record and
for the span event. That is a quarter of the time of `emit`. One pass over the types finds that all
values are texts, numbers and truth values, which the SDK keeps as they are. Drop it when
`BoundedAttributes` does so; 1.45 does not.
"""

from typing import Any

from opentelemetry._logs import Logger, LogRecord
from opentelemetry.attributes import BoundedAttributes
from opentelemetry.sdk._logs import ReadWriteLogRecord
from opentelemetry.sdk.trace import Event
from opentelemetry.sdk.trace import Span as SdkSpan
from opentelemetry.trace import Span
from opentelemetry.util.types import Attributes

_PLAIN = frozenset({str, bool, int, float})


def plain(
    attributes: Attributes, most: int | None, longest: int | None, *, immutable: bool
) -> BoundedAttributes | None:
    """Return attributes as the SDK keeps them; None if it has to look at them.

    Args:
        attributes: Values by names; no name is empty.
        most: The limit of their number, if there is one.
        longest: The limit of a text's length, if there is one.
        immutable: Whether nobody may change them.
    """
    if not attributes or longest is not None or not (most is None or len(attributes) <= most):
        return None
    if not _PLAIN.issuperset(map(type, attributes.values())):
        return None
    kept = BoundedAttributes(most, immutable=immutable)
    kept._dict.update(attributes)  # noqa: SLF001
    return kept


class PlainRecord(ReadWriteLogRecord):
    """A log record on its way through the processors."""

    def __post_init__(self) -> None:
        record, limits = self.log_record, self.limits
        kept = plain(
            record.attributes,
            limits.max_log_record_attributes,
            limits.max_log_record_attribute_length,
            immutable=False,
        )
        if kept is None:
            super().__post_init__()  # type: ignore[no-untyped-call]
        else:
            record.attributes = kept


def emit(logger: Logger, record: LogRecord) -> None:
    """Emit a log record."""
    sdk: Any = logger
    limits = getattr(logger, "_log_record_limits", None)
    if limits is None:  # another implementation's
        logger.emit(record)
    else:
        sdk.emit(PlainRecord(record, sdk.resource, sdk.instrumentation_scope, limits))


def add_event(span: Span, name: str, attributes: Attributes, timestamp: int | None) -> None:
    """Add an event to a span."""
    if isinstance(span, SdkSpan) and type(span).add_event is SdkSpan.add_event:
        limits = span._limits  # noqa: SLF001
        most, longest = limits.max_event_attributes, limits.max_attribute_length
        kept = plain(attributes, most, longest, immutable=True)
        if kept is not None:
            span._add_event(Event(name, kept, timestamp))  # noqa: SLF001
            return
    span.add_event(name, attributes, timestamp)
