"""The trace context that a request's headers carry."""

from collections.abc import Iterable
from functools import cache

from opentelemetry import propagate
from opentelemetry.context import Context
from opentelemetry.propagators.textmap import TextMapPropagator

RawHeaders = Iterable[tuple[bytes, bytes]]
"""Headers as ASGI has them, with lower-case names."""


def parent(headers: RawHeaders, base: Context | None = None) -> Context | None:
    """Return the context that the headers carry, or ``base`` where they carry none.

    Only the fields that the global propagator reads are decoded.

    Args:
        headers: The request's.
        base: The context; None stands for the current one.
    """
    propagator = propagate.get_global_textmap()
    fields = _fields(propagator)
    carrier: dict[str, list[str]] = {}
    for name, value in headers:
        if name in fields:
            carrier.setdefault(name.decode("latin-1"), []).append(value.decode("latin-1"))
    return propagator.extract(carrier, base) if carrier else base


@cache
def _fields(propagator: TextMapPropagator) -> frozenset[bytes]:
    return frozenset(field.lower().encode() for field in propagator.fields)
