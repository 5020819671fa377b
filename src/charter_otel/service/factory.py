"""Makes the parts of the service that the settings and the program ask for."""

import logging
from collections.abc import Sequence
from typing import Any

import structlog
from opentelemetry import metrics, trace
from opentelemetry._logs import get_logger_provider
from opentelemetry.sdk._logs import LoggerProvider
from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.trace import TracerProvider

from charter_otel.consumers import Consumer, make
from charter_otel.metrics import Job
from charter_otel.open_files import affordable_connections
from charter_otel.otel import Instrumentation
from charter_otel.service.settings import SettingError, Settings
from charter_otel.telemetry import Fleet, Gateway, HandshakeRate, Limits
from charter_otel.telemetry.labels import AllowedLabels
from charter_otel.tokens import SHORT_SECRET, is_short

_NOT_OWN = ("charter_otel.", "litestar.")
"""Modules of handlers that the program did not choose."""

log = structlog.get_logger(__name__)


def make_gateway(settings: Settings) -> Gateway:
    """Return the robots' gateway."""
    labels = AllowedLabels(settings.robot_labels)
    return Gateway(
        limits=_limits(settings),
        metrics_published=settings.metrics_published,
        fleet=Fleet(thresholds=settings.thresholds, labels=labels),
        handshakes=HandshakeRate(settings.max_handshakes_per_second),
        labels=labels,
        allowed_origins=frozenset(settings.allowed_origins),
        secrets=settings.secrets,
    )


def _limits(settings: Settings) -> Limits:
    return Limits(
        max_frame_bytes=settings.max_frame_bytes,
        max_frames_per_second=settings.max_frames_per_second,
        max_readings_per_second=settings.max_readings_per_second,
        max_connections=affordable_connections(settings.max_connections),
        heartbeat_timeout=settings.heartbeat_timeout,
    )


def log_weaknesses(settings: Settings, limits: Limits) -> None:
    """Log a warning for each setting that the service cannot honour well."""
    if any(map(is_short, settings.secrets)):
        log.warning("CHARTER_AUTH_SECRET is short", use_bytes=SHORT_SECRET)
    if limits.max_connections < settings.max_connections:
        log.warning(
            "fewer connections fit into the open files than CHARTER_MAX_CONNECTIONS says; "
            "raise the limit of open files (ulimit -n, LimitNOFILE=)",
            wanted=settings.max_connections,
            connections=limits.max_connections,
        )


def make_consumers(settings: Settings, instrumentation: Instrumentation) -> list[Consumer]:
    """Return the consumers that the settings name.

    Raises:
        SettingError: A consumer lacks a setting.
    """
    if settings.consumers and settings.event_stream == "none":
        raise SettingError("CHARTER_CONSUMERS needs an event stream; CHARTER_EVENT_STREAM is none")
    try:
        return [
            make(
                name,
                state_dir=settings.state_dir,
                pagerduty_routing_key=settings.pagerduty_routing_key,
                pagerduty_url=settings.pagerduty_url,
                grafana_url=settings.grafana_url,
                thresholds=settings.thresholds,
                instrumentation=instrumentation,
            )
            for name in settings.consumers
        ]
    except (ValueError, ModuleNotFoundError) as error:
        raise SettingError(f"CHARTER_CONSUMERS: {error}") from error


def with_unique_names(jobs: Sequence[Job]) -> Sequence[Job]:
    """Return the jobs.

    Raises:
        ValueError: Two of them have one name.
    """
    names = [job.name for job in jobs]
    if twice := {name for name in names if names.count(name) > 1}:
        raise ValueError(f"two jobs are named {sorted(twice)}; give each a name of its own")
    return jobs


_NO_ERRORS = frozenset(
    {
        # A handshake that is answered with a status.
        "ASGI callable returned without completing handshake.",
        # A robot's broken frame; it closes the connection as `protocol_error`.
        "Invalid UTF-8 sequence received from client.",
    }
)


def is_an_error(record: logging.LogRecord) -> bool:
    """Return False for records that uvicorn mistakes for errors of the service."""
    return record.msg not in _NO_ERRORS


def sdk_is_set_up() -> bool:
    """Return whether the program has an OpenTelemetry SDK of its own, for one signal at least."""
    return (
        isinstance(trace.get_tracer_provider(), TracerProvider)
        or isinstance(metrics.get_meter_provider(), MeterProvider)
        or isinstance(get_logger_provider(), LoggerProvider)
    )


def has_own_logging(config: Any) -> bool:
    """Return whether the program has set up the standard library's logging.

    Args:
        config: The app's ``logging_config``; Litestar 2 makes one, Litestar 3 has none.
    """
    if config is not None and not _is_default(config):
        return True
    # From Python 3.12 on, Litestar's handler is the standard library's, with a listener of its own.
    handlers = (getattr(each, "listener", None) or each for each in logging.getLogger().handlers)
    return any(not type(each).__module__.startswith(_NOT_OWN) for each in handlers)


def _is_default(config: Any) -> bool:
    names = set(getattr(config, "__dataclass_fields__", ()))
    # Each configuration makes a function of its own for exceptions.
    names.discard("exception_logging_handler")
    default = type(config)() if names else None
    return bool(names) and all(getattr(config, n) == getattr(default, n) for n in names)
