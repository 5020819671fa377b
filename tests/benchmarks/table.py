"""The rows as a Markdown table and as JSON."""

import json
import os
import platform
import sys
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path

from benchmarks.row import Row

HEAD = (
    "| row | reference | ours | the reference's | ratio | target | reached |\n"
    "|---|---|---|---|---|---|---|"
)


def line(row: Row) -> str:
    """Return a row as a line of the table."""
    rounds = row.rounds
    relation = (
        f"{rounds.difference:+.3g}"
        if row.target.kind == "more at most"
        else f"{rounds.ratio:.3f}"
        if 0.99 < rounds.ratio < 1.01
        else f"{rounds.ratio:.2f}"
    )
    return cells(
        row.name,
        row.reference,
        f"{_number(rounds.ours.median)} {row.unit} ± {rounds.ours.spread:.0%}",
        f"{_number(rounds.reference.median)} {row.unit} ± {rounds.reference.spread:.0%}",
        relation,
        str(row.target),
        "yes" if row.reached else "**no**",
    )


def cells(*texts: str) -> str:
    """Return a line of a table."""
    return "| " + " | ".join(texts) + " |"


def write_json(path: Path, rows: Sequence[Row], command: str) -> None:
    """Write the rows with all rounds, and what they were measured on."""
    path.parent.mkdir(parents=True, exist_ok=True)
    report = {
        "command": command,
        "at": datetime.now(UTC).isoformat(timespec="seconds"),
        "python": platform.python_version(),
        "machine": f"{platform.system()} {platform.machine()}, {os.cpu_count()} cores",
        "rows": [row.as_json() for row in rows],
    }
    path.write_text(json.dumps(report, indent=1) + "\n", encoding="utf-8")


def say(text: str) -> None:
    """Print a line at once."""
    sys.stdout.write(text + "\n")
    sys.stdout.flush()


def _number(value: float) -> str:
    if abs(value) >= 100:
        return f"{value:,.0f}"
    return f"{value:.3g}"
