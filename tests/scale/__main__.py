"""`make scale`: what one instance costs here, and what fleets take by that; two Markdown tables.

SCALE_SECONDS is how long each of the measurements lasts, 20 by default.
"""

import os
import sys

from scale.costs import HZ, ROBOTS, Costs, measure
from scale.tables import costs_table, fleets_table


def main() -> None:
    """Measure, and print the tables."""
    seconds = float(os.environ.get("SCALE_SECONDS", "20"))
    sys.stderr.write(f"scale: {ROBOTS} robots, silent and at {HZ:g} Hz, {seconds:g} s each\n")
    costs = Costs(*(float(f"{cost:.3g}") for cost in measure(seconds)))
    sys.stdout.write("\n".join([*costs_table(costs), "", *fleets_table(costs), ""]))


if __name__ == "__main__":
    main()
