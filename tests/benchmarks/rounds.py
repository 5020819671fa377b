"""Rounds of two sides, alternating, and what they come to."""

import math
import statistics
from collections.abc import Callable
from typing import NamedTuple

Side = Callable[[], float]
"""Runs one round and gives its value."""


class Sample(NamedTuple):
    """The values of a side's rounds."""

    values: tuple[float, ...]

    @property
    def median(self) -> float:
        """The middle value."""
        return statistics.median(self.values)

    @property
    def spread(self) -> float:
        """Half the distance between the quartiles, as a share of the median."""
        low, _, high = statistics.quantiles(self.values, n=4, method="inclusive")
        return (high - low) / 2 / abs(self.median) if self.median else 0.0


class Rounds(NamedTuple):
    """Both sides of a row, round by round."""

    reference: Sample
    ours: Sample

    @property
    def ratio(self) -> float:
        """Ours to the reference's: the median of the rounds' own ratios.

        Both halves of a round see the same neighbours on a shared machine, two medians may not.
        """
        pairs = zip(self.ours.values, self.reference.values, strict=True)
        return statistics.median(o / r if r else math.inf for o, r in pairs)

    @property
    def difference(self) -> float:
        """Ours less the reference's: the median of the rounds' own differences."""
        pairs = zip(self.ours.values, self.reference.values, strict=True)
        return statistics.median(ours - reference for ours, reference in pairs)


def alternate(reference: Side, ours: Side, rounds: int, *, warm_up: bool = True) -> Rounds:
    """Run both sides in turn; who begins changes with each round, so that no one profits of it.

    Args:
        reference: One side.
        ours: The other one.
        rounds: How many rounds count.
        warm_up: Whether one more round comes before them.
    """
    if warm_up:
        reference()
        ours()
    values: list[tuple[float, float]] = []
    for number in range(rounds):
        if number % 2:
            own = ours()
            values.append((reference(), own))
        else:
            values.append((reference(), ours()))
    return Rounds(Sample(tuple(v[0] for v in values)), Sample(tuple(v[1] for v in values)))
