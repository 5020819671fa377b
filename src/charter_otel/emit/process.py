"""`emit`, and the specification's seams: how a module finds the emitter and its stream."""

from collections.abc import Callable, Mapping
from typing import Any, Protocol, cast

from msgspec import UNSET, UnsetType

from charter_otel.charter import Event
from charter_otel.emit.emitter import Emitter
from charter_otel.emit.typed import Emit
from charter_otel.seams import Seam, in_scope
from charter_otel.streams import EventStream
from charter_otel.streams.foreign import ForeignStream

AnyStream = EventStream | ForeignStream
SetEventStream = Callable[[AnyStream | None], None]


class EmitEvent(Protocol):
    """The specification's helper, as `event_seam` gives it."""

    async def __call__(self, event_type: str, payload: Mapping[str, Any]) -> None:
        """Emit an event; never raise."""


_emitter = Seam(Emitter())


def get_emitter() -> Emitter:
    """Return the emitter that `emit` and the modules use: the running app's, or the process's."""
    return _emitter.get()


def set_emitter(emitter: Emitter) -> None:
    """Replace the emitter of `emit` and of the modules; the service does so at its start."""
    _emitter.set(emitter)


def _emit(
    event: object, payload: object = None, *, stream: EventStream | UnsetType | None = UNSET
) -> Event | None:
    """Emit an event; never raise.

    Inside an app with the plugin, and in the service, the app's event stream gets it too.

    Args:
        event: An event type; or, without a payload, an object of the class that declares one.
        payload: The type's fields, as a mapping or as an object of the payload's class.
        stream: Where the event is published instead of the app's stream; None for nowhere.

    Returns:
        The event, or None if the payload breaks the contract.
    """
    return _emitter.get().emit(event, payload, stream=stream)


_emit.__name__ = _emit.__qualname__ = "emit"
emit: Emit = cast("Emit", _emit)


def event_seam(module: dict[str, Any]) -> tuple[SetEventStream, EmitEvent]:
    """Return a module's ``set_event_stream`` and ``_emit_event_safe``, the specification's seams.

    Both work on that module's own ``_event_stream`` global, so a test may replace it like any
    other attribute, and the next event sees the change.

    Args:
        module: The module's ``globals()``.
    """
    scoped: Seam[AnyStream | UnsetType | None] = Seam(UNSET)
    """The stream of an app that runs beside the app that owns the module's stream."""

    def set_event_stream(stream: AnyStream | None) -> None:
        """Publish this module's events to ``stream``, or nowhere if it is None."""
        if in_scope():
            scoped.set(stream)
        else:
            module["_event_stream"] = stream

    async def emit_event_safe(event_type: str, payload: Mapping[str, Any]) -> None:
        """Emit an event; never raise, and wait only for a foreign stream, 0.25 s at most."""
        stream = scoped.get()
        if stream is UNSET:
            stream = module["_event_stream"]
        if stream is None or isinstance(stream, EventStream):
            _emitter.get().emit(event_type, payload, stream=stream)
        else:
            await _emitter.get().emit_to_foreign(event_type, payload, stream)

    return set_event_stream, emit_event_safe
