"""The AsyncAPI document: valid, and true of what travels."""

import json
from pathlib import Path
from typing import Any

import jsonschema
import pytest

from charter_otel.charter import CATALOG, CloseReason
from charter_otel.service.asyncapi import asyncapi
from charter_otel.telemetry import frames
from support.events import EXAMPLES

OFFICIAL = Path(__file__).with_name("asyncapi-3.0.0.json")
DOCUMENT = asyncapi()
READING = {
    "cpu_usage": 45.2,
    "memory_usage": 62.8,
    "battery_percentage": 78.0,
    "network_latency_ms": 12.5,
}


def test_document_is_valid_by_the_official_schema() -> None:
    """The document conforms to the AsyncAPI initiative's own JSON Schema of version 3.0.0."""
    schema = json.loads(OFFICIAL.read_text(encoding="utf-8"))
    jsonschema.Draft7Validator(schema).validate(DOCUMENT)


def test_official_schema_refuses_what_is_no_document() -> None:
    """The check above can fail: a channel with an unknown member is refused."""
    schema = json.loads(OFFICIAL.read_text(encoding="utf-8"))
    broken = {**DOCUMENT, "channels": {"robot": {"adress": "/"}}}
    assert not jsonschema.Draft7Validator(schema).is_valid(broken)


def test_every_reference_leads_somewhere() -> None:
    """No `$ref` of the document points to nothing."""
    references = list(_references(DOCUMENT))
    assert len(references) > 20
    for reference in references:
        _at(reference)


def test_both_event_channels_carry_the_six_events() -> None:
    """The Redis stream and the Server-Sent Events carry the catalog's types and no others."""
    for channel in ("eventStream", "eventSource"):
        assert list(DOCUMENT["channels"][channel]["messages"]) == [str(t) for t in CATALOG]


@pytest.mark.parametrize("event_type", [str(t) for t in CATALOG])
def test_event_messages_accept_the_examples(event_type: str) -> None:
    """Each message's payload schema accepts the specification's example of that type only."""
    validator = _validator(_at(f"#/components/messages/{event_type}")["payload"]["$ref"])
    assert [t for t, example in EXAMPLES.items() if validator.is_valid(example)] == [event_type]


@pytest.mark.parametrize(
    ("message", "frame"),
    [
        ("reading", READING),
        ("reading", {**READING, "timestamp": 1703005678.9, "unknown": 1}),
        ("ping", {"type": "ping"}),
        ("batch", [READING, {**READING, "timestamp": 1.5}]),
        ("token", {"type": "token", "token": "a.b.c"}),
        ("renewed", json.loads(frames.renewed(1703005678.9))),
        ("renewed", json.loads(frames.renewed(None))),
        ("ack", json.loads(frames.ack_list(9, {"new": 3, "late": 1}, {4: "it is wrong"}))),
        ("ack", json.loads(frames.ack_list(0, {}, {0: "it is wrong"}))),
        ("ack", json.loads(frames.ack_list(2, {"late": 2}, {}))),
        ("pong", json.loads(frames.PONG)),
        ("ack", json.loads(frames.ack(3))),
        ("error", json.loads(frames.error(frames.BadFrame("invalid_json", "it is not JSON")))),
    ],
)
def test_frame_messages_accept_what_travels(message: str, frame: Any) -> None:
    """A robot's frames and the service's real answers fit the message's schema."""
    payload = _at(f"#/channels/robot/messages/{message}")["$ref"]
    _validator(_at(payload)["payload"]["$ref"]).validate(frame)


def test_reading_schema_refuses_what_the_service_refuses() -> None:
    """A percentage above 100 breaks the schema, as it breaks the service's own check."""
    frame = {**READING, "cpu_usage": 100.1}
    assert isinstance(frames.parse(json.dumps(frame)), frames.BadFrame)
    assert not _validator("#/components/schemas/Reading").is_valid(frame)


def test_every_close_reason_is_listed() -> None:
    """The robot's channel tells each close reason, with the code that the robot sees."""
    listed = {e["reason"]: e["code"] for e in DOCUMENT["channels"]["robot"]["x-close-reasons"]}
    assert set(listed) == {reason.value for reason in CloseReason}
    assert listed["superseded"] == 4409
    assert listed["client_disconnect"] is None


def _references(node: Any) -> Any:
    if isinstance(node, dict):
        for key, value in node.items():
            if key == "$ref":
                yield value
            yield from _references(value)
    elif isinstance(node, list):
        for value in node:
            yield from _references(value)


def _at(reference: str) -> dict[str, Any]:
    node: Any = DOCUMENT
    for step in reference.removeprefix("#/").split("/"):
        node = node[step]
    assert isinstance(node, dict)
    return node


def _validator(reference: str) -> jsonschema.Draft7Validator:
    return jsonschema.Draft7Validator({**DOCUMENT, "$ref": reference})
