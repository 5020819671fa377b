"""Which tests mirror a module: those of its own name, or else all of its room."""

from pathlib import Path

ROOT = Path(__file__).parents[2]
PACKAGE = ROOT / "src" / "charter_otel"
TESTS = ROOT / "tests"

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

_SPOOL = ("test_outbox.py", "test_spool_file.py", "test_spool_outbox.py", "test_spool_redis.py")
_TOP = ("test_emit.py", "test_aio.py", "test_open_files.py", "test_own_events.py")
_MIRRORS: dict[str, tuple[str, ...]] = {
    "telemetry": tuple(f"telemetry/{p.name}" for p in (TESTS / "telemetry").glob("test_*.py")),
    "streams/spool": tuple(f"streams/{name}" for name in _SPOOL),
    "streams/redis": ("streams",),
    "consumers/audit": ("consumers",),
    "consumers/alerts": ("consumers",),
    "redis": ("streams", "security/test_redis_secret.py"),
    "service": ("service", "security/test_limits.py"),
    "otel/sdk": ("otel",),
    "otel/lines": ("otel",),
    "": (*_TOP, "telemetry", "charter"),
}
"""Tests of a room that has no folder of its own, or not only that."""


def modules() -> list[Path]:
    """Return the modules that are worth a fault."""
    found = sorted(PACKAGE.rglob("*.py"))
    return [path for path in found if path.name not in GENERATED | {"__init__.py", "__main__.py"}]


def room_of(module: Path) -> str:
    """Return the room of a module, "" for those at the top."""
    relative = module.relative_to(PACKAGE).as_posix()
    return next((room for room in ROOMS if relative.startswith(f"{room}/")), "")


def suite_of(module: Path) -> list[str]:
    """Return the test files and folders that mirror a module."""
    room = room_of(module)
    named = _MIRRORS.get(room, (room,))
    return [f"tests/{name}" for name in named if (TESTS / name).exists()]


def fifth_of(room: str) -> int:
    """Return which part of a sample a room belongs to."""
    return next((number for number, rooms in enumerate(FIFTHS) if room in rooms), len(FIFTHS))
