"""`python -m dashboards.build`: writes ``json/``; ``--check`` only compares."""

import argparse
import json
import sys
from pathlib import Path

from dashboards.definitions import all_dashboards

JSON = Path(__file__).parent / "json"


def render() -> dict[Path, str]:
    """Return every generated file with its text."""
    return {
        JSON / name: json.dumps(made, indent=2, ensure_ascii=False) + "\n"
        for name, made in all_dashboards().items()
    }


def drift(files: dict[Path, str]) -> list[str]:
    """Return the names of files that differ from their definitions or have none."""
    changed = [path for path, text in files.items() if _text(path) != text]
    return sorted(path.name for path in {*changed, *(set(JSON.glob("*.json")) - set(files))})


def write(files: dict[Path, str]) -> None:
    """Write the files, and remove those of dashboards that are gone."""
    JSON.mkdir(exist_ok=True)
    for path in set(JSON.glob("*.json")) - set(files):
        path.unlink()
    for path, text in files.items():
        path.write_text(text, encoding="utf-8")


def main() -> int:
    """Run the command; give its exit code."""
    parser = argparse.ArgumentParser(prog="python -m dashboards.build", description=__doc__)
    parser.add_argument("--check", action="store_true", help="write nothing, fail when different")
    check = parser.parse_args().check
    files = render()
    names = drift(files)
    if not check:
        write(files)
    elif names:
        sys.stderr.write(
            f"dashboards/json is out of date: {', '.join(names)}; run `make generate`\n"
        )
        return 1
    return 0


def _text(path: Path) -> str:
    return path.read_text(encoding="utf-8") if path.exists() else ""


if __name__ == "__main__":
    sys.exit(main())
