"""All that an installation of the package needs, its dependencies' dependencies included."""

import platform
from collections.abc import Iterator, Mapping
from importlib.metadata import PackageNotFoundError, requires

from packaging.requirements import Requirement
from packaging.utils import NormalizedName, canonicalize_name

from supply.pins import PROJECT

OLDEST = "3.11.0"
"""The oldest supported Python, which needs packages that newer ones have in their library."""

Closure = dict[NormalizedName, Requirement]


def closure() -> Closure:
    """Return what the runtime dependencies need, on this Python or on the oldest one, by name."""
    return {**_needed(OLDEST), **_needed(platform.python_version())}


def _needed(python: str) -> Closure:
    environment = {"python_full_version": python, "python_version": python.rpartition(".")[0]}
    waiting = [Requirement(line) for line in PROJECT["project"]["dependencies"]]
    found: Closure = {}
    while waiting:
        requirement = waiting.pop()
        name = canonicalize_name(requirement.name)
        if name not in found and _applies(requirement, environment):
            found[name] = requirement
            waiting += _dependencies(requirement, environment)
    return found


def _dependencies(one: Requirement, environment: Mapping[str, str]) -> Iterator[Requirement]:
    try:
        lines = requires(one.name) or []
    except PackageNotFoundError:
        # Needed on another Python only. Such a backport needs nothing itself.
        return
    for needed in map(Requirement, lines):
        extras = ({**environment, "extra": extra} for extra in ("", *one.extras))
        if any(_applies(needed, each) for each in extras):
            needed.marker = None
            yield needed


def _applies(requirement: Requirement, environment: Mapping[str, str]) -> bool:
    return requirement.marker is None or requirement.marker.evaluate(dict(environment))
