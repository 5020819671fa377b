"""What robots send and what they get back: readings, pings, acknowledgements, errors."""

from typing import Annotated, Literal, NamedTuple

import msgspec
from msgspec import Meta, Struct

Percent = Annotated[float, Meta(ge=0, le=100)]

PONG = '{"type":"pong"}'
"""The answer to a ping."""


class Frame(Struct, frozen=True, kw_only=True, gc=False):
    """A reading. Unknown fields are ignored."""

    cpu_usage: Annotated[Percent, Meta(description="CPU usage, in percent.")]
    memory_usage: Annotated[Percent, Meta(description="Memory usage, in percent.")]
    network_latency_ms: Annotated[
        float, Meta(ge=0, description="Network latency that the robot measures, in milliseconds.")
    ]
    battery_percentage: Annotated[Percent, Meta(description="Charge of the battery, in percent.")]
    timestamp: Annotated[
        float | None, Meta(description="Time of the reading, in Unix seconds of the robot's clock.")
    ] = None


class Ping(Struct, frozen=True, gc=False):
    """A sign of life that asks for one: ``{"type": "ping"}``."""

    type: Literal["ping"]


class BadFrame(NamedTuple):
    """Why a frame changes nothing; ``code`` is one of ``charter.frame.outcome``."""

    code: Literal["invalid_json", "invalid_reading", "message_too_big", "rate_limited"]
    detail: str


def parse(data: str | bytes) -> Frame | Ping | BadFrame:
    """Read a frame. Never raises for what a robot may send."""
    try:
        return _FRAME.decode(data)
    except msgspec.ValidationError as error:
        return _ping(data) or BadFrame("invalid_reading", _in_words(error))
    except (msgspec.DecodeError, UnicodeError, RecursionError) as error:
        return BadFrame("invalid_json", f"the frame is not JSON: {error}")


def ack(count: int) -> str:
    """Return the acknowledgement of the reading number ``count`` of the connection."""
    return f'{{"type":"ack","n":{count}}}'


def error(bad: BadFrame) -> str:
    """Return the answer to a bad frame."""
    return _ENCODER.encode({"error": bad._asdict()}).decode()


def _ping(data: str | bytes) -> Ping | None:
    try:
        return _PING.decode(data)
    except (msgspec.DecodeError, UnicodeError, RecursionError):
        return None


def _in_words(problem: msgspec.ValidationError) -> str:
    reason, _, path = str(problem).partition(" - at `$.")
    return f"{path.rstrip('`')}: {reason}" if path else reason


_FRAME = msgspec.json.Decoder(Frame)
_PING = msgspec.json.Decoder(Ping)
_ENCODER = msgspec.json.Encoder()
