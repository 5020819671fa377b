"""The rules that the values of the standard `OTEL_*` variables follow."""

import os
from collections.abc import Callable
from importlib import import_module
from importlib.metadata import entry_points
from pathlib import Path
from typing import NamedTuple
from urllib.parse import urlsplit

_SAMPLERS = (
    "always_on",
    "always_off",
    "traceidratio",
    "parentbased_always_on",
    "parentbased_always_off",
    "parentbased_traceidratio",
)


class Rule(NamedTuple):
    """The rule that the values of some variables follow."""

    names: tuple[str, ...]
    is_right: Callable[[str], bool]
    right: str


def _is_limit(text: str) -> bool:
    return text.lower() == "unset" or (text.isascii() and text.isdigit())


def _is_boolean(text: str) -> bool:
    return text.lower() in ("true", "false")


def _is_file(text: str) -> bool:
    return os.access(text, os.R_OK) and Path(text).is_file()


def _are_pairs(text: str) -> bool:
    pairs = [pair.strip() for pair in text.split(",") if pair.strip()]
    return bool(pairs) and all(pair.partition("=")[0].strip() and "=" in pair for pair in pairs)


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


def _are_status_codes(text: str) -> bool:
    known = import_module("grpc").StatusCode.__members__  # on demand, for it is large
    return all(code.strip().upper() in known for code in text.split(","))


def _installed(group: str, *more: str) -> Callable[[str], bool]:
    """Return the check that each name of a list is one of the installed components."""

    def are_installed(text: str) -> bool:
        known = {*entry_points(group=f"opentelemetry_{group}").names, *more}
        return all(name.strip() in known for name in text.split(","))

    return are_installed


_OTLP = tuple(f"OTEL_EXPORTER_OTLP_{part}" for part in ("", "TRACES_", "METRICS_", "LOGS_"))
_PROTOCOLS = tuple(f"{prefix}PROTOCOL" for prefix in _OTLP)

_CREDENTIAL_PROVIDERS = tuple(
    f"OTEL_PYTHON_EXPORTER_OTLP_{transport}_{part}CREDENTIAL_PROVIDER"
    for transport in ("HTTP", "GRPC")
    for part in ("", "TRACES_", "METRICS_", "LOGS_")
)

_FILES = ("CERTIFICATE", "CLIENT_KEY", "CLIENT_CERTIFICATE")
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
UNUSED = frozenset(
    {
        "OTEL_LOG_LEVEL",
        "OTEL_EXPORTER_ZIPKIN_ENDPOINT",
        "OTEL_EXPORTER_ZIPKIN_TIMEOUT",
        "OTEL_EXPORTER_PROMETHEUS_HOST",
        "OTEL_EXPORTER_PROMETHEUS_PORT",
        "OTEL_PYTHON_ID_GENERATOR",
        "OTEL_PYTHON_LOGGING_AUTO_INSTRUMENTATION_ENABLED",
        "OTEL_PYTHON_TRACER_CONFIGURATOR",
        "OTEL_PYTHON_METER_CONFIGURATOR",
        "OTEL_PYTHON_LOGGER_CONFIGURATOR",
    }
)
"""Variables of the standard and of the SDK that have no effect on the service."""


def _one_of(name: str, *values: str) -> Rule:
    return Rule(
        (name,),
        lambda text: text.lower() in values,
        f"{', '.join(values[:-1])} or {values[-1]}",
    )


RULES = (
    Rule(
        tuple(f"{prefix}ENDPOINT" for prefix in _OTLP),
        _is_endpoint,
        "an address such as http://127.0.0.1:4318",
    ),
    Rule(
        tuple(f"{prefix}TIMEOUT" for prefix in _OTLP),
        _is_positive,
        "a number of milliseconds, or of seconds where it is below 100",
    ),
    Rule(
        tuple(f"{prefix}{part}" for prefix in _OTLP for part in _FILES),
        _is_file,
        "the path of a file that can be read",
    ),
    Rule(
        (*(f"{prefix}HEADERS" for prefix in _OTLP), "OTEL_RESOURCE_ATTRIBUTES"),
        _are_pairs,
        "name=value pairs separated by commas",
    ),
    Rule(
        (
            "OTEL_SDK_DISABLED",
            "OTEL_PYTHON_SDK_INTERNAL_METRICS_ENABLED",
            *(f"{prefix}INSECURE" for prefix in _OTLP),
        ),
        _is_boolean,
        "true or false",
    ),
    Rule(tuple(f"OTEL_{limit}_LIMIT" for limit in _LIMITS), _is_limit, "a whole number or unset"),
    _one_of(
        "OTEL_EXPORTER_OTLP_METRICS_TEMPORALITY_PREFERENCE", "cumulative", "delta", "lowmemory"
    ),
    _one_of(
        "OTEL_EXPORTER_OTLP_METRICS_DEFAULT_HISTOGRAM_AGGREGATION",
        "explicit_bucket_histogram",
        "base2_exponential_bucket_histogram",
    ),
    Rule(
        ("OTEL_METRICS_EXEMPLAR_FILTER",),
        lambda text: text in {"always_on", "always_off", "trace_based"},
        "always_on, always_off or trace_based",
    ),
    Rule(
        ("OTEL_EXPERIMENTAL_CONFIG_FILE",),
        lambda _: False,
        "OTEL_CONFIG_FILE, as the variable is called since it is stable",
    ),
    Rule(
        ("OTEL_METRIC_EXPORT_INTERVAL", "OTEL_METRIC_EXPORT_TIMEOUT"),
        _is_positive,
        "a number of milliseconds above 0",
    ),
    Rule(
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
    _one_of("OTEL_TRACES_SAMPLER", *_SAMPLERS),
    Rule(("OTEL_TRACES_SAMPLER_ARG",), _is_ratio, "a number from 0 to 1"),
    Rule(
        ("OTEL_PROPAGATORS",),
        _installed("propagator", "none"),
        "names of installed propagators separated by commas, e.g. tracecontext,baggage",
    ),
    Rule(
        ("OTEL_EXPERIMENTAL_RESOURCE_DETECTORS",),
        _installed("resource_detector", "*"),
        "names of installed resource detectors separated by commas, e.g. host,process",
    ),
    Rule(
        _CREDENTIAL_PROVIDERS,
        _installed("otlp_credential_provider"),
        "the name of an installed credential provider",
    ),
    Rule(
        ("OTEL_PYTHON_EXPORTER_OTLP_GRPC_RETRYABLE_ERROR_CODES",),
        _are_status_codes,
        "names of gRPC status codes separated by commas, e.g. UNAVAILABLE,ABORTED",
    ),
    *(
        Rule((f"OTEL_PYTHON_{name.upper()}",), _installed(name), "the name of an installed one")
        for name in ("context", "tracer_provider", "meter_provider", "logger_provider")
    ),
)
"""The rules of the variables that the service follows, beside those of `exporters`."""
