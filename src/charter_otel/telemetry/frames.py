"""The frames of robots and their answers: readings, pings, tokens; acknowledgements, errors."""

import re
from collections.abc import Mapping, Sequence
from typing import Annotated, Any, Literal, NamedTuple

import msgspec
from msgspec import UNSET, Meta, Struct, UnsetType

Percent = Annotated[float, Meta(ge=0, le=100)]

MAX_READINGS = 1_000
"""Readings that a list holds at most."""

PONG = '{"type":"pong"}'
"""The answer to a ping."""

UnixSeconds = Annotated[float, Meta(ge=0, lt=1e11)]
"""A time in milliseconds is greater since 1973; in seconds the limit is the year 5138."""


class Frame(Struct, frozen=True, kw_only=True, gc=False):
    """A reading. Unknown fields are ignored."""

    cpu_usage: Annotated[Percent, Meta(description="CPU usage, in percent.")]
    memory_usage: Annotated[Percent, Meta(description="Memory usage, in percent.")]
    network_latency_ms: Annotated[
        float, Meta(ge=0, description="Network latency that the robot measures, in milliseconds.")
    ]
    battery_percentage: Annotated[
        Percent,
        Meta(description="Charge of the battery, in percent; 100 from a robot without a battery."),
    ]
    timestamp: Annotated[
        UnixSeconds | None,
        Meta(
            description="Time of the reading, in Unix seconds of the robot's clock; the time of "
            "arrival where it is missing."
        ),
    ] = None


class Ping(Struct, frozen=True, gc=False):
    """A ping that asks for an answer: ``{"type": "ping"}``."""

    type: Literal["ping"] = "ping"


PING = Ping()


class NewToken(Struct, frozen=True, gc=False):
    """A token that replaces the one of the handshake: ``{"type": "token", "token": "…"}``."""

    type: Literal["token"]
    token: Annotated[str, Meta(description="The robot's new token.")]


class ReadingList(NamedTuple):
    """A list of readings, of which some may be refused."""

    taken: Sequence[Frame]
    refused: Mapping[int, str]
    """Why, by the index in the list."""


class BadFrame(NamedTuple):
    """The reason why a frame changes nothing; ``code`` is one of ``charter.frame.outcome``."""

    code: Literal[
        "invalid_json",
        "invalid_reading",
        "invalid_token",
        "unknown_type",
        "message_too_big",
        "rate_limited",
    ]
    detail: str


Parsed = Frame | ReadingList | Ping | NewToken | BadFrame


def parse(data: str | bytes) -> Parsed:
    """Read a frame. Never raises, whatever a robot sends."""
    try:
        return _FRAME.decode(data)
    except msgspec.ValidationError as error:
        return _parse_other(data, error)
    except (msgspec.DecodeError, UnicodeError, RecursionError) as error:
        return _not_json(error)


def ack(count: int) -> str:
    """Return the acknowledgement of the reading number ``count`` of the connection."""
    return f'{{"type":"ack","n":{count}}}'


def ack_list(count: int, outcomes: Mapping[str, int], refused: Mapping[int, str]) -> str:
    """Return the acknowledgement of a list.

    Args:
        count: Readings that the connection has carried so far.
        outcomes: How many of the list are new, skewed or late.
        refused: Why readings are refused, by their index.
    """
    new = outcomes.get("new", 0) + outcomes.get("skewed", 0)
    answer = {"type": "ack", "n": count, "new": new, "late": outcomes.get("late", 0)}
    answer |= {"refused": len(refused)}
    if refused:
        answer |= {"refused_at": [*refused], "detail": next(iter(refused.values()))}
    return _ENCODER.encode(answer).decode()


def renewed(expires_at: float | None) -> str:
    """Return the answer to a new token: the end of its validity, in Unix seconds."""
    return _ENCODER.encode({"type": "token", "expires_at": expires_at}).decode()


def error(bad: BadFrame) -> str:
    """Return the answer to a bad frame."""
    return _ENCODER.encode({"error": bad._asdict()}).decode()


def refused(readings: ReadingList) -> str:
    """Return a text that says how many readings of a list are refused, and why the first one is."""
    reasons = readings.refused
    index, reason = next(iter(reasons.items()))
    whole = len(readings.taken) + len(reasons)
    return f"{len(reasons)} of {whole} readings are refused; the first, at [{index}]: {reason}"


class _Outline(Struct):
    """The parts of a reading in a frame that is not a valid one."""

    type: Any = UNSET
    cpu_usage: Any = UNSET
    memory_usage: Any = UNSET
    network_latency_ms: Any = UNSET
    battery_percentage: Any = UNSET

    @property
    def is_reading(self) -> bool:
        """Whether it was meant as a reading: it has a part of one, or no type."""
        values = (self.cpu_usage, self.memory_usage, self.network_latency_ms)
        present = (*values, self.battery_percentage) != (UNSET,) * 4
        return present or isinstance(self.type, UnsetType)


def _parse_other(data: str | bytes, problem: msgspec.ValidationError) -> Parsed:
    """Read a frame that is JSON but not a reading."""
    try:
        is_list = data.lstrip()[:1] in {"[", b"["}
        return _parse_list(data) if is_list else _parse_typed(data, problem)
    except msgspec.ValidationError as error:
        return BadFrame("invalid_reading", _in_words(error))
    except (msgspec.DecodeError, UnicodeError, RecursionError) as error:
        return _not_json(error)


def _parse_typed(data: str | bytes, problem: msgspec.ValidationError) -> Parsed:
    outline = _OUTLINE.decode(data)
    if outline.type == "ping":
        return PING
    if outline.type == "token":
        return _parse_token(data)
    if outline.is_reading:
        return BadFrame("invalid_reading", _in_words(problem))
    shown = _ENCODER.encode(outline.type).decode()[:_SHOWN]
    return BadFrame(
        "unknown_type",
        f'type: {shown} is unknown; a reading has no type, other frames have "ping" or "token"',
    )


def _parse_list(data: str | bytes) -> Parsed:
    try:
        readings, items = _FRAMES.decode(data), None
    except msgspec.ValidationError:
        readings, items = [], _RAW.decode(data)
    if not 0 < len(readings if items is None else items) <= MAX_READINGS:
        return BadFrame("invalid_reading", f"a list has from 1 to {MAX_READINGS} readings")
    refused: dict[int, str] = {}
    for index, item in enumerate(items or ()):
        try:
            readings.append(_FRAME.decode(item))
        except msgspec.ValidationError as error:
            refused[index] = _in_words(error)
    return ReadingList(readings, refused)


def _parse_token(data: str | bytes) -> Parsed:
    try:
        return _TOKEN.decode(data)
    except msgspec.ValidationError as error:
        return BadFrame("invalid_token", _in_words(error))


def _not_json(error: Exception) -> BadFrame:
    reason = str(error).removeprefix("JSON is malformed: ")
    return BadFrame("invalid_json", f"the frame is not JSON: {reason}")


def _in_words(problem: msgspec.ValidationError) -> str:
    """Return a description of the fault, in the terms of JSON."""
    reason, _, path = str(problem).partition(" - at `$")
    field = path.rstrip("`").lstrip(".")
    if missing := _MISSING.fullmatch(reason):
        return f"{missing[1]}: the field is missing"
    if wrong := _WRONG_KIND.fullmatch(reason):
        kinds = [_KINDS.get(kind, kind) for kind in wrong.groups()]
        reason = f"expected {kinds[0]}, got {kinds[1]}"
    elif field in _RIGHT:
        reason = f"expected {_RIGHT[field]}"
    return f"{field}: {reason}" if field else reason


_SHOWN = 40
_MISSING = re.compile(r"Object missing required field `(\w+)`")
_WRONG_KIND = re.compile(r"Expected `([^`]+)`, got `(\w+)`")
_KINDS = {
    "float": "a number",
    "float | null": "a number",
    "int": "a number",
    "str": "a string",
    "bool": "true or false",
    "array": "an array",
    "object": "an object",
}
_RIGHT = {
    "cpu_usage": "a number from 0 to 100",
    "memory_usage": "a number from 0 to 100",
    "battery_percentage": "a number from 0 to 100",
    "network_latency_ms": "a number from 0",
    "timestamp": "Unix seconds; a time in milliseconds is to be divided by 1000",
}

_FRAME = msgspec.json.Decoder(Frame)
_FRAMES = msgspec.json.Decoder(list[Frame])
_RAW = msgspec.json.Decoder(list[msgspec.Raw])
_OUTLINE = msgspec.json.Decoder(_Outline)
_TOKEN = msgspec.json.Decoder(NewToken)
_ENCODER = msgspec.json.Encoder()
