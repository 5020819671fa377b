"""The counts of a batch of raw entries, whatever its bytes are."""

import json
from collections.abc import Iterable

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from charter_otel.metrics.missions import MissionEntry
from charter_otel.metrics.missions.counting import MissionCounter
from support.missions import entry

NOW = 1_703_001_300.0

_entries = st.fixed_dictionaries(
    {
        "mission_id": st.text(min_size=1, max_size=128),
        "status": st.sampled_from(["completed", "failed", "wandering"]),
    },
    optional={
        "robot_id": st.sampled_from(["robot_001", "robot_002", "a:b.c-d"]),
        "duration_ms": st.floats(0, allow_infinity=False, allow_nan=False),
        "timestamp": st.floats(0, 4e9),
        "unknown": st.none() | st.integers() | st.text(),
    },
).map(lambda fields: json.dumps(fields).encode())
_raw = st.none() | st.binary(max_size=40) | _entries | st.builds(bytes.__add__, _entries, _entries)


def _count(data: Iterable[bytes | None]) -> MissionCounter:
    counter = MissionCounter(NOW)
    counter.add(data)
    return counter


def _decodes(data: bytes | None) -> bool:
    """Return whether the plain decoder, one entry at a time, takes the data for an entry."""
    try:
        msgspec.json.decode(data or b"", type=MissionEntry)
    except ValueError:
        return False
    return data is not None


@given(st.lists(_raw, max_size=20))
def test_every_entry_is_either_counted_or_malformed(data: list[bytes | None]) -> None:
    """Any bytes count once: as an entry where they are one, else as malformed."""
    totals = _count(data).aggregates().totals
    assert totals.entries_processed == sum(map(_decodes, data))
    assert totals.entries_processed + sum(totals.malformed.values()) == len(data)


@given(st.lists(_entries, min_size=1, max_size=20))
def test_durations_and_times_are_those_of_the_entries(data: list[bytes]) -> None:
    """Counts, sums, extremes and last times are what the entries say, by status and by robot."""
    decoded = [msgspec.json.decode(d, type=MissionEntry) for d in data]
    aggregates = _count(data).aggregates()
    for status, aggregate in aggregates.by_status.items():
        alike = [e for e in decoded if e.status == status]
        durations = [e.duration_ms for e in alike if e.duration_ms is not None]
        assert aggregate.entries == len(alike)
        assert aggregate.last_seen_at == max(_seen(e) for e in alike)
        assert aggregate.duration_ms.count == len(durations)
        assert aggregate.duration_ms.max == max(durations, default=None)
        assert aggregate.duration_ms.min == min(durations, default=None)
    for robot_id, robot in aggregates.by_robot.items():
        alike = [e for e in decoded if e.robot_id == robot_id]
        assert (robot.entries, robot.last_seen_at) == (len(alike), max(map(_seen, alike)))
    assert aggregates.totals.last_seen_at == max(map(_seen, decoded))
    msgspec.json.decode(msgspec.json.encode(aggregates))


def _seen(decoded: MissionEntry) -> float:
    return NOW if decoded.timestamp is None else decoded.timestamp


@pytest.mark.parametrize(
    ("data", "reason"),
    [
        (None, "no_data"),
        (b"", "not_json"),
        (b"\xff", "not_json"),
        (b'{"mission_id": "\xff", "status": "completed"}', "not_json"),
        (entry() + entry(), "not_json"),
        (b"[" * 200_000, "not_an_entry"),
        (b'{"x":' + b"[" * 200_000, "not_json"),
        (b"[]", "not_an_entry"),
        (b"{}", "not_an_entry"),
        (entry(status=""), "not_an_entry"),
        (entry(status="s" * 65), "not_an_entry"),
        (entry(mission_id="m" * 129), "not_an_entry"),
        (entry(mission_id=7), "not_an_entry"),
        (entry(robot_id="-robot"), "not_an_entry"),
        (entry(robot_id="robot\n"), "not_an_entry"),
        (entry(duration_ms=-0.1), "not_an_entry"),
        (entry(duration_ms="5"), "not_an_entry"),
        (b'{"mission_id":"m","status":"s","duration_ms":1e999}', "not_an_entry"),
        (b'{"mission_id":"m","status":"s","duration_ms":NaN}', "not_json"),
        (entry(timestamp=1_703_001_234_567), "not_an_entry"),
    ],
)
def test_malformed_entries_have_a_reason(data: bytes | None, reason: str) -> None:
    """A wrong entry is wrong for one of three reasons, and its neighbours still count."""
    counted = _count([entry(1), data, entry(2)])
    assert counted.aggregates().totals.malformed == {reason: 1}
    assert counted.aggregates().totals.entries_processed == 2
    assert counted.examples[0].startswith(reason)


def test_a_malformed_entry_names_no_robot() -> None:
    """A robot that only malformed entries name is not one of the fleet."""
    aggregates = _count([entry(robot_id="no robot"), entry(robot_id="no robot")]).aggregates()
    assert aggregates.by_robot == {}
    assert aggregates.totals.malformed == {"not_an_entry": 2}


def test_examples_are_few_and_short() -> None:
    """A batch of nothing but malformed entries tells of five, in bounded text."""
    examples = _count([b"{" + b"x" * 10_000] * 1_000).examples
    assert len(examples) == 5
    assert all(len(text) <= 200 for text in examples)
