"""Searches all targets for so many seconds in all: ``python -m fuzz SECONDS``.

With ``python -m fuzz SECONDS TARGET``, that one. Findings are left in ``build/fuzz``.
"""

import subprocess
import sys
from pathlib import Path

import atheris  # type: ignore[import-untyped,import-not-found,unused-ignore]  # it has none

with atheris.instrument_imports(include=["charter_otel", "jwt"]):
    from fuzz.targets import SEEDS, TARGETS

CRASHES = Path(__file__).parent / "crashes"
FOUND = Path(__file__).parents[2] / "build" / "fuzz"
OPTIONS = ("-max_len=4096", "-timeout=10", "-rss_limit_mb=2048", "-verbosity=0")


def search_all(seconds: float) -> int:
    """Search each target in a process of its own, for its part of the time.

    Returns:
        0, or 1 where something was found.
    """
    FOUND.mkdir(parents=True, exist_ok=True)
    each = max(1, int(seconds / len(TARGETS)))
    failed = [name for name in TARGETS if not _searched(name, each)]
    print(f"fuzz: {len(TARGETS)} targets, {each} s each; found something in: {failed or 'none'}")
    if failed:
        print(f"fuzz: keep the inputs in {FOUND} as {CRASHES}/<target>/<what is wrong>")
    return bool(failed)


def _searched(name: str, seconds: int) -> bool:
    ended = subprocess.run(
        [sys.executable, "-m", "fuzz", str(seconds), name],
        stderr=subprocess.PIPE,
        text=True,
        check=False,
    )
    if ended.returncode:
        print(f"fuzz: {name} ended with {ended.returncode}\n{ended.stderr}")
    return ended.returncode == 0


def search(seconds: int, name: str) -> None:
    """Search one target; the process ends with the search, or with the first finding."""
    corpus = FOUND / "corpus" / name
    corpus.mkdir(parents=True, exist_ok=True)
    for number, seed in enumerate(SEEDS[name]):
        (corpus / f"seed-{number}").write_bytes(seed)
    kept = [str(CRASHES / name)] if (CRASHES / name).is_dir() else []
    options = [*OPTIONS, f"-max_total_time={seconds}", f"-artifact_prefix={FOUND}/{name}-"]
    atheris.Setup([sys.argv[0], *options, str(corpus), *kept], TARGETS[name])
    atheris.Fuzz()


if __name__ == "__main__":
    given, *target = sys.argv[1:]
    if target:
        search(int(given), *target)
    else:
        sys.exit(search_all(float(given)))
