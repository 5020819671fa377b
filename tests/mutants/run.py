"""A fault, and whether the tests notice it."""

import os
import random
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import NamedTuple

from mutants.mutations import Mutant, mutants
from mutants.suites import PACKAGE, ROOT, modules, room_of, suite_of

WITHIN = 180.0
"""Seconds after which the tests count as having noticed: they hang."""


class Result(NamedTuple):
    """The outcome of a fault."""

    module: str
    room: str
    mutant: Mutant
    outcome: str
    """``caught``, ``timeout`` or ``survived``."""


def sample(count: int, seed: int, rooms: frozenset[str] = frozenset()) -> list[tuple[Path, Mutant]]:
    """Return faults, spread over the rooms; the same for the same seed and source."""
    chance = random.Random(seed)  # noqa: S311 - a sample, not a secret
    by_room: dict[str, list[tuple[Path, Mutant]]] = {}
    for module in modules():
        if not rooms or room_of(module) in rooms:
            found = [(module, mutant) for mutant in mutants(module.read_text(encoding="utf-8"))]
            by_room.setdefault(room_of(module), []).extend(found)
    for each in by_room.values():
        chance.shuffle(each)
    return list(_in_turn(list(by_room.values()), count))


def _in_turn(queues: list[list[tuple[Path, Mutant]]], count: int) -> Iterator[tuple[Path, Mutant]]:
    while count and any(queues):
        for queue in queues:
            if queue and count:
                count -= 1
                yield queue.pop()


def judge(module: Path, mutant: Mutant) -> Result:
    """Run the tests that mirror a module with a fault in it."""
    with TemporaryDirectory(prefix="charter-mutant-") as directory:
        copied = Path(directory) / "charter_otel"
        shutil.copytree(PACKAGE, copied, ignore=shutil.ignore_patterns("__pycache__"))
        relative = module.relative_to(PACKAGE)
        (copied / relative).write_text(mutant.source, encoding="utf-8")
        outcome = _run(directory, suite_of(module))
    return Result(relative.as_posix(), room_of(module), mutant, outcome)


def _run(directory: str, tests: list[str]) -> str:
    paths = os.pathsep.join([directory, str(ROOT / "tests"), str(ROOT)])
    command = [sys.executable, "-m", "pytest", "-x", "-q", "-p", "no:cacheprovider", *tests]
    environment = {**os.environ, "PYTHONPATH": paths, "PYTHONDONTWRITEBYTECODE": "1"}
    try:
        ended = subprocess.run(
            command,
            cwd=ROOT,
            env=environment,
            capture_output=True,
            check=False,
            timeout=WITHIN,
            start_new_session=True,
        )
    except subprocess.TimeoutExpired:
        return "timeout"
    return "survived" if ended.returncode == 0 else "caught"
