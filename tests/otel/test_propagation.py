"""The trace context of a request's headers."""

from opentelemetry.baggage import get_all
from opentelemetry.context import Context
from opentelemetry.trace import get_current_span

from charter_otel.otel.propagation import parent

TRACEPARENT = b"00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"


def test_a_trace_context_is_taken_up_to_a_size() -> None:
    """A long tracestate or baggage is left out; the rest of the context stays."""
    short = parent([(b"traceparent", TRACEPARENT), (b"tracestate", b"a=1")], Context())
    assert get_current_span(short).get_span_context().trace_state == {"a": "1"}
    state, baggage = b"a=" + b"x" * 511, b"b=" + b"x" * 8_191
    long = parent(
        [(b"traceparent", TRACEPARENT), (b"tracestate", state), (b"baggage", baggage)], Context()
    )
    assert get_current_span(long).get_span_context().is_valid
    assert get_current_span(long).get_span_context().trace_state == {}
    assert get_all(long) == {}
