"""The last finished spans in memory, to look at one trace without a trace store."""

from collections import deque
from collections.abc import Iterator

from opentelemetry import trace
from opentelemetry.sdk.trace import ReadableSpan, SpanProcessor, TracerProvider

from charter_otel.otel.instrumentation import Instrumentation


class RecentSpans(SpanProcessor):
    """Keeps the spans that ended last.

    Args:
        capacity: How many spans it keeps; the oldest are dropped.
    """

    def __init__(self, capacity: int) -> None:
        self.capacity = capacity
        self._spans: deque[ReadableSpan] = deque(maxlen=capacity)

    def join(self, instrumentation: Instrumentation) -> None:
        """Keep the spans of a provider that the program has set up itself.

        The SDK cannot remove a processor from a provider again.
        """
        provider = instrumentation.tracer_provider or trace.get_tracer_provider()
        if isinstance(provider, TracerProvider):
            provider.add_span_processor(self)

    def on_end(self, span: ReadableSpan) -> None:
        """Keep a span; nothing is copied until a caller asks for it."""
        self._spans.append(span)

    def shutdown(self) -> None:
        """Forget the spans."""
        self._spans.clear()

    def trace(self, trace_id: int) -> list[ReadableSpan]:
        """Return the spans of a trace and those that link to it, oldest first.

        A checkpoint of a long connection is a trace of its own, and so is the handling of an event.
        Both link to the trace that they belong to.
        """
        found = [span for span in list(self._spans) if trace_id in _traces(span)]
        return sorted(found, key=lambda span: span.start_time or 0)


def _traces(span: ReadableSpan) -> Iterator[int]:
    if span.context is not None:
        yield span.context.trace_id
    for link in span.links:
        yield link.context.trace_id
