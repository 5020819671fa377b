"""Which faults a run judges."""

import hashlib
from collections.abc import Iterator
from functools import cache
from pathlib import Path

from mutants.mutations import Mutant, mutants
from mutants.suites import FIFTHS, PACKAGE, fifth_of, modules, room_of

Fault = tuple[Path, Mutant]


@cache
def faults(module: Path) -> list[Fault]:
    """Return all that a module can have."""
    return [(module, mutant) for mutant in mutants(module.read_text(encoding="utf-8"))]


def sample(count: int, seed: int, rooms: frozenset[str] = frozenset()) -> list[Fault]:
    """Return faults, a fifth from each part; a fault's turn depends on its name and the seed alone.

    What changes elsewhere in the source hardly changes the sample.
    """
    parts: list[dict[str, list[Fault]]] = [{} for _ in range(len(FIFTHS) + 1)]
    for module in modules():
        room = room_of(module)
        if not rooms or room in rooms:
            parts[fifth_of(room)].setdefault(room, []).extend(faults(module))
    for part in parts:
        for found in part.values():
            found.sort(key=lambda fault: _turn(fault, seed))
    whole = [list(_in_turn(list(part.values()), count)) for part in parts]
    return list(_in_turn([part[::-1] for part in whole], count))


def _turn(fault: Fault, seed: int) -> bytes:
    module, mutant = fault
    name = f"{seed} {module.relative_to(PACKAGE)} {mutant.name}"
    return hashlib.sha256(name.encode()).digest()


def _in_turn(queues: list[list[Fault]], count: int) -> Iterator[Fault]:
    while count and any(queues):
        for queue in queues:
            if queue and count:
                count -= 1
                yield queue.pop()
