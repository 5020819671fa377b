"""The smoke test's verdict: what makes ``make bench QUICK=1`` end non-zero."""

import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from benchmarks.rounds import Rounds, Sample
from benchmarks.row import Bench, Benchmark, Row, Target, at_least, at_most, more_at_most
from benchmarks.run import run


def test_a_ratio_within_twice_its_target_passes(tmp_path: Path) -> None:
    """The target itself is for a quiet machine and a full run."""
    assert smoke(tmp_path, measuring(at_most(1.25), 2.4), measuring(at_least(0.5), 0.26)) == 0


@pytest.mark.parametrize(("target", "ratio"), [(at_most(1.25), 2.6), (at_least(0.5), 0.24)])
def test_a_ratio_worse_than_twice_its_target_fails(
    target: Target, ratio: float, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """The verdict names the row and what it runs next to."""
    assert smoke(tmp_path, measuring(at_most(1), 1), measuring(target, ratio)) != 0
    *_, verdict = capsys.readouterr().out.splitlines()
    assert verdict.endswith(f"last measured: {ratio} (one)")


def test_a_row_below_its_target_is_held_to_what_it_reached_last(tmp_path: Path) -> None:
    """One whose floor is known neither fails for ever nor gets worse unseen."""
    target = at_least(1, so_far=0.3)
    assert smoke(tmp_path, measuring(target, 0.16)) == 0
    assert smoke(tmp_path, measuring(target, 0.14)) != 0


def test_a_difference_is_not_judged(tmp_path: Path) -> None:
    """Milliseconds grow with the neighbours of a shared machine."""
    assert smoke(tmp_path, measuring(more_at_most(0.15), 100)) == 0


def test_a_row_that_cannot_run_fails(tmp_path: Path) -> None:
    """Its error ends the run."""

    def measure(_: Bench) -> Iterator[Row]:
        yield row(at_most(1), 1)
        raise RuntimeError("no server")

    with pytest.raises(RuntimeError, match="no server"):
        smoke(tmp_path, Benchmark("broken", measure, quick=True, only_by_name=False))


def test_a_row_that_was_worse_once_is_measured_again(tmp_path: Path) -> None:
    """A disturbance may have passed; the second measurement counts, and is the one reported."""
    assert smoke(tmp_path, measuring(at_most(1), 5, 1)) == 0
    report = json.loads((tmp_path / "bench.json").read_text())
    assert [row["ratio"] for row in report["rows"]] == [1]


def test_a_full_run_reports_and_does_not_judge(tmp_path: Path) -> None:
    """It is for the table."""
    assert smoke(tmp_path, measuring(at_most(1), 5), quick=False) == 0


def smoke(directory: Path, *benchmarks: Benchmark, quick: bool = True) -> int:
    """Run benchmarks and give the exit status."""
    report = directory / "bench.json"
    return run(benchmarks, rounds=3, quick=quick, command="make bench", report=report)


def measuring(target: Target, *ratios: float) -> Benchmark:
    """Yield a benchmark that measures one ratio after another, the last one for ever."""
    left = list(ratios)

    def measure(_: Bench) -> Iterator[Row]:
        yield row(target, left.pop(0) if len(left) > 1 else left[0])

    return Benchmark("measuring", measure, quick=True, only_by_name=False)


def row(target: Target, ratio: float) -> Row:
    """Return a row whose ratio is known."""
    sides = Rounds(Sample((1.0, 1.0)), Sample((ratio, ratio)))
    return Row(f"{ratio}", "one", "s", sides, target)
