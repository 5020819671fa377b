"""The standard `OTEL_*` variables, checked at the start.

The SDK itself goes on with its default where a value is wrong, and its warning names no variable;
some values it refuses with a traceback. A service that starts is better told at once.
"""

import os
from collections.abc import Callable
from importlib.metadata import entry_points
from typing import NamedTuple
from urllib.parse import urlsplit

from charter_otel.otel.sdk import exporters

_SAMPLERS = (
    "always_on",
    "always_off",
    "traceidratio",
    "parentbased_always_on",
    "parentbased_always_off",
    "parentbased_traceidratio",
)
_SIGNALS: tuple[exporters.Signal, ...] = ("traces", "metrics", "logs")


class _Rule(NamedTuple):
    """What is right for some variables."""

    names: tuple[str, ...]
    is_right: Callable[[str], bool]
    right: str


def check() -> None:
    """Check the variables that the service follows; one that is empty counts as not set.

    Raises:
        ValueError: A value is wrong. The text names the variable, the value and what is right.
    """
    for rule in _RULES:
        for name in rule.names:
            value = os.environ.get(name, "").strip()
            if value and not rule.is_right(value):
                # An address may hold a password before its '@'.
                shown = "***" if "@" in value else repr(value)
                raise ValueError(f"{name}={shown} is wrong: use {rule.right}")
    for signal in _SIGNALS:
        exporters.check(signal)


def _is_whole(text: str) -> bool:
    return text.isascii() and text.isdigit() and int(text) > 0


def _is_positive(text: str) -> bool:
    try:
        return 0 < float(text) < float("inf")
    except ValueError:
        return False


def _is_ratio(text: str) -> bool:
    try:
        return 0 <= float(text) <= 1
    except ValueError:
        return False


def _is_endpoint(text: str) -> bool:
    if "://" not in text and "grpc" in map(os.environ.get, _PROTOCOLS):
        text = f"http://{text}"  # gRPC's exporter takes host:port too
    try:
        parts = urlsplit(text)
        return parts.scheme in ("http", "https") and bool(parts.hostname) and parts.port != 0
    except ValueError:
        return False


def _are_propagators(text: str) -> bool:
    known = {point.name for point in entry_points(group="opentelemetry_propagator")} | {"none"}
    return all(name.strip() in known for name in text.split(","))


_OTLP = tuple(f"OTEL_EXPORTER_OTLP_{part}" for part in ("", "TRACES_", "METRICS_", "LOGS_"))
_PROTOCOLS = tuple(f"{prefix}PROTOCOL" for prefix in _OTLP)

_RULES = (
    _Rule(
        tuple(f"{prefix}ENDPOINT" for prefix in _OTLP),
        _is_endpoint,
        "an address such as http://127.0.0.1:4318",
    ),
    _Rule(tuple(f"{prefix}TIMEOUT" for prefix in _OTLP), _is_positive, "a number of seconds"),
    _Rule(
        ("OTEL_METRIC_EXPORT_INTERVAL", "OTEL_METRIC_EXPORT_TIMEOUT"),
        _is_positive,
        "a number of milliseconds above 0",
    ),
    _Rule(
        tuple(
            f"OTEL_{processor}_{part}"
            for processor in ("BSP", "BLRP")
            for part in ("SCHEDULE_DELAY", "EXPORT_TIMEOUT", "MAX_QUEUE_SIZE")
        ),
        _is_whole,
        "a whole number above 0",
    ),
    _Rule(
        ("OTEL_TRACES_SAMPLER",),
        lambda text: text.lower() in _SAMPLERS,
        f"{', '.join(_SAMPLERS[:-1])} or {_SAMPLERS[-1]}",
    ),
    _Rule(("OTEL_TRACES_SAMPLER_ARG",), _is_ratio, "a number from 0 to 1"),
    _Rule(
        ("OTEL_PROPAGATORS",),
        _are_propagators,
        "names of installed propagators separated by commas, e.g. tracecontext,baggage",
    ),
)
