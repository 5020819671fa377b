"""Numbers and times as people read them at a terminal."""

from itertools import pairwise

_UNITS = ((86_400, "d"), (3_600, "h"), (60, "min"), (1, "s"))
_SHORT, _FINE = 0.01, 10


def duration(seconds: float) -> str:
    """Return a length of time in its two largest units."""
    value = max(0.0, seconds)
    for (size, unit), (smaller, name) in pairwise(_UNITS):
        if value >= size:
            return f"{value // size:.0f} {unit} {value % size // smaller:.0f} {name}"
    if value >= 1:
        return f"{value:.1f} s" if value < _FINE else f"{value:.0f} s"
    return f"{value * 1000:.1f} ms" if value < _SHORT else f"{value * 1000:.0f} ms"


def age(seconds: float) -> str:
    """Return how long something has lasted, in whole seconds at the finest."""
    value = max(0.0, seconds)
    return f"{value:.0f} s" if value < _FINE else duration(value)
