"""JSON Schema says the same as `decode`, for those who do not have `decode`."""

import json
from typing import Any

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st
from jsonschema import Draft202012Validator

from charter_otel.charter import InvalidEvent, create, decode, encode, json_schema
from support.events import EXAMPLES, PAYLOADS, correlation_ids, timestamps_ns, typed_payloads

SCHEMA = json_schema()
VALIDATOR = Draft202012Validator(SCHEMA)

ENVELOPE_VALUES: st.SearchStrategy[Any] = st.sampled_from(
    [None, "", "x", 0, -1, 1.5, True, [], {}, "metrics_service", "metrics.aggregation_failed"]
)
PAYLOAD_VALUES: st.SearchStrategy[Any] = st.sampled_from(
    [None, "", "x", "a" * 129, -1, 0, 50, 100.1, 2**53, True, [], {}, "r/1", "server_lost"]
)


def decodes(document: Any) -> bool:
    """Return whether `decode` takes the document."""
    try:
        decode(json.dumps(document))
    except InvalidEvent:
        return False
    return True


def test_is_a_schema() -> None:
    """The document is valid JSON Schema 2020-12, and survives JSON."""
    Draft202012Validator.check_schema(json.loads(json.dumps(SCHEMA)))


@pytest.mark.parametrize("event_type", EXAMPLES)
def test_accepts_the_examples(event_type: str) -> None:
    """The specification's examples are valid, each as its own type."""
    VALIDATOR.validate(EXAMPLES[event_type])
    own = {"$ref": f"#/$defs/{event_type}", "$defs": SCHEMA["$defs"]}
    Draft202012Validator(own).validate(EXAMPLES[event_type])


@given(typed_payloads, correlation_ids, timestamps_ns)
def test_accepts_every_event(
    typed: tuple[str, dict[str, Any]], correlation_id: str | None, now: int
) -> None:
    """Any event that `create` makes is valid."""
    event = create(*typed, correlation_id=correlation_id, timestamp_ns=now)
    VALIDATOR.validate(json.loads(encode(event)))


@given(st.sampled_from(list(EXAMPLES)), st.data())
def test_agrees_with_decode_on_the_envelope(event_type: str, data: st.DataObject) -> None:
    """With any field of the envelope changed, missing or added, both give the same answer."""
    document = dict(EXAMPLES[event_type])
    name = data.draw(st.sampled_from([*document, "more"]))
    if data.draw(st.booleans()):
        document.pop(name, None)
    else:
        document[name] = data.draw(ENVELOPE_VALUES)
    assert VALIDATOR.is_valid(document) == decodes(document)


@given(st.sampled_from(list(EXAMPLES)), st.data())
def test_agrees_with_decode_on_the_payload(event_type: str, data: st.DataObject) -> None:
    """With any field of the payload changed, missing or added, both give the same answer."""
    payload = dict(PAYLOADS[event_type])
    name = data.draw(st.sampled_from([*payload, "more"]))
    if data.draw(st.booleans()):
        payload.pop(name, None)
    else:
        payload[name] = data.draw(PAYLOAD_VALUES)
        # The schema lists the reasons; a reader takes those of a newer version, too.
        assume(name != "reason" or not isinstance(payload[name], str))
    document = EXAMPLES[event_type] | {"payload": payload}
    assert VALIDATOR.is_valid(document) == decodes(document)


@given(
    st.fixed_dictionaries(
        {},
        optional={
            "correlation_id": st.sampled_from([None, "0" * 32, "0" * 31, "G" * 32, 1]),
            "version": st.sampled_from(["1.0", "1.1", 1.0, None]),
            "more": st.sampled_from([None, "x", 1]),
        },
    )
)
def test_agrees_with_decode_on_meta(meta: dict[str, Any]) -> None:
    """`meta` is exactly its two fields, for both."""
    document = EXAMPLES["metrics.aggregation_started"] | {"meta": meta}
    assert VALIDATOR.is_valid(document) == decodes(document)


def test_patterns_are_portable() -> None:
    """No pattern has Python's own end of text, which other dialects read as a letter."""
    text = json.dumps(json_schema())
    assert "\\\\Z" not in text
    assert text.count('"pattern"') >= 9
