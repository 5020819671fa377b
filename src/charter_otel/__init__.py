"""Charter v1.0 events of a robot fleet, as OpenTelemetry sees them and on an event stream.

`emit` brings an event to every sink; `connect` gives an event stream; `CharterPlugin` puts the
whole service into a Litestar application, and only it imports Litestar.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

from charter_otel.charter import (
    CATALOG,
    Event,
    InvalidEvent,
    decode,
    encode,
    event_type,
    json_schema,
)
from charter_otel.charter import (
    create as create_event,
)
from charter_otel.charter import (
    validate as validate_event,
)
from charter_otel.emit import Emitter, emit, get_emitter, set_emitter
from charter_otel.otel import (
    EventToSpanEventBridge,
    Instrumentation,
    Providers,
    configure_logs,
)
from charter_otel.otel import (
    build as build_providers,
)
from charter_otel.streams import (
    EventStream,
    MemoryStream,
    StreamUnavailable,
    connect,
    register_scheme,
)

if TYPE_CHECKING:
    from charter_otel.charter import CloseReason, EventType
    from charter_otel.consumers import Consumer
    from charter_otel.consumers.base import Follower
    from charter_otel.metrics import Job
    from charter_otel.service.plugin import CharterPlugin
    from charter_otel.service.settings import SettingError, Settings

    __version__: str

__all__ = [
    "CATALOG",
    "CharterPlugin",
    "CloseReason",
    "Consumer",
    "Emitter",
    "Event",
    "EventStream",
    "EventToSpanEventBridge",
    "EventType",
    "Follower",
    "Instrumentation",
    "InvalidEvent",
    "Job",
    "MemoryStream",
    "Providers",
    "SettingError",
    "Settings",
    "StreamUnavailable",
    "__version__",
    "build_providers",
    "configure_logs",
    "connect",
    "create_event",
    "decode",
    "emit",
    "encode",
    "event_type",
    "get_emitter",
    "json_schema",
    "register_scheme",
    "set_emitter",
    "validate_event",
]


_LATER = {
    "CharterPlugin": "charter_otel.service.plugin",
    "CloseReason": "charter_otel.charter",
    "Consumer": "charter_otel.consumers",
    "EventType": "charter_otel.charter",
    "Follower": "charter_otel.consumers.base",
    "Job": "charter_otel.metrics",
    "SettingError": "charter_otel.service.settings",
    "Settings": "charter_otel.service.settings",
}
"""Name → module, for names whose import loads more than emitting needs.

Two are enumerations of text: `help` of the package would begin with all the methods of `str`.
"""


_RENAMED = {"build": "build_providers", "create": "create_event", "validate": "validate_event"}
"""Earlier name → present name."""


def __getattr__(name: str) -> Any:
    """Import a name that only some programs need, on first access (PEP 562)."""
    if name == "__version__":
        return import_module("importlib.metadata").version("charter-otel")
    if name in _RENAMED:
        return globals()[_RENAMED[name]]
    if module := _LATER.get(name):
        return getattr(import_module(module), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
