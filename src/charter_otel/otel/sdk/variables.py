"""The standard `OTEL_*` variables, checked at the start.

If a value is wrong, the SDK itself goes on with its default, and its warning names no variable;
some values it refuses with a traceback. An error at the start is better.
"""

import os

from charter_otel.otel.sdk import declarative, exporters
from charter_otel.otel.sdk.rules import RULES, UNUSED

_HTTP_COMPRESSIONS = ("gzip", "deflate", "none")
_GRPC_COMPRESSIONS = ("gzip",)
DEFAULT_QUEUE = 2048
"""Items that a queue of the SDK holds, unless a variable says otherwise."""

_SIGNALS: tuple[exporters.Signal, ...] = ("traces", "metrics", "logs")


def unused() -> list[str]:
    """Return the standard variables that are set, but that the service does not follow."""
    return sorted(name for name in os.environ if name in UNUSED and os.environ[name].strip())


def check() -> None:
    """Check the variables that the service follows; one that is empty counts as not set.

    With `OTEL_CONFIG_FILE`, the file says everything, and the other variables nothing.

    Raises:
        ValueError: A value is wrong. The text names the variable, the value and the rule.
    """
    if declarative.path():
        declarative.check()
        return
    for rule in RULES:
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
            f"{exporters.source(signal, 'COMPRESSION')}={compression!r} is wrong for {signal} over "
            f"{'grpc' if grpc else 'http/protobuf'}: use {' or '.join(known)}"
        )


def _check_client_certificate(signal: exporters.Signal) -> None:
    key = exporters.variable(signal, "CLIENT_KEY")
    if key and not exporters.variable(signal, "CLIENT_CERTIFICATE"):
        raise ValueError(
            f"{exporters.source(signal, 'CLIENT_KEY')}={key!r} is wrong alone: use it together "
            "with OTEL_EXPORTER_OTLP_CLIENT_CERTIFICATE"
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
