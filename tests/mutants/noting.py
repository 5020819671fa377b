"""The first call of each function in an instrumented copy: it notes its name in a file."""

import os
from contextlib import suppress

FOLDER = "MUTANTS_CALLS"
"""Variable that names the folder of those files; processes that a test starts inherit it."""

_seen: set[str] = set()
os.register_at_fork(after_in_child=_seen.clear)


def called(name: str) -> None:
    """Note a function once, at once: whoever is killed has noted its calls."""
    if name not in _seen:
        _seen.add(name)
        if folder := os.environ.get(FOLDER):
            with suppress(OSError):  # a test may let no file grow, or none be opened
                _write(f"{folder}/{os.getpid()}", f"{name}\n".encode())


def _write(path: str, line: bytes) -> None:
    file = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o644)
    try:
        os.write(file, line)
    finally:
        os.close(file)


def anew() -> None:
    """Note all functions again."""
    _seen.clear()
