"""A copy of an advisory database in OSV's format (https://ossf.github.io/osv-schema/), searched.

For where no service can be reached: a checkout of PyPA's advisory database, or an unpacked export
of osv.dev, brought along.
"""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import yaml
from packaging.utils import canonicalize_name
from packaging.version import InvalidVersion, Version

from supply.pins import Pins

_OLDEST = Version("0")
_LOADER = getattr(yaml, "CSafeLoader", yaml.SafeLoader)


class NoAdvisories(ValueError):  # noqa: N818 - the name says what is the matter
    """A directory holds no advisories about Python packages."""


class Advisories:
    """The advisories about Python packages in a directory.

    Raises:
        NoAdvisories: There are none.
    """

    def __init__(self, directory: Path) -> None:
        self._entries = [*_entries(directory)]
        if not self._entries:
            raise NoAdvisories(f"{directory} holds no advisories about Python packages")

    @property
    def newest(self) -> str:
        """Day of the latest change, which is how old the copy is."""
        return max(str(entry.get("modified", ""))[:10] for entry in self._entries)

    def weaknesses(self, versions: Pins) -> list[str]:
        """Say which of the versions some advisory names."""
        return sorted(
            f"{name} {versions[name]}: {', '.join([entry['id'], *entry.get('aliases', [])])}"
            for entry in self._entries
            if "withdrawn" not in entry
            for affected in entry["affected"]
            if (name := _name(affected)) in versions and _names(affected, versions[name])
        )


def _entries(directory: Path) -> Iterator[dict[str, Any]]:
    for path in sorted(directory.rglob("*")):
        if path.suffix not in {".json", ".yaml", ".yml"} or "/." in str(path):
            continue
        text = path.read_text(encoding="utf-8")
        if "PyPI" in text:
            entry = json.loads(text) if path.suffix == ".json" else yaml.load(text, _LOADER)  # noqa: S506 - a safe one
            if isinstance(entry, dict) and "id" in entry and "affected" in entry:
                yield entry


def _name(affected: dict[str, Any]) -> Any:
    package = affected.get("package", {})
    return canonicalize_name(package["name"]) if package.get("ecosystem") == "PyPI" else None


def _names(affected: dict[str, Any], version: Version) -> bool:
    """Return whether the version is listed, or lies in one of the ranges."""
    if any(_version(text) == version for text in affected.get("versions", [])):
        return True
    ranges = [one for one in affected.get("ranges", []) if one["type"] == "ECOSYSTEM"]
    return any(_within(one["events"], version) for one in ranges)


def _within(events: list[dict[str, str]], version: Version) -> bool:
    inside = False
    for event in sorted(events, key=lambda one: _version(next(iter(one.values()))) or _OLDEST):
        kind, text = next(iter(event.items()))
        at = _version(text)
        if at is None:
            continue
        if kind == "introduced" and version >= at:
            inside = True
        elif (kind == "fixed" and version >= at) or (kind == "last_affected" and version > at):
            inside = False
    return inside


def _version(text: str) -> Version | None:
    try:
        return Version(text)
    except InvalidVersion:
        return None
