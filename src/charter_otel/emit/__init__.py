"""One event to its five sinks, and how modules find the emitter that does it."""

from charter_otel.emit.emitter import Emission, EmitStatistics, Emitter, Sink
from charter_otel.emit.process import (
    AnyStream,
    EmitEvent,
    SetEventStream,
    emit,
    event_seam,
    get_emitter,
    set_emitter,
)

__all__ = [
    "AnyStream",
    "Emission",
    "EmitEvent",
    "EmitStatistics",
    "Emitter",
    "SetEventStream",
    "Sink",
    "emit",
    "event_seam",
    "get_emitter",
    "set_emitter",
]
