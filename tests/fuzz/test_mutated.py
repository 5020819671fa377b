"""Mutated frames, as many as each run has time for; `make fuzz` reads a million."""

from fuzz.mutated import read


def test_mutated_frames_are_read_or_refused() -> None:
    """None breaks the parser, and each kind of its answers comes."""
    found = read(20_000, seed=1)
    assert set(found) == {"message", "control", "fragment", "1002", "1007", "1009"}
    assert min(found.values()) > 100
