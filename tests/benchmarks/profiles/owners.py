"""The owners of the code that sampled stacks run."""

import re
from collections import Counter
from collections.abc import Iterable
from typing import NamedTuple

OWNERS: dict[str, tuple[str, ...]] = {
    "OpenTelemetry: spans": ("opentelemetry/sdk/trace", "opentelemetry/trace"),
    "OpenTelemetry: log records": ("opentelemetry/sdk/_logs", "opentelemetry/_logs"),
    "OpenTelemetry: metrics": ("opentelemetry/sdk/metrics", "opentelemetry/metrics"),
    "OpenTelemetry: export": (
        "opentelemetry/exporter",
        "opentelemetry/proto",
        "opentelemetry/sdk/_shared_internal",
        "google/",
        "requests/",
        "urllib3/",
    ),
    "OpenTelemetry: attributes, context": ("opentelemetry/",),
    "Litestar": ("litestar/", "msgspec/"),
    "uvicorn and its protocols": ("uvicorn/", "h11/", "websockets/", "benchmarks/workers"),
    "redis-py": ("redis/",),
    "charter-otel": ("charter_otel/",),
}
"""By the name in the table: what the paths of its modules begin with; the first that fits counts.

uvloop leaves no frames. Its time is that of whoever runs the loop: uvicorn, or a worker here.
"""

_FRAME = re.compile(r"(?P<function>.*) \((?P<path>.*?)(:\d+)?\)")
_MODULE = re.compile(r".*?(?:site-packages|src|tests)/(?P<module>.*)")

_WAITING = ("/threading.py", "/selectors.py", "/concurrent/futures/thread.py")
"""Functions in which idle threads wait; a sampler may take them for busy."""


class Profile(NamedTuple):
    """Samples of a load."""

    owners: Counter[str]
    """By whose code it is."""
    functions: Counter[str]
    """By the innermost function alone, of whatever module."""

    def share(self, owner: str) -> float:
        """Return an owner's share of the time."""
        return self.owners[owner] / self.owners.total()

    @property
    def largest(self) -> tuple[str, float]:
        """The function that takes the most, and its share."""
        [(function, samples)] = self.functions.most_common(1)
        return function, samples / self.functions.total()


def count(stacks: Iterable[str], *, without: str = "") -> Profile:
    """Count samples in py-spy's raw format: frames from the outermost one, and a number.

    A stack belongs to its innermost frame that is not of the standard library, which works for
    whoever calls it. Stacks of waiting threads, and of the benchmarks' own work, do not count.

    Args:
        stacks: Lines.
        without: A function whose work is not part of what is profiled.
    """
    profile = Profile(Counter(), Counter())
    for line in stacks:
        stack, _, number = line.rpartition(" ")
        frames = [found for text in stack.split(";") if (found := _FRAME.fullmatch(text))]
        if not frames or frames[-1]["path"].endswith(_WAITING):
            continue
        if without and any(frame["function"] == without for frame in frames):
            continue
        if owner := _owner([frame["path"] for frame in frames]):
            profile.owners[owner] += int(number)
            profile.functions[frames[-1]["function"]] += int(number)
    return profile


def _owner(paths: list[str]) -> str | None:
    for path in reversed(paths):
        if found := _MODULE.fullmatch(path):
            module = found["module"]
            fitting = (name for name, begins in OWNERS.items() if module.startswith(begins))
            return next(fitting, None)
    return None
