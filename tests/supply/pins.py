"""The pins, the requirements, and the versions that are known to be too old."""

import re
import tomllib
from pathlib import Path
from typing import Any

from packaging.requirements import Requirement
from packaging.utils import NormalizedName, canonicalize_name
from packaging.version import Version

ROOT = Path(__file__).parents[2]
PROJECT: dict[str, Any] = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
WEAKNESSES = Path(__file__).parent / "weaknesses.toml"

Pins = dict[NormalizedName, Version]


def pins() -> Pins:
    """Return the version of each package that `constraints.txt` pins, on whatever machine."""
    text = (ROOT / "constraints.txt").read_text(encoding="utf-8")
    found = re.findall(r"^([A-Za-z0-9._-]+)==(\S+)(?: *;.*)?$", text, re.MULTILINE)
    return {canonicalize_name(name): Version(version) for name, version in found}


def ranges() -> list[Requirement]:
    """Return what the package asks for at run time, its extras included."""
    project = PROJECT["project"]
    extras = [line for lines in project["optional-dependencies"].values() for line in lines]
    return [Requirement(line) for line in [*project["dependencies"], *extras]]


def known_weaknesses(versions: Pins) -> list[str]:
    """Return the versions that are older than the first good one, each with the reason."""
    first_good = tomllib.loads(WEAKNESSES.read_text(encoding="utf-8"))["first_good"]
    return [
        f"{name} {versions[name]} is older than {known['version']}: {known['why']}"
        for name, known in first_good.items()
        if name in versions and versions[name] < Version(known["version"])
    ]


def lowest() -> Pins:
    """Return the oldest version that each range allows."""
    return {
        canonicalize_name(asked.name): min(
            Version(one.version) for one in asked.specifier if one.operator in {">=", "==", "~="}
        )
        for asked in ranges()
    }
