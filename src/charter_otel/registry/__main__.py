"""Write what follows from the registry: ``python -m charter_otel.registry [--check]``."""

import argparse
import subprocess
import sys
from pathlib import Path

from charter_otel.registry import model, render

PACKAGE = Path(__file__).parents[1]

OUTPUTS = {
    PACKAGE / "charter" / "payloads.py": render.payloads,
    PACKAGE / "charter" / "catalog.py": render.catalog,
    PACKAGE / "emit" / "typed.py": render.typed_emit,
    PACKAGE / "otel" / "semconv.py": render.semconv,
    PACKAGE / "registry" / "README.md": render.tables,
}


def generate() -> dict[Path, str]:
    """Return the text of each generated file, formatted as the rest of the code is."""
    registry = model.load()
    texts = {path: function(registry) for path, function in OUTPUTS.items()}
    return {p: _formatted(t) if p.suffix == ".py" else t for p, t in texts.items()}


def _formatted(text: str) -> str:
    for arguments in (
        ["check", "--select=I", "--fix-only", "--quiet"],
        ["format", "--quiet", "--line-length=100"],
    ):
        command = [sys.executable, "-m", "ruff", *arguments, "--stdin-filename=generated.py", "-"]
        text = subprocess.run(  # noqa: S603 - our own linter, no input from outside
            command, input=text, capture_output=True, text=True, check=True, cwd=PACKAGE
        ).stdout
    return text


def main() -> int:
    """Write the files, or with ``--check`` report which of them are out of date."""
    parser = argparse.ArgumentParser(prog="python -m charter_otel.registry", description=__doc__)
    parser.add_argument("--check", action="store_true", help="write nothing; fail on a difference")
    check = parser.parse_args().check
    stale = [p for p, text in generate().items() if not p.exists() or p.read_text() != text]
    for path in stale:
        print(f"{'out of date' if check else 'written'}: {path.relative_to(PACKAGE)}")
        if not check:
            path.write_text(generate()[path])
    if check and stale:
        print("Run `make generate` and commit the result.")
    return int(check and bool(stale))


if __name__ == "__main__":
    sys.exit(main())
