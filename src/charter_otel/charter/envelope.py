"""The Charter v1.0 envelope: seven fields around a payload, created, checked, encoded, decoded."""

import math
import os
import random
import re
import time
from collections.abc import Mapping
from typing import Any

import msgspec

from charter_otel.charter.event_types import CATALOG, Kind, kind_of, name_of
from charter_otel.charter.fields import unknown
from charter_otel.charter.ids import is_event_type, is_id_of, is_reserved

VERSION = "1.0"
"""The Charter version that the envelope follows."""

_CORRELATION_ID = re.compile(r"[0-9a-f]{32}")


class InvalidEvent(ValueError):  # noqa: N818 - the name says what the event is
    """An event breaks the Charter; the text names the field and the correct form."""


class Event(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A Charter v1.0 event, in the field order of the specification.

    Make one with `create`, which checks it; `decode` reads one that another program wrote.
    """

    id: str
    """``evt_<module>_<milliseconds>_<random>``."""
    type: str
    """``<module>.<event>``; one of the six, or one that a program declared."""
    source: str
    """``<module>_service``."""
    target: None
    """Always None: events are broadcast."""
    timestamp: float
    """Creation time, in Unix seconds."""
    payload: dict[str, Any]
    """Fields of the event type, see `charter_otel.charter.payloads`."""
    meta: dict[str, str | None]
    """``correlation_id``, the trace id of the unit of work or None, and ``version``, "1.0"."""


def random_suffix() -> str:
    """Return the part that makes an event id unique among all instances: 48 random bits."""
    return f"{_RANDOM.getrandbits(48):012x}"


def create(
    event_type: str,
    payload: object,
    *,
    correlation_id: str | None = None,
    timestamp_ns: int | None = None,
    suffix: str | None = None,
) -> Event:
    """Make a checked event.

    Args:
        event_type: One of the catalog's types.
        payload: The type's fields, as a mapping or as an object of the payload's class. Text is
            made encodable: a lone surrogate becomes U+FFFD.
        correlation_id: Trace id of the unit of work, 32 lower-case hexadecimal digits.
        timestamp_ns: Creation time in Unix nanoseconds; now, unless given.
        suffix: Last part of the id, six or more of ``0-9a-z``; random, unless given.

    Raises:
        InvalidEvent: The type is unknown, or a field is missing, unknown, of the wrong type or
            out of range.
    """
    kind = _kind(event_type)
    now = time.time_ns() if timestamp_ns is None else timestamp_ns
    event_id = f"{kind.id_head}{now // 1_000_000:013d}_{suffix or random_suffix()}"
    _check_ids(kind.type, event_id, correlation_id)
    return Event(
        id=event_id,
        type=kind.type,
        source=kind.entry.source,
        target=None,
        timestamp=now // 1_000 / 1e6,
        payload=_conform(kind, payload),
        meta={"correlation_id": correlation_id, "version": VERSION},
    )


def encode(event: Event) -> bytes:
    """Return the event as JSON, the same bytes for every sink.

    Raises:
        InvalidEvent: A text cannot be encoded.
    """
    try:
        return _ENCODER.encode(event)
    except (UnicodeEncodeError, OverflowError, TypeError, RecursionError) as error:
        raise InvalidEvent(f"{event.type} cannot be encoded: {error}") from error


def decode(data: bytes | str) -> Event:
    """Read and check an event. Payload fields that this version does not know are kept.

    Raises:
        InvalidEvent: It is not JSON, or not a Charter v1.0 event.
    """
    try:
        event = _DECODER.decode(data)
    except (msgspec.DecodeError, UnicodeError, RecursionError) as error:
        raise InvalidEvent(f"not a Charter event: {error}") from error
    _check(event)
    return event


def validate(event: Event) -> None:
    """Check an event that a caller built by hand: types, envelope and payload.

    Raises:
        InvalidEvent: The text names the field.
    """
    try:
        msgspec.convert(msgspec.structs.asdict(event), Event)
    except msgspec.ValidationError as error:
        raise InvalidEvent(f"not a Charter event: {error}") from error
    _check(event)


def type_of(payload: object) -> str:
    """Return the event type that the class of a payload declares.

    Raises:
        InvalidEvent: It declares none.
    """
    name = name_of(payload)
    if name is None:
        raise InvalidEvent(
            f"type: {type(payload).__qualname__} declares no event type; decorate the class with "
            "@event_type('orders.order_placed'), or name the type"
        )
    return name


def _kind(event_type: str) -> Kind:
    kind = kind_of(event_type)
    if kind is None:
        known = ", ".join(CATALOG)
        raise InvalidEvent(
            f"type: {event_type!r:.100} is not a Charter event type, and none that this program "
            f"declares with @event_type; use one of {known}"
        )
    return kind


def _check(event: Event) -> None:
    _check_type(event)
    _check_envelope(event)
    _check_ids(event.type, event.id, event.meta["correlation_id"])
    kind = kind_of(event.type)
    if kind is None:
        # Declared in another process; only that process knows the payload's fields.
        _check_undeclared(event)
    else:
        _convert(kind, event.payload)


def _check_undeclared(event: Event) -> None:
    try:
        payload = msgspec.to_builtins(event.payload)
    except (TypeError, OverflowError, RecursionError) as error:
        raise InvalidEvent(f"payload: {error} ({event.type})") from error
    _make_encodable(event.type, "payload", payload)


def _check_type(event: Event) -> None:
    if not is_event_type(event.type):
        raise InvalidEvent(f"type: {event.type!r:.100} is not <module>.<event>")
    if is_reserved(event.type):
        _kind(event.type)


def _check_envelope(event: Event) -> None:
    meta = event.meta
    source = f"{event.type.partition('.')[0]}_service"
    if event.source != source:
        raise InvalidEvent(
            f"source: {event.source!r:.100} does not emit {event.type}; {source} does"
        )
    if not math.isfinite(event.timestamp) or event.timestamp < 0:
        raise InvalidEvent(f"timestamp: {event.timestamp} is not a Unix time in seconds")
    if meta.keys() != {"correlation_id", "version"}:
        raise InvalidEvent(f"meta: has {sorted(meta)}, not exactly correlation_id and version")
    if meta["version"] != VERSION:
        raise InvalidEvent(f"meta.version: {meta['version']!r:.100} is not {VERSION!r}")


def _check_ids(event_type: str, event_id: str, correlation_id: str | None) -> None:
    if not is_id_of(event_id, event_type):
        module = event_type.partition(".")[0]
        raise InvalidEvent(
            f"id: {event_id!r:.100} is not evt_{module}_<13 digits>_<6 or more of 0-9a-z>"
        )
    if correlation_id is not None and not _CORRELATION_ID.fullmatch(correlation_id):
        raise InvalidEvent("meta.correlation_id: is neither null nor 32 lower-case hex digits")


def _conform(kind: Kind, payload: object) -> dict[str, Any]:
    """Return the payload in the type's own fields, number types and order, with nothing else."""
    given = payload if isinstance(payload, Mapping) else _builtins(kind, payload)
    conformed = _convert(kind, given)
    if extra := unknown(given, kind.fields):
        raise InvalidEvent(f"payload.{extra}: {kind.type} has no such field")
    return conformed


def _builtins(kind: Kind, payload: object) -> object:
    """Return a payload object's fields; the object itself was never checked."""
    if not isinstance(payload, kind.entry.payload):
        raise InvalidEvent(
            f"payload: {type(payload).__qualname__} is not what {kind.type} carries; give a "
            f"mapping or a {kind.entry.payload.__qualname__}"
        )
    try:
        return msgspec.to_builtins(payload)
    except (TypeError, ValueError, OverflowError, RecursionError) as error:
        raise InvalidEvent(f"payload: {error} ({kind.type})") from error


def _convert(kind: Kind, payload: object) -> dict[str, Any]:
    try:
        struct = msgspec.convert(payload, kind.entry.payload)
    except (msgspec.ValidationError, OverflowError, UnicodeEncodeError, RecursionError) as error:
        reason, _, path = str(error).partition(" - at `$.")
        field = f"payload.{path.rstrip('`')}" if path else "payload"
        raise InvalidEvent(f"{field}: {reason} ({kind.type})") from error
    converted: dict[str, Any] = msgspec.to_builtins(struct)
    _make_encodable(kind.type, "payload", converted)
    return converted


def _make_encodable(event_type: str, path: str, values: dict[str, Any]) -> None:
    """Refuse numbers and replace text that JSON cannot represent."""
    for name, value in values.items():
        if isinstance(value, float):
            if not math.isfinite(value):
                raise InvalidEvent(f"{path}.{name}: {value} is not a finite number ({event_type})")
        elif isinstance(value, str):
            if not value.isascii():
                values[name] = _replace_surrogates(value)
        elif isinstance(value, dict):
            _make_encodable(event_type, f"{path}.{name}", value)
        elif isinstance(value, list):
            items = {str(at): item for at, item in enumerate(value)}
            _make_encodable(event_type, f"{path}.{name}", items)
            value[:] = items.values()


def _replace_surrogates(text: str) -> str:
    return text.encode("utf-16", "surrogatepass").decode("utf-16", "replace")


# Unique but not secret, like trace ids. A generator of its own, so that no other code seeds it;
# a forked process seeds it anew.
_RANDOM = random.Random()  # noqa: S311
os.register_at_fork(after_in_child=_RANDOM.seed)

_ENCODER = msgspec.json.Encoder()
_DECODER = msgspec.json.Decoder(Event)
