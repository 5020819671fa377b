"""Envelope and payloads: created, checked, encoded and decoded."""

import json
import re
import subprocess
import sys
from typing import Any

import pytest
from hypothesis import example as hypothesis_example
from hypothesis import given
from hypothesis import strategies as st

from charter_otel.charter import (
    CATALOG,
    CloseReason,
    Event,
    InvalidEvent,
    create,
    decode,
    encode,
    validate,
)
from support.events import EXAMPLES, PAYLOADS, correlation_ids, timestamps_ns, typed_payloads

ID = re.compile(r"^evt_(metrics|telemetry)_[0-9]{13}_[0-9a-z]{6,}$")
ENVELOPE = ["id", "type", "source", "target", "timestamp", "payload", "meta"]


def example(event_type: str, **changes: Any) -> bytes:
    """Return the specification's example of a type with fields of the envelope changed."""
    return json.dumps(EXAMPLES[event_type] | changes).encode()


def without(event_type: str, name: str) -> bytes:
    """Return the specification's example of a type with a field of the envelope missing."""
    return json.dumps({k: v for k, v in EXAMPLES[event_type].items() if k != name}).encode()


class TestExamples:
    """The six example events of the specification."""

    @pytest.mark.parametrize("event_type", EXAMPLES)
    def test_decodes_to_what_it_says(self, event_type: str) -> None:
        """An example decodes, and its fields are the ones that it shows."""
        event = decode(example(event_type))
        shown = {name: getattr(event, name) for name in ENVELOPE}
        assert shown == EXAMPLES[event_type]

    @pytest.mark.parametrize("event_type", EXAMPLES)
    def test_payload_creates_the_same_event(self, event_type: str) -> None:
        """Created at the example's time with its payload and suffix, the event is the example."""
        expected = decode(example(event_type))
        suffix = expected.id.rsplit("_", 1)[1]
        event = create(
            event_type,
            PAYLOADS[event_type],
            timestamp_ns=round(expected.timestamp * 1e6) * 1000,
            suffix=suffix,
        )
        assert event == expected

    def test_there_are_six(self) -> None:
        """The examples and the catalog hold the same six types."""
        assert EXAMPLES.keys() == CATALOG.keys()


class TestCreate:
    """Making an event."""

    @given(typed_payloads, correlation_ids, timestamps_ns)
    def test_survives_encode_and_decode_byte_for_byte(
        self, typed: tuple[str, dict[str, Any]], correlation_id: str | None, now: int
    ) -> None:
        """Any valid event decodes to itself, and encodes to the same bytes again."""
        event = create(*typed, correlation_id=correlation_id, timestamp_ns=now)
        encoded = encode(event)
        assert decode(encoded) == event
        assert encode(decode(encoded)) == encoded

    @given(typed_payloads)
    def test_envelope_is_the_specification_s(self, typed: tuple[str, dict[str, Any]]) -> None:
        """The envelope has the seven fields in their order, and a source that fits the type."""
        event_type, payload = typed
        document = json.loads(encode(create(event_type, payload)))
        module = event_type.partition(".")[0]
        assert list(document) == ENVELOPE
        assert document["source"] == f"{module}_service"
        assert document["target"] is None
        assert document["payload"] == payload
        assert document["meta"] == {"correlation_id": None, "version": "1.0"}

    def test_id_has_the_contract_s_form_and_the_event_s_time(self) -> None:
        """The id tells module and milliseconds, and matches the contract's pattern."""
        for event_type, payload in PAYLOADS.items():
            event = create(event_type, payload, timestamp_ns=1_703_001_234_567_999_999)
            assert ID.fullmatch(event.id)
            assert event.id.startswith(f"evt_{event_type.partition('.')[0]}_1703001234567_")

    def test_an_event_does_not_change(self) -> None:
        """All sinks get the same event: once it is made, none of its fields can be replaced."""
        event = decode(example("metrics.aggregation_started"))
        with pytest.raises(AttributeError, match="immutable"):
            event.timestamp = 0.0  # type: ignore[misc]

    def test_ids_are_unique_within_a_millisecond(self) -> None:
        """Ten thousand events of one millisecond have ten thousand ids."""
        payload = PAYLOADS["metrics.aggregation_started"]
        ids = {
            create("metrics.aggregation_started", payload, timestamp_ns=0).id for _ in range(10_000)
        }
        assert len(ids) == 10_000

    @pytest.mark.parametrize("before", ["pass", "import random; random.seed(1)", "random_suffix()"])
    def test_ids_of_processes_differ(self, before: str) -> None:
        """No two processes make the same ids: not with a seed of the user's, not after a fork."""
        code = (
            f"import os; from charter_otel.charter.envelope import random_suffix; {before}; "
            "child = os.fork(); os.write(1, random_suffix().encode()); child and os.wait()"
        )
        suffixes = "".join(
            subprocess.run(
                [sys.executable, "-c", code], check=True, stdout=subprocess.PIPE, text=True
            ).stdout
            for _ in range(2)
        )
        assert len({suffixes[at : at + 12] for at in range(0, 48, 12)}) == 4

    def test_timestamp_is_the_nearest_microsecond(self) -> None:
        """A time that is written with three decimals stays so."""
        event = create(
            "metrics.aggregation_started",
            PAYLOADS["metrics.aggregation_started"],
            timestamp_ns=1_703_001_234_567_000_000,
        )
        assert b'"timestamp":1703001234.567,' in encode(event)

    def test_payload_is_a_copy(self) -> None:
        """A payload that the caller changes afterwards does not change the event."""
        payload = json.loads(json.dumps(PAYLOADS["telemetry.metrics_published"]))
        event = create("telemetry.metrics_published", payload)
        payload["metrics"]["cpu_usage"] = 99.0
        assert event.payload["metrics"]["cpu_usage"] == 45.2

    def test_takes_a_close_reason_s_member(self) -> None:
        """A member of the enumeration becomes its plain text."""
        payload = PAYLOADS["telemetry.connection_closed"] | {"reason": CloseReason.SUPERSEDED}
        event = create("telemetry.connection_closed", payload)
        assert type(event.payload["reason"]) is str
        assert event.payload["reason"] == "superseded"

    @given(st.text(st.characters(categories=["Cs", "L", "So"]), min_size=1, max_size=128))
    @hypothesis_example("\ud800" * 128)
    @hypothesis_example("\ud83d\ude00")
    def test_any_text_becomes_encodable_and_no_longer(self, text: str) -> None:
        """A lone surrogate becomes one U+FFFD, so limits on length hold afterwards too."""
        payload = PAYLOADS["telemetry.connection_established"] | {"connection_id": text}
        event = create("telemetry.connection_established", payload)
        made = event.payload["connection_id"]
        assert len(made) <= len(text)
        assert "\ufffd" in made or made == text.encode("utf-16", "surrogatepass").decode("utf-16")
        assert decode(encode(event)) == event


NUMBERS = {
    "metrics.aggregation_started": ["started_at"],
    "metrics.aggregation_completed": ["duration_ms", "completed_at"],
    "telemetry.connection_closed": ["duration_seconds", "disconnected_at"],
}
HOSTILE = [float("nan"), float("inf"), "1", b"1", None, True, [], {}, object(), 10**400]


class TestRefusals:
    """An invalid event is refused, with a text that names the field."""

    @given(typed_payloads, st.data())
    def test_missing_field(self, typed: tuple[str, dict[str, Any]], data: st.DataObject) -> None:
        """A missing payload field is named."""
        event_type, payload = typed
        name = data.draw(st.sampled_from(sorted(payload.keys() - {"reason"})))
        with pytest.raises(InvalidEvent, match=f"payload.*{name}"):
            create(event_type, {k: v for k, v in payload.items() if k != name})

    @given(typed_payloads, st.from_regex(r"[a-z]{8,}", fullmatch=True))
    def test_unknown_field(self, typed: tuple[str, dict[str, Any]], name: str) -> None:
        """A payload field that the type does not have is named."""
        event_type, payload = typed
        with pytest.raises(InvalidEvent, match=rf"payload\.{name}: {event_type} has no such field"):
            create(event_type, payload | {name: 1})

    def test_unknown_nested_field(self) -> None:
        """A field that does not belong inside a payload's field is named with its path."""
        payload = PAYLOADS["telemetry.metrics_published"]
        readings = payload["metrics"] | {"temperature": 40.0}
        with pytest.raises(InvalidEvent, match=r"payload\.metrics\.temperature"):
            create("telemetry.metrics_published", payload | {"metrics": readings})

    @pytest.mark.parametrize("value", HOSTILE, ids=lambda value: type(value).__name__)
    @pytest.mark.parametrize(
        ("event_type", "name"), [(t, name) for t, names in NUMBERS.items() for name in names]
    )
    def test_number_that_is_none(self, event_type: str, name: str, value: object) -> None:
        """A value that is not a finite number of the field's type is refused by its name."""
        with pytest.raises(InvalidEvent, match=rf"payload\.{name}: "):
            create(event_type, PAYLOADS[event_type] | {name: value})

    @pytest.mark.parametrize("name", ["cpu_usage", "memory_usage", "battery_percentage"])
    @pytest.mark.parametrize("value", [-0.1, 100.1, float("nan")])
    def test_percentage_out_of_range(self, name: str, value: float) -> None:
        """A percentage is 0 to 100."""
        payload = PAYLOADS["telemetry.metrics_published"]
        readings = payload["metrics"] | {name: value}
        with pytest.raises(InvalidEvent, match=rf"payload\.metrics\.{name}: "):
            create("telemetry.metrics_published", payload | {"metrics": readings})

    @pytest.mark.parametrize("value", [-1, 2**53, 2**63, 1.5, "3"])
    def test_entries_that_nobody_can_count(self, value: object) -> None:
        """A number of entries is a whole number that every JSON reader keeps exact."""
        payload = PAYLOADS["metrics.aggregation_completed"] | {"entries_processed": value}
        with pytest.raises(InvalidEvent, match=r"payload\.entries_processed: "):
            create("metrics.aggregation_completed", payload)

    @pytest.mark.parametrize("robot_id", ["", "-r", "a" * 65, "r/1", "r 1", "r\n", "ß", "\ud800"])
    def test_robot_id_of_another_form(self, robot_id: str) -> None:
        """A robot id keeps to the contract's pattern, to its end."""
        payload = PAYLOADS["telemetry.connection_established"] | {"robot_id": robot_id}
        with pytest.raises(InvalidEvent, match=r"payload\.robot_id: "):
            create("telemetry.connection_established", payload)

    def test_unknown_type(self) -> None:
        """A seventh type is refused, with the six that there are."""
        with pytest.raises(InvalidEvent, match=r"type: 'metrics\.x' .* metrics\.aggregation_start"):
            create("metrics.x", {})

    @pytest.mark.parametrize(
        ("field", "changes"),
        [
            ("id", {"id": "evt_telemetry_1703001234567_a1b2c3"}),
            ("id", {"id": "evt_metrics_1703001234567_a1b2c"}),
            ("id", {"id": "evt_metrics_1703001234567_a1b2c3\n"}),
            ("id", {"id": "evt_metrics_170300123456_a1b2c3"}),
            ("id", {"id": 7}),
            ("source", {"source": "telemetry_service"}),
            ("target", {"target": "robot_001"}),
            ("timestamp", {"timestamp": -1}),
            ("timestamp", {"timestamp": "2023-12-19T15:53:54Z"}),
            ("meta", {"meta": {"correlation_id": None, "version": "1.0", "more": "x"}}),
            ("meta", {"meta": {"version": "1.0"}}),
            ("meta", {"meta": None}),
            ("meta.version", {"meta": {"correlation_id": None, "version": "2.0"}}),
            ("meta.correlation_id", {"meta": {"correlation_id": "F" * 32, "version": "1.0"}}),
            ("meta.correlation_id", {"meta": {"correlation_id": "", "version": "1.0"}}),
            ("payload", {"payload": None}),
            ("extra", {"extra": 1}),
        ],
    )
    def test_envelope(self, field: str, changes: dict[str, Any]) -> None:
        """Each field of the envelope is checked, and an eighth is refused."""
        with pytest.raises(InvalidEvent, match=re.escape(field)):
            decode(example("metrics.aggregation_started", **changes))

    @pytest.mark.parametrize("name", ENVELOPE)
    def test_envelope_without_a_field(self, name: str) -> None:
        """All seven fields of the envelope must be there, `target` included."""
        with pytest.raises(InvalidEvent, match=name):
            decode(without("metrics.aggregation_started", name))

    def test_event_built_by_hand(self) -> None:
        """An event with fields of the wrong type is refused as one, whatever the type is."""
        event: Any = decode(example("metrics.aggregation_started"))
        fields = {name: getattr(event, name) for name in ENVELOPE}
        for name in set(ENVELOPE) - {"target"}:
            broken: dict[str, Any] = fields | {name: ["wrong"]}
            with pytest.raises(InvalidEvent, match=name):
                validate(Event(**broken))
        validate(event)

    def test_text_that_cannot_be_encoded(self) -> None:
        """Encoding an event with a lone surrogate says so as an invalid event."""
        event = decode(example("metrics.aggregation_started"))
        event.payload["job_id"] = "\ud800"
        with pytest.raises(InvalidEvent, match=r"metrics\.aggregation_started cannot be encoded"):
            encode(event)


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
    max_leaves=8,
)


class TestHostileBytes:
    """`decode` returns an event, or says that the bytes are not one, for any bytes."""

    @given(st.binary() | st.text(st.characters()))
    def test_any_bytes(self, data: bytes | str) -> None:
        """Bytes and text of any kind raise nothing but InvalidEvent."""
        with pytest.raises(InvalidEvent):
            decode(data)

    @given(st.sampled_from(list(EXAMPLES)), st.sampled_from(ENVELOPE), json_values)
    def test_any_value_in_any_field(self, event_type: str, name: str, value: Any) -> None:
        """An event with any JSON value in a field decodes to what encodes again, or is refused."""
        try:
            event = decode(example(event_type, **{name: value}))
        except InvalidEvent:
            return
        assert decode(encode(event)) == event

    @given(st.sampled_from(list(EXAMPLES)), st.data())
    def test_any_value_in_any_payload_field(self, event_type: str, data: st.DataObject) -> None:
        """The same holds for a payload's fields, known and unknown."""
        name = data.draw(st.sampled_from([*PAYLOADS[event_type], "unknown"]))
        payload = PAYLOADS[event_type] | {name: data.draw(json_values)}
        try:
            event = decode(example(event_type, payload=payload))
        except InvalidEvent:
            return
        assert decode(encode(event)) == event

    @pytest.mark.parametrize(
        "value",
        ["[" * 100_000, "[" * 50_000 + "]" * 50_000, "9" * 5_000, "1e999", '"\\ud800"', '"\xff'],
        ids=["open", "deep", "digits", "infinite", "surrogate", "torn"],
    )
    def test_values_that_break_parsers(self, value: str) -> None:
        """Depth, digits and broken text inside a payload are refused, and break nothing."""
        text = example("metrics.aggregation_started", payload="HERE").decode()
        with pytest.raises(InvalidEvent):
            decode(text.replace('"HERE"', f'{{"job_id":"a","started_at":1,"x":{value}}}'))

    def test_unknown_payload_field_is_kept(self) -> None:
        """A newer writer's field passes through this version unchanged."""
        payload = PAYLOADS["metrics.aggregation_started"] | {"shard": {"n": [1, None]}}
        event = decode(example("metrics.aggregation_started", payload=payload))
        assert json.loads(encode(event))["payload"]["shard"] == {"n": [1, None]}
