"""Packages of npm, for tests that hold something against what other projects publish."""

import shutil
import subprocess
from pathlib import Path

from support import require

BUILD = Path(__file__).parents[2] / "build"


def installed(name: str, *packages: str) -> Path:
    """Install packages once into a directory of `build/`, and return it; skip where npm cannot."""
    node, npm = shutil.which("node"), shutil.which("npm")
    require("node", available=bool(node and npm), reason="no node and npm on PATH; install Node.js")
    cache = BUILD / name
    wanted = "\n".join(packages)
    stamp = cache / "installed.txt"
    if not stamp.exists() or stamp.read_text() != wanted:
        cache.mkdir(parents=True, exist_ok=True)
        command = ["npm", "install", "--no-save", "--no-package-lock", "--no-audit", "--no-fund"]
        done = subprocess.run(
            [*command, "--prefix", str(cache), *packages],
            capture_output=True,
            text=True,
            check=False,
            timeout=100,
        )
        require("node", available=done.returncode == 0, reason=f"npm failed: {done.stderr[-300:]}")
        stamp.write_text(wanted)
    return cache
