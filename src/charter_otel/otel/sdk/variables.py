"""The standard `OTEL_*` variables, checked at the start.

If a value is wrong, the SDK itself goes on with its default, and its warning names no variable;
some values it refuses with a traceback. An error at the start is better.
"""

import os
from collections.abc import Callable
from importlib.metadata import entry_points
from pathlib import Path
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
DEFAULT_QUEUE = 2048
"""Items that a queue of the SDK holds, unless a variable says otherwise."""

_SIGNALS: tuple[exporters.Signal, ...] = ("traces", "metrics", "logs")


class _Rule(NamedTuple):
    """The rule that the values of some variables follow."""

    names: tuple[str, ...]
    is_right: Callable[[str], bool]
    right: str


def unused() -> list[str]:
    """Return the standard variables that are set, but that the service does not follow."""
    return sorted(name for name in os.environ if name in _UNUSED and os.environ[name].strip())


def check() -> None:
    """Check the variables that the service follows; one that is empty counts as not set.

    Raises:
        ValueError: A value is wrong. The text names the variable, the value and the rule.
    """
    for rule in _RULES:
        for name in rule.names:
            value = os.environ.get(name, "").strip()
            if value and not rule.is_right(value):
                # An address may hold a password before its '@', a header may be a key.
                shown = "***" if "@" in value or name.endswith("HEADERS") else repr(value)
                raise ValueError(f"{name}={shown} is wrong: use {rule.right}")
    for signal in _SIGNALS:
        exporters.check(signal)
        _check_compression(signal)
        _check_client_certificate(signal)
    for processor in ("BSP", "BLRP"):
        _check_batch(processor)


def _check_compression(signal: exporters.Signal) -> None:
    compression = exporters.variable(signal, "COMPRESSION").lower()
    grpc = exporters.variable(signal, "PROTOCOL") == "grpc"
    known = _GRPC_COMPRESSIONS if grpc else _HTTP_COMPRESSIONS
    if compression and compression not in known:
        raise ValueError(
            f"OTEL_EXPORTER_OTLP_COMPRESSION={compression!r} is wrong for {signal} over "
            f"{'grpc' if grpc else 'http/protobuf'}: use {' or '.join(known)}"
        )


def _check_client_certificate(signal: exporters.Signal) -> None:
    key = exporters.variable(signal, "CLIENT_KEY")
    if key and not exporters.variable(signal, "CLIENT_CERTIFICATE"):
        raise ValueError(
            f"OTEL_EXPORTER_OTLP_CLIENT_KEY={key!r} is wrong alone: use it together with "
            "OTEL_EXPORTER_OTLP_CLIENT_CERTIFICATE"
        )


def _check_batch(processor: str) -> None:
    """Refuse a queue that cannot hold a batch; the SDK's own error names no variable."""
    batch = os.environ.get(f"OTEL_{processor}_MAX_EXPORT_BATCH_SIZE", "").strip()
    queue = os.environ.get(f"OTEL_{processor}_MAX_QUEUE_SIZE", "").strip()
    if batch and int(batch) > int(queue or DEFAULT_QUEUE):
        raise ValueError(
            f"OTEL_{processor}_MAX_EXPORT_BATCH_SIZE={batch!r} is wrong: use a number up to "
            f"OTEL_{processor}_MAX_QUEUE_SIZE, which is {queue or DEFAULT_QUEUE}"
        )


def _is_limit(text: str) -> bool:
    return text.lower() == "unset" or (text.isascii() and text.isdigit())


def _is_boolean(text: str) -> bool:
    return text.lower() in ("true", "false")


def _is_file(text: str) -> bool:
    return os.access(text, os.R_OK) and Path(text).is_file()


def _are_pairs(text: str) -> bool:
    pairs = [pair.strip() for pair in text.split(",") if pair.strip()]
    return bool(pairs) and all(pair.partition("=")[0].strip() and "=" in pair for pair in pairs)


def _never(_: str) -> bool:
    return False


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

_FILES = ("CERTIFICATE", "CLIENT_KEY", "CLIENT_CERTIFICATE")
_HTTP_COMPRESSIONS = ("gzip", "deflate", "none")
_GRPC_COMPRESSIONS = ("gzip",)
_LIMITS = (
    "ATTRIBUTE_COUNT",
    "ATTRIBUTE_VALUE_LENGTH",
    "EVENT_ATTRIBUTE_COUNT",
    "LINK_ATTRIBUTE_COUNT",
    "LOGRECORD_ATTRIBUTE_COUNT",
    "LOGRECORD_ATTRIBUTE_VALUE_LENGTH",
    "SPAN_ATTRIBUTE_COUNT",
    "SPAN_ATTRIBUTE_VALUE_LENGTH",
    "SPAN_EVENT_COUNT",
    "SPAN_LINK_COUNT",
)
_UNUSED = frozenset(
    {
        "OTEL_LOG_LEVEL",
        "OTEL_EXPORTER_ZIPKIN_ENDPOINT",
        "OTEL_EXPORTER_ZIPKIN_TIMEOUT",
        "OTEL_EXPORTER_PROMETHEUS_HOST",
        "OTEL_EXPORTER_PROMETHEUS_PORT",
        "OTEL_PYTHON_TRACER_CONFIGURATOR",
        "OTEL_PYTHON_METER_CONFIGURATOR",
        "OTEL_PYTHON_LOGGER_CONFIGURATOR",
    }
)


def _one_of(name: str, *values: str) -> _Rule:
    return _Rule(
        (name,),
        lambda text: text.lower() in values,
        f"{', '.join(values[:-1])} or {values[-1]}",
    )


_RULES = (
    _Rule(
        tuple(f"{prefix}ENDPOINT" for prefix in _OTLP),
        _is_endpoint,
        "an address such as http://127.0.0.1:4318",
    ),
    _Rule(
        tuple(f"{prefix}TIMEOUT" for prefix in _OTLP),
        _is_positive,
        "a number of milliseconds, or of seconds where it is below 100",
    ),
    _Rule(
        tuple(f"{prefix}{part}" for prefix in _OTLP for part in _FILES),
        _is_file,
        "the path of a file that can be read",
    ),
    _Rule(
        (*(f"{prefix}HEADERS" for prefix in _OTLP), "OTEL_RESOURCE_ATTRIBUTES"),
        _are_pairs,
        "name=value pairs separated by commas",
    ),
    _Rule(
        ("OTEL_SDK_DISABLED", *(f"{prefix}INSECURE" for prefix in _OTLP)),
        _is_boolean,
        "true or false",
    ),
    _Rule(tuple(f"OTEL_{limit}_LIMIT" for limit in _LIMITS), _is_limit, "a whole number or unset"),
    _one_of(
        "OTEL_EXPORTER_OTLP_METRICS_TEMPORALITY_PREFERENCE", "cumulative", "delta", "lowmemory"
    ),
    _one_of(
        "OTEL_EXPORTER_OTLP_METRICS_DEFAULT_HISTOGRAM_AGGREGATION",
        "explicit_bucket_histogram",
        "base2_exponential_bucket_histogram",
    ),
    _Rule(
        ("OTEL_METRICS_EXEMPLAR_FILTER",),
        lambda text: text in {"always_on", "always_off", "trace_based"},
        "always_on, always_off or trace_based",
    ),
    _Rule(
        ("OTEL_CONFIG_FILE", "OTEL_EXPERIMENTAL_CONFIG_FILE"),
        _never,
        "the variables OTEL_EXPORTER_OTLP_ENDPOINT and so on, or set the SDK up in a program with "
        "CharterPlugin; the service reads no declarative configuration",
    ),
    _Rule(
        ("OTEL_METRIC_EXPORT_INTERVAL", "OTEL_METRIC_EXPORT_TIMEOUT"),
        _is_positive,
        "a number of milliseconds above 0",
    ),
    _Rule(
        tuple(
            f"OTEL_{processor}_{part}"
            for processor in ("BSP", "BLRP")
            for part in (
                "SCHEDULE_DELAY",
                "EXPORT_TIMEOUT",
                "MAX_QUEUE_SIZE",
                "MAX_EXPORT_BATCH_SIZE",
            )
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
