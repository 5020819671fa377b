"""The SDK from a file of OpenTelemetry's declarative configuration, `OTEL_CONFIG_FILE`.

The SDK's own package reads the file. It knows the event to span event bridge by name, but has
none; here that name stands for ours.

Source: OpenTelemetry specification, "Declarative configuration".
"""

import atexit
import logging
import os
from collections.abc import Iterator
from contextlib import contextmanager
from importlib import import_module
from typing import Any

from opentelemetry import metrics, trace
from opentelemetry._logs import get_logger_provider

from charter_otel.otel.span_events import EventToSpanEventBridge

VARIABLE = "OTEL_CONFIG_FILE"

BRIDGE = "event_to_span_event_bridge"
"""The bridge's name among the log record processors of a file; `/development` may follow it."""

_PACKAGE = "opentelemetry.configuration"


def path() -> str:
    """Return the path of the file, or an empty text if the variable names none."""
    return os.environ.get(VARIABLE, "").strip()


def check() -> None:
    """Check the file, if the variable names one.

    Raises:
        ValueError: The file is wrong, or the package that reads it is missing.
    """
    if path():
        with _silent():
            _read()


def set_up() -> None:
    """Set the global providers and the propagator up, as the file says.

    A signal that the file leaves out keeps the API's own provider, which does nothing. The caller
    shuts the providers down: nothing is left to do so when the process ends.

    Raises:
        ValueError: The file is wrong, or names something that is not installed.
    """
    configuration = _read()
    bridges = _take_bridges(configuration)
    with _refusals():
        import_module(_PACKAGE).configure_sdk(configuration)
    logs: Any = get_logger_provider()
    for provider in (trace.get_tracer_provider(), metrics.get_meter_provider(), logs):
        # The SDK's own way would wait for a Collector that does not answer.
        atexit.unregister(getattr(provider, "shutdown", _nothing))
    if bridges and not configuration.disabled:
        logs.add_log_record_processor(EventToSpanEventBridge())


def service_name() -> str | None:
    """Return the `service.name` that the file gives, or None if it gives none."""
    resource = _read().resource if path() else None
    if resource is None:
        return None
    given = dict(pair.split("=", 1) for pair in _pairs(resource.attributes_list))
    given |= {attribute.name: attribute.value for attribute in resource.attributes or []}
    name = given.get("service.name")
    return None if name is None else str(name)


def _pairs(text: str | None) -> list[str]:
    return [pair.strip() for pair in (text or "").split(",") if "=" in pair]


def _read() -> Any:
    """Return the file's configuration."""
    with _refusals():
        return import_module(_PACKAGE).load_config_file(path())


def _take_bridges(configuration: Any) -> int:
    """Take the bridges out of the log record processors, and return how many there were."""
    provider = configuration.logger_provider
    if provider is None:
        return 0
    others = [each for each in provider.processors if not _is_bridge(each)]
    taken = len(provider.processors) - len(others)
    provider.processors = others
    return taken


def _is_bridge(processor: Any) -> bool:
    development = getattr(processor, f"{BRIDGE}_development", None)
    return development is not None or BRIDGE in processor.additional_properties


@contextmanager
def _refusals() -> Iterator[None]:
    """Turn an error about the file into one that names the variable."""
    try:
        yield
    except Exception as error:
        missing = isinstance(error, ModuleNotFoundError) and str(error.name).startswith(_PACKAGE)
        right = (
            "a package is missing; pip install 'charter-otel[file-configuration]'"
            if missing
            else f"{error}; use a file of OpenTelemetry's declarative configuration"
        )
        raise ValueError(f"{VARIABLE}={path()!r} is wrong: {right}") from error


@contextmanager
def _silent() -> Iterator[None]:
    """Let the package write no lines about an error that is raised as well."""
    logger = logging.getLogger(_PACKAGE)
    level = logger.level
    logger.setLevel(logging.CRITICAL + 1)
    try:
        yield
    finally:
        logger.setLevel(level)


def _nothing() -> None: ...
