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

GENERATED = {"semconv.py", "payloads.py", "catalog.py", "render.py"}

_SPOOL = ("test_outbox.py", "test_spool_outbox.py", "test_spool_file.py", "test_spool_redis.py")
_MIRRORS: dict[str, tuple[str, ...]] = {
    "streams/spool": tuple(f"streams/{name}" for name in _SPOOL),
    "streams/redis": ("streams",),
    "streams/outbox.py": ("streams/test_outbox.py", "streams/test_spool_outbox.py"),
    "consumers/audit": ("consumers/test_audit.py",),
    "consumers/alerts": ("consumers/test_alerts.py",),
    "redis": ("streams/test_connect.py", "streams/test_redis.py", "redis"),
    "": ("test_emit.py", "test_aio.py", "telemetry/test_tokens.py", "charter"),
}
"""Where the tests lie of a module or room that has no folder of its own."""


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
    relative, room = module.relative_to(PACKAGE).as_posix(), room_of(module)
    named = _MIRRORS.get(relative) or _own(module, room) or _MIRRORS.get(room) or (room,)
    return [str(TESTS / name) for name in named if (TESTS / name).exists()]


def _own(module: Path, room: str) -> tuple[str, ...]:
    """Return the tests of the module's own name, and those of its room that name the room."""
    folder = TESTS / room
    own = [*folder.glob(f"test_{module.stem}.py"), *folder.glob(f"test_{module.stem}_*.py")]
    return tuple(path.relative_to(TESTS).as_posix() for path in own)
