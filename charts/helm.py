"""Helm as the checks and tests use it: where it is, and what it makes of a values file."""

import re
import shutil
import subprocess
from pathlib import Path
from typing import Any

import yaml

CHART = Path(__file__).parent / "charter-otel"
VALUES = sorted((CHART / "ci").glob("*-values.yaml"))
"""Values files of the checks, each of another kind of installation."""
HINT = "run `sh charts/tools.sh` (needs Go)"
"""Advice on getting a missing program."""

TOOLS = Path(__file__).parents[1] / "build" / "tools"
"""Directory of what `charts/tools.sh` builds and fetches."""
_NOISE = re.compile(r".*found symbolic link in path.*\n")


class HelmError(Exception):
    """Helm refused; the text is what it said."""


def find(tool: str) -> str | None:
    """Return the path of a tool: what `charts/tools.sh` built, or what is on the PATH."""
    return shutil.which(tool, path=str(TOOLS)) or shutil.which(tool)


def run(*arguments: str | Path) -> str:
    """Run Helm, and return its output.

    Raises:
        HelmError: It ended non-zero.
    """
    done = subprocess.run(  # noqa: S603 - arguments are the checks' own
        [find("helm") or "helm", *map(str, arguments)], capture_output=True, text=True, check=False
    )
    if done.returncode:
        raise HelmError(_NOISE.sub("", done.stderr + done.stdout).strip())
    return done.stdout


def render(values: Path, *sets: str) -> list[dict[str, Any]]:
    """Return the objects that the chart makes of a values file.

    Args:
        values: The values file.
        sets: Single values on top, as ``name=value``.

    Raises:
        HelmError: The chart refuses the values.
    """
    overrides = [word for pair in sets for word in ("--set-json", pair)]
    text = run("template", "fleet", CHART, "--namespace", "robots", "-f", values, *overrides)
    return [found for found in yaml.safe_load_all(text) if found]
