"""`charter-otel assets`: writes the package's files that are not Python to a directory."""

from collections.abc import Iterator
from importlib.resources import files
from importlib.resources.abc import Traversable
from pathlib import Path

import click

from charter_otel.failures import CommandFailure

_NEXT = """Written to {directory}: {count} files. What to do with them:

  Collector     otelcol-contrib --config {directory}/collector/base.yaml
                see collector/README.md for vendors, agents and gateways
  Prometheus    rule_files: [{directory}/dashboards/rules/charter.rules.yaml]
  Loki          dashboards/rules/charter.loki.yaml, in the ruler's directory
  Alertmanager  dashboards/alertmanager.yaml pages; dashboards/runbooks/ says what to do then
  Grafana       dashboards/provisioning/ and dashboards/json/, see dashboards/README.md
  Kubernetes    helm install charter {directory}/charts/charter-otel
  Docker        compose.yaml brings up all of it, with the images that its first lines name
  pip           pip install -c {directory}/constraints.txt charter-otel, as it was tested"""


@click.command()
@click.argument("directory", type=click.Path(file_okay=False, path_type=Path))
@click.option("--force", is_flag=True, help="Overwrite files that differ.")
def assets(directory: Path, *, force: bool) -> None:
    """Write Collector configurations, dashboards, alert rules and runbooks to DIRECTORY.

    Also write Grafana's provisioning, the Alertmanager configuration, compose.yaml, the Helm chart
    and the tested versions of all dependencies. Nothing else in DIRECTORY is touched.
    """
    found = {directory / name: source.read_bytes() for name, source in _sources()}
    changed = [path for path, content in found.items() if _differs(path, content)]
    if changed and not force:
        raise CommandFailure(
            f"{changed[0]} is there already and differs, as do {len(changed) - 1} others; nothing "
            "was written. Name an empty directory, or overwrite them with --force"
        )
    try:
        for path, content in found.items():
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(content)
    except OSError as error:
        raise CommandFailure(f"cannot write {error.filename}: {error.strerror}") from error
    click.echo(_NEXT.format(directory=directory, count=len(found)))


def _differs(path: Path, content: bytes) -> bool:
    return path.exists() and (not path.is_file() or path.read_bytes() != content)


def _sources() -> Iterator[tuple[str, Traversable]]:
    """Yield each file with its name below the directory."""
    packed = files("charter_otel") / "assets"
    if packed.is_dir():
        yield from _walk("", packed)
        return
    # An editable installation: pyproject.toml names the files that the wheel would contain.
    root = Path(str(files("charter_otel"))).parents[1]
    for name in _included(root):
        yield from _walk(name, root / name)


def _included(root: Path) -> list[str]:
    import tomllib

    project = tomllib.loads((root / "pyproject.toml").read_text(encoding="utf-8"))
    return list(project["tool"]["hatch"]["build"]["targets"]["wheel"]["force-include"])


def _walk(name: str, source: Traversable) -> Iterator[tuple[str, Traversable]]:
    if source.is_file():
        yield name, source
        return
    for each in sorted(source.iterdir(), key=lambda entry: entry.name):
        yield from _walk(f"{name}/{each.name}".lstrip("/"), each)
