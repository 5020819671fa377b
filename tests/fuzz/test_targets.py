"""The fuzzers' targets, searched a little in every run: bytes, near misses, and what was found."""

import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fuzz.targets import SEEDS, TARGETS

CRASHES = Path(__file__).parent / "crashes"
FOUND = sorted(path for path in CRASHES.glob("*/*") if path.is_file())

_ODD = st.sampled_from(
    [
        *(b"null", b"true", b"-0.0", b"-1", b"1e308", b"1e309", b"-1e999", b"NaN", b"Infinity"),
        *(b"9" * 400, b"0." + b"9" * 400, b"18446744073709551616", b"253402300800", b"1e-320"),
        *(b'""', b'"\\ud800"', b'"\\u0000"', b'"\\n"', b'"\xff"', b'"\xed\xa0\x80"', b'"x" '),
        *(b"[]", b"{}", b"[" * 2_000, b'{"a":' * 2_000, b'"' + b"x" * 5_000 + b'"'),
    ]
)
_values = _ODD | st.recursive(
    st.none() | st.booleans() | st.floats() | st.integers() | st.text(max_size=20),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner),
    max_leaves=5,
).map(lambda value: json.dumps(value).encode())


@st.composite
def _near_misses(draw: st.DrawFn, seed: bytes) -> bytes:
    """Return the seed with some of its values replaced by odd ones, wherever they stand."""
    prefix, _, text = seed.rpartition(b"\n")
    document = json.loads(text)
    holes: dict[str, bytes] = {}
    changed = _with_holes(draw, document, holes)
    encoded = json.dumps(changed).encode()
    for name, value in holes.items():
        encoded = encoded.replace(f'"{name}"'.encode(), value)
    return (prefix + b"\n" if prefix else b"") + encoded


def _with_holes(draw: st.DrawFn, value: Any, holes: dict[str, bytes]) -> Any:
    if draw(st.integers(0, 5)) == 0:
        name = f"hole-{len(holes)}-"
        holes[name] = draw(_values)
        return name
    if isinstance(value, dict):
        return {key: _with_holes(draw, inner, holes) for key, inner in value.items()}
    if isinstance(value, list):
        return [_with_holes(draw, inner, holes) for inner in value]
    return value


@pytest.mark.parametrize("name", TARGETS)
@given(data=st.data())
def test_any_bytes(name: str, data: st.DataObject) -> None:
    """Nothing that is not expected is raised."""
    TARGETS[name](
        data.draw(st.binary() | st.text().map(lambda text: text.encode("utf-8", "surrogatepass")))
    )


@pytest.mark.parametrize("name", ["frame", "envelope", "entry", "mission", "token"])
@given(data=st.data())
def test_near_misses(name: str, data: st.DataObject) -> None:
    """Nor by JSON that is almost right."""
    TARGETS[name](data.draw(st.sampled_from(SEEDS[name]).flatmap(_near_misses)))


@pytest.mark.parametrize("name", TARGETS)
def test_the_search_begins_with_what_is_right(name: str) -> None:
    """Each seed passes its target."""
    for seed in SEEDS[name]:
        TARGETS[name](seed)


@pytest.mark.parametrize("found", FOUND, ids=lambda path: f"{path.parent.name}-{path.name}")
def test_inputs_that_were_once_found_stay_right(found: Path) -> None:
    """Each input that once broke a target passes it."""
    TARGETS[found.parent.name](found.read_bytes())
