"""A row of the table: two sides, a target, and whether it is reached."""

from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass, field
from typing import Any, Literal, NamedTuple

from benchmarks.rounds import Rounds

_SMOKE = 2.0
"""A smoke test fails where a ratio is worse than its target, or than so far, by this factor."""


class Target(NamedTuple):
    """The target of a row."""

    bound: float
    kind: Literal["at least", "at most", "more at most"]
    """``at least`` and ``at most`` bound the ratio, ``more at most`` the difference."""
    so_far: float | None = None
    """The ratio when it was last measured, where it misses the bound; of a full run and a smoke
    test the one that is worse. The smoke test holds the row to this instead of the bound."""

    def met(self, rounds: Rounds) -> bool:
        """Return whether the rounds reach the target."""
        match self.kind:
            case "at least":
                return rounds.ratio >= self.bound
            case "at most":
                return rounds.ratio <= self.bound
            case _:
                return rounds.difference <= self.bound

    def tolerable(self, rounds: Rounds) -> bool:
        """Return whether the rounds are good enough for a smoke test, by `_SMOKE`.

        Only ratios are judged. A difference grows with whatever else the machine does meanwhile.
        """
        bound = self.bound if self.so_far is None else self.so_far
        match self.kind:
            case "at least":
                return rounds.ratio >= bound / _SMOKE
            case "at most":
                return rounds.ratio <= bound * _SMOKE
            case _:
                return True

    def __str__(self) -> str:
        """Show it as the issue writes it."""
        match self.kind:
            case "at least":
                return f"≥ {self.bound:.4g} ×"  # noqa: RUF001
            case "at most":
                return f"≤ {self.bound:.4g} ×"  # noqa: RUF001
            case _:
                return f"≤ + {self.bound:g}"


def at_least(bound: float, so_far: float | None = None) -> Target:
    """Ours is to be so many times the reference at least."""
    return Target(bound, "at least", so_far)


def at_most(bound: float, so_far: float | None = None) -> Target:
    """Ours is to be so many times the reference at most."""
    return Target(bound, "at most", so_far)


def more_at_most(bound: float) -> Target:
    """Ours is to be more than the reference by so many units at most."""
    return Target(bound, "more at most")


class Row(NamedTuple):
    """A measured row."""

    name: str
    reference: str
    unit: str
    rounds: Rounds
    target: Target

    @property
    def reached(self) -> bool:
        """Whether the target is reached."""
        return self.target.met(self.rounds)

    @property
    def tolerable(self) -> bool:
        """Whether the row passes a smoke test on a shared machine."""
        return self.target.tolerable(self.rounds)

    def as_json(self) -> dict[str, Any]:
        """Return the row with all its rounds."""
        rounds = self.rounds
        return {
            "row": self.name,
            "reference": self.reference,
            "unit": self.unit,
            "rounds": {"reference": rounds.reference.values, "ours": rounds.ours.values},
            "median": {"reference": rounds.reference.median, "ours": rounds.ours.median},
            "spread": {"reference": rounds.reference.spread, "ours": rounds.ours.spread},
            "ratio": rounds.ratio,
            "difference": rounds.difference,
            "target": str(self.target),
            "so_far": self.target.so_far,
            "reached": self.reached,
        }


@dataclass
class Bench:
    """The run of a row: rounds, size, and the resources that are released when it ends."""

    rounds: int = 5
    quick: bool = False
    stack: ExitStack = field(default_factory=ExitStack)

    def size(self, full: int, quick: int) -> int:
        """Return how much one round does."""
        return quick if self.quick else full


Measure = Callable[[Bench], Iterator[Row]]


class Benchmark(NamedTuple):
    """A function that measures one or more rows."""

    name: str
    measure: Measure
    quick: bool
    only_by_name: bool


BENCHMARKS: dict[str, Benchmark] = {}
"""All of them, by the name that ``ROWS`` takes."""


def benchmark(
    name: str, *, quick: bool = False, only_by_name: bool = False
) -> Callable[[Measure], Measure]:
    """Register a function that measures rows.

    Args:
        name: What ``ROWS`` calls it.
        quick: Whether it is fast enough for the smoke test.
        only_by_name: Whether it runs only where ``ROWS`` names it.
    """

    def register(measure: Measure) -> Measure:
        BENCHMARKS[name] = Benchmark(name, measure, quick, only_by_name)
        return measure

    return register
