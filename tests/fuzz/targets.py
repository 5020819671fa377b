"""Fuzz targets: each takes any bytes and asserts the properties that its callers rely on.

An input that makes one of these raise is a finding. Keep it as `crashes/<target>/<name>`: the
ordinary tests replay those.
"""

import json
import re
import time
from collections import Counter
from collections.abc import Callable
from contextlib import suppress

import jwt
from litestar.exceptions import ValidationException

from charter_otel.charter import InvalidEvent, decode, encode
from charter_otel.metrics.missions.counting import MissionCounter
from charter_otel.metrics.router import _parse
from charter_otel.redis.address import parse_address
from charter_otel.service.events import _event_id, _types
from charter_otel.service.settings import SettingError, Settings, load
from charter_otel.streams.redis.layout import parse
from charter_otel.telemetry import BadFrame, Frame, Gateway, Ping, frames
from charter_otel.telemetry.admission import Admitted, HandshakeRefusal, HandshakeRequest, admit
from charter_otel.telemetry.frames import MAX_READINGS, NewToken, ReadingList
from charter_otel.tokens import AUDIENCE, InvalidToken, Token, verify
from fuzz.mutated import GOOD, Connection

SECRET = "s" * 32

Target = Callable[[bytes], None]


def frame(data: bytes) -> None:
    """A robot's frame is readings within their bounds, a ping, a token, or gets an error."""
    for form in (data, data.decode("utf-8", "replace")):
        parsed = frames.parse(form)
        if isinstance(parsed, Frame):
            _reading(parsed)
        elif isinstance(parsed, ReadingList):
            assert 0 < len(parsed.taken) + len(parsed.refused) <= MAX_READINGS
            for reading in parsed.taken:
                _reading(reading)
            assert len(frames.ack_list(1, {}, parsed.refused)) < 10_000
        elif isinstance(parsed, BadFrame):
            assert json.loads(frames.error(parsed))["error"]["code"] == parsed.code
            assert len(frames.error(parsed)) < 1_000
        else:
            assert isinstance(parsed, Ping | NewToken)


def wire(data: bytes) -> None:
    """A robot's bytes are frames or a reason to close, in whatever pieces they come."""
    cut = data[-1] if data else 0
    whole, pieces = Counter[str](), Counter[str]()
    Connection(whole).feed(data)
    connection = Connection(pieces)
    if connection.feed(data[:cut]):
        connection.feed(data[cut:])
    assert pieces == whole


def _reading(reading: Frame) -> None:
    percentages = (reading.cpu_usage, reading.memory_usage, reading.battery_percentage)
    assert all(0 <= value <= 100 for value in percentages)
    assert 0 <= reading.network_latency_ms < float("inf")
    assert reading.timestamp is None or 0 <= reading.timestamp < 1e11


def envelope(data: bytes) -> None:
    """An envelope is an event that survives being written and read, or it is invalid."""
    with suppress(InvalidEvent):
        event = decode(data)
        assert decode(encode(event)) == event


def entry(data: bytes) -> None:
    """A stream's entry is an event with a well-formed trace context or none, or it is invalid."""
    traceparent, _, event = data.partition(b"\n")
    with suppress(InvalidEvent):
        content = parse({b"event": event, b"traceparent": traceparent})
        assert content.traceparent is None or len(content.traceparent) == 55


def mission(data: bytes) -> None:
    """Entries that the route takes, the job counts; others are a client's mistake."""
    counter = MissionCounter(now=1.0)
    counter.add([data])
    totals = counter.aggregates().totals
    assert totals.entries_processed + sum(totals.malformed.values()) == 1
    try:
        entries = _parse(data)
    except ValidationException as error:
        assert "\n" not in error.detail
        return
    single = not data.lstrip().startswith(b"[")
    assert all(one.mission_id and one.status for one in entries)
    assert not single or totals.entries_processed == 1


def token(data: bytes) -> None:
    """Bytes are not a token; signed claims are one whose expiry lies ahead, or they are invalid."""
    text = data.decode("latin-1")
    with suppress(InvalidToken):
        assert not verify([SECRET], text)
    with suppress(InvalidToken, ValueError, TypeError, RecursionError):
        claims = json.loads(data)
        signed = jwt.encode({"aud": AUDIENCE, **claims}, SECRET, "HS256")
        _check(signed)


def _check(signed: str) -> None:
    try:
        accepted = verify([SECRET], signed)
    except InvalidToken as error:
        assert signed not in str(error)
    except Exception as error:
        raise AssertionError(f"{signed} raises {error!r}") from error
    else:
        assert isinstance(accepted, Token)
        assert accepted.expires_at > time.time() - 1


def handshake(data: bytes) -> None:
    """Any handshake is admitted or refused; without a token it is refused."""
    robot_id, origin, authorization, *offered = [*data.decode("latin-1").split("\n"), "", "", ""]
    headers = {"origin": origin, "authorization": authorization, "host": "h"}
    request = HandshakeRequest(robot_id, headers, offered, origin)
    assert isinstance(admit(Gateway(secrets=(SECRET,)), request), HandshakeRefusal)
    admitted = admit(Gateway(), request)
    if isinstance(admitted, Admitted):
        assert admitted.subprotocol in {None, *offered}
        assert admitted.expires_at is None


def setting(data: bytes) -> None:
    """A variable is right, or the error names it on one line and never shows a secret."""
    text = data.decode("utf-8", "surrogateescape").replace("\x00", "")
    guessable = len(text) < 8 or text in repr(Settings())
    for field in Settings.__struct_fields__:
        variable = f"CHARTER_{field.upper()}"
        try:
            settings = load({variable: text})
        except SettingError as error:
            assert str(error).startswith(variable)
            assert len(str(error).splitlines()) == 1
            assert "secret" not in field or guessable or text not in str(error)
        else:
            assert "secret" not in field or guessable or text not in repr(settings)


def address(data: bytes) -> None:
    """A stream's address is right, or the error is a ValueError without the password."""
    text = data.decode("utf-8", "surrogateescape")
    for scheme in ("", "redis://", "redis://user:pass-word-4711@", "unix://"):
        try:
            shown = repr(parse_address(scheme + text))
        except ValueError as error:
            shown = str(error)
        assert "pass-word-4711" not in shown


def resumption(data: bytes) -> None:
    """The id and the types that a reader asks for are right, or the client's error.

    So is what `Last-Event-ID`, `after` and `type` hold.
    """
    text = data.decode("latin-1")
    with suppress(ValidationException):
        begin = _event_id("after", text)
        assert begin is None or begin.startswith("evt_")
    with suppress(ValidationException):
        assert all(map(re.compile(r"[a-z0-9_.]*\*?").fullmatch, _types([text]).patterns))


TARGETS: dict[str, Target] = {
    target.__name__: target
    for target in (
        frame,
        wire,
        envelope,
        entry,
        mission,
        token,
        handshake,
        setting,
        address,
        resumption,
    )
}

READING = (
    b'{"cpu_usage":45.2,"memory_usage":62.8,"network_latency_ms":12.5,"battery_percentage":78.0}'
)
EVENT = (
    b'{"id":"evt_telemetry_1700000000000_abc123","type":"telemetry.connection_established",'
    b'"source":"telemetry_service","target":null,"timestamp":1700000000.0,"payload":{"robot_id":'
    b'"robot_001","connection_id":"ws_robot_001_1700000000","connected_at":1700000000.0},'
    b'"meta":{"correlation_id":null,"version":"1.0"}}'
)
SEEDS: dict[str, list[bytes]] = {
    "frame": [READING, b'{"type":"ping"}', READING[:-1] + b',"timestamp":1700000000.5}'],
    "wire": [*GOOD, b"".join(GOOD)],
    "envelope": [EVENT],
    "entry": [b"00-" + b"a" * 32 + b"-" + b"b" * 16 + b"-01\n" + EVENT],
    "mission": [
        b'{"mission_id":"m","status":"completed","robot_id":"r","duration_ms":1.5,"timestamp":1}',
        b'[{"mission_id":"m","status":"failed"}]',
    ],
    "token": [b'{"sub":"robot_1","exp":9999999999,"scope":"read write","iat":1,"nbf":1}'],
    "handshake": [b"robot_1\nhttp://h\nBearer a.b.c\nbearer.a.b.c\ncharter.v1"],
    "setting": [b"30", b"true", b"memory://", b"https://a.example, https://b.example:8443"],
    "resumption": [
        b"evt_telemetry_1700000000000_abc123",
        b"telemetry.*,metrics.aggregation_failed",
    ],
    "address": [b"127.0.0.1:6379/0?prefix={charter}", b"/run/redis.sock?db=1"],
}
"""Inputs with which the search begins."""
