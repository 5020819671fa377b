"""The rooms of the source, the parts of a sample, and the tests that mirror a room."""

from pathlib import Path

ROOT = Path(__file__).parents[2]
PACKAGE = ROOT / "src" / "charter_otel"
TESTS = ROOT / "tests"
OUTPUT = ROOT / "build" / "mutants"

ROOMS = (
    *("telemetry/cluster", "telemetry", "streams/spool", "streams/redis", "streams"),
    *("consumers/audit", "consumers/alerts", "consumers", "metrics", "charter", "redis"),
    *("otel/sdk", "otel/lines", "otel", "service", "server", "simulator", "cli", "testing"),
)
"""The longest first, so that a module belongs to the innermost."""

FIFTHS = (
    frozenset({"telemetry/cluster", "telemetry"}),
    frozenset({"streams/spool"}),
    frozenset({"consumers/audit"}),
    frozenset({"consumers/alerts"}),
)
"""A sample takes a fifth from each, and the last from all other rooms."""

GENERATED = {"semconv.py", "payloads.py", "catalog.py", "render.py", "typed.py"}

_APART = {
    *{"bare", "benchmarks", "browser", "chaos", "chart", "collector", "dashboards", "fuzz"},
    *{"mutants", "outages", "outside", "pictures", "registry", "rules", "scale", "stack", "supply"},
}
"""Folders whose tests are about other things than the source, or too slow."""

_MIRRORS: dict[str, tuple[str, ...]] = {
    "telemetry": ("telemetry", "security"),
    "telemetry/cluster": ("telemetry/cluster", "service"),
    "streams/spool": ("streams/test_spool", "streams/test_outbox"),
    "streams/redis": ("streams",),
    "consumers/audit": ("consumers", "cli/test_audit"),
    "consumers/alerts": ("consumers",),
    "redis": ("streams", "security/test_redis_secret"),
    "service": ("service", "security"),
    "otel/sdk": ("otel",),
    "otel/lines": ("otel",),
}
"""Tests of a room that has no folder of its own, or not only that."""


def files_of_tests() -> list[Path]:
    """Return the files whose tests judge faults."""
    found = sorted(TESTS.rglob("test_*.py"))
    return [path for path in found if path.relative_to(TESTS).parts[0] not in _APART]


def modules() -> list[Path]:
    """Return the modules that are worth a fault."""
    found = sorted(PACKAGE.rglob("*.py"))
    return [path for path in found if path.name not in GENERATED | {"__init__.py", "__main__.py"}]


def room_of(module: Path) -> str:
    """Return the room of a module, "" for those at the top."""
    relative = module.relative_to(PACKAGE).as_posix()
    return next((room for room in ROOMS if relative.startswith(f"{room}/")), "")


def mirrors(module: Path, test: str) -> bool:
    """Return whether a test is of the file or folder that mirrors the room of a module."""
    room = room_of(module)
    named = _MIRRORS.get(room, (room or "test_",))
    return test.startswith(tuple(f"tests/{name}" for name in named))


def fifth_of(room: str) -> int:
    """Return which part of a sample a room belongs to."""
    return next((number for number, rooms in enumerate(FIFTHS) if room in rooms), len(FIFTHS))


def part_of(room: str) -> str:
    """Return the name of that part."""
    return ", ".join(sorted([*FIFTHS, {"other rooms"}][fifth_of(room)]))
