"""The trace context that a request's headers carry."""

from collections.abc import Iterable
from functools import cache
from typing import NamedTuple

import structlog
from opentelemetry import propagate
from opentelemetry.context import Context
from opentelemetry.propagators.textmap import TextMapPropagator
from opentelemetry.trace import Link, SpanKind, get_current_span

log = structlog.get_logger(__name__)

RawHeaders = Iterable[tuple[bytes, bytes]]
"""Headers as ASGI has them, with lower-case names."""


def parent(headers: RawHeaders, base: Context | None = None) -> Context | None:
    """Return the context that the headers carry, or ``base`` if they carry none.

    Only the fields that the global propagator reads are decoded.

    Args:
        headers: The request's headers.
        base: The context to extend; None stands for the current one.
    """
    propagator = propagate.get_global_textmap()
    fields = _fields(propagator)
    carrier: dict[str, list[str]] = {}
    size: dict[bytes, int] = {}
    for name, value in headers:
        size[name] = size.get(name, 0) + len(value)
        if name in fields and size[name] <= MOST_BYTES.get(name, 512):
            carrier.setdefault(name.decode("latin-1"), []).append(value.decode("latin-1"))
    return propagator.extract(carrier, base) if carrier else base


MOST_BYTES = {b"tracestate": 512, b"baggage": 8_192}
"""Bytes that are accepted of a trace context's headers: the minimum that W3C asks for."""


class Parent(NamedTuple):
    """The parent context and the kind of a request's span."""

    context: Context | None
    """None stands for the current one."""
    kind: SpanKind


def parent_of_request(headers: RawHeaders, base: Context | None = None) -> Parent:
    """Return the parent of a request's span: the program's own current span, or the headers.

    If another instrumentation has made a SERVER span already, ours is an INTERNAL one.
    The first time that this happens, a line in the log says so.
    """
    span = get_current_span()
    context = span.get_span_context()
    if not context.is_valid or context.is_remote or getattr(span, "end_time", None) is not None:
        return Parent(parent(headers, base), SpanKind.SERVER)
    if getattr(span, "kind", None) is not SpanKind.SERVER:
        return Parent(None, SpanKind.SERVER)
    _say_once(getattr(getattr(span, "instrumentation_scope", None), "name", "another library"))
    return Parent(None, SpanKind.INTERNAL)


class Origin(NamedTuple):
    """The place where a request's span begins."""

    context: Context | None
    links: list[Link]


def origin(parent: Parent, *, trusted: bool) -> Origin:
    """Return where the span begins: only a trusted request writes into the trace that it names.

    Any other one is a trace of its own, with a link to the one that it named.
    """
    if trusted or parent.context is None:
        return Origin(parent.context, [])
    named = get_current_span(parent.context).get_span_context()
    return Origin(Context(), [Link(named)] if named.is_valid else [])


@cache
def _say_once(name: str) -> None:
    log.warning(
        "two instrumentations trace each request; leave the HTTP instrumentation out, or take the "
        "plugin's routes out of it: it makes a span of each frame of a WebSocket",
        instrumentation=name,
    )


@cache
def _fields(propagator: TextMapPropagator) -> frozenset[bytes]:
    return frozenset(field.lower().encode() for field in propagator.fields)
