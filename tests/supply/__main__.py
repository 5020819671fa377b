"""The programs behind `make sbom` and `make audit`.

`python -m supply audit [DIRECTORY]` audits the pins. `python -m supply needed` prints the pins of
an installation, and `python -m supply sbom` reads what cyclonedx-py says of one. `python -m supply
lowest` prints the oldest versions that the ranges allow, among the pins of everything else.
"""

import json
import subprocess
import sys
from pathlib import Path

from supply import bom
from supply.advisories import Advisories, NoAdvisories
from supply.closure import closure
from supply.pins import ROOT, WEAKNESSES, known_weaknesses, lowest, pins

NOT_AUDITED = """audit: NOT AUDITED, no advisory service can be reached from here ({reason}).
audit: Either run `make audit` where one can, or bring a copy of an advisory database along:
audit:   git clone --depth 1 https://github.com/pypa/advisory-database
audit:   make audit ADVISORIES=advisory-database"""


def audit(directory: Path | None) -> int:
    """Audit the pins.

    Args:
        directory: A copy of an advisory database; without it the service is asked.

    Returns:
        0; 1 where something is wrong; 2 where advisories could not be looked at.
    """
    found = known_weaknesses(pins())
    print(f"audit: {len(pins())} pins against {WEAKNESSES.relative_to(ROOT)}: {len(found)} too old")
    yanked = _yanked()
    print(f"audit: {len(yanked)} of them were withdrawn by their authors (yanked)")
    advised, gap = _ask_service() if directory is None else _look_into(directory)
    for line in [*found, *yanked, *advised]:
        print(f"audit: {line}")
    if gap is not None:
        print(NOT_AUDITED.format(reason=gap))
    if found or yanked or advised:
        return 1
    return 0 if gap is None else 2


def _yanked() -> list[str]:
    """Ask the registry, through pip, which pins it still lists for that only who names them."""
    ended = _run("pip", "install", "--dry-run", "--ignore-installed", "--no-deps", "--quiet",
                 "--report", "-", "-r", "constraints.txt")  # fmt: skip
    if ended.returncode:
        return [f"pip finds not every pin: {ended.stderr.strip().splitlines()[-1]}"]
    installed = json.loads(ended.stdout)["install"]
    return [
        f"{one['metadata']['name']} {one['metadata']['version']} is yanked"
        for one in installed
        if one["is_yanked"]
    ]


def _look_into(directory: Path) -> tuple[list[str], str | None]:
    """Return what a copy of a database knows, and why that is nothing, if so."""
    try:
        advisories = Advisories(directory)
    except NoAdvisories as error:
        return [], str(error)
    found = advisories.weaknesses(pins())
    print(f"audit: {len(found)} advisories name a pin; the newest in {directory} is of "
          f"{advisories.newest}")  # fmt: skip
    return found, None


def _ask_service() -> tuple[list[str], str | None]:
    """Return what pip-audit's service knows, and why that is not all, if so."""
    ended = _run("pip_audit", "--disable-pip", "--no-deps", "--progress-spinner", "off",
                 "--format", "json", "-r", "constraints.txt")  # fmt: skip
    try:
        dependencies = json.loads(ended.stdout)["dependencies"]
    except ValueError:
        lines = ended.stderr.strip().splitlines() or ["pip-audit said nothing"]
        return [], lines[-1]
    found = [
        f"{one['name']} {one['version']}: {weakness['id']} {', '.join(weakness['aliases'])}"
        for one in dependencies
        for weakness in one.get("vulns", [])
    ]
    skipped = [one for one in dependencies if "skip_reason" in one]
    if not skipped:
        print(f"audit: {len(found)} weaknesses are known to pip-audit's service")
        return found, None
    return found, f"{len(skipped)} of {len(dependencies)} pins are unknown to it"


def _run(*command: str) -> "subprocess.CompletedProcess[str]":
    return subprocess.run(
        [sys.executable, "-m", *command], capture_output=True, text=True, check=False, cwd=ROOT
    )


if __name__ == "__main__":
    match sys.argv[1:]:
        case ["needed"]:
            print(*(f"{name}=={pins()[name]}" for name in sorted(closure())), sep="\n")
        case ["lowest"]:
            # Left to pip, as the pinned one does not go with the oldest rich.
            versions = {name: one for name, one in pins().items() if name != "import-linter"}
            print(*(f"{name}=={one}" for name, one in (versions | lowest()).items()), sep="\n")
        case ["sbom"]:
            bom.write(sys.stdin.read())
        case ["audit", directory] if directory:
            sys.exit(audit(Path(directory)))
        case ["audit", *_]:
            sys.exit(audit(None))
