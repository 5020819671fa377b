"""`python -m charts.check`: Helm's linter, schemas and a policy linter on the chart.

Each values file of `charter-otel/ci` is rendered, and every object of it is checked. A tool that
is missing is named, and its part skipped.
"""

import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import yaml

from charts import crds
from charts.helm import CHART, HINT, VALUES, HelmError, find, render, run

_POLICIES_LEFT_OUT = {
    "container-image-pull-policy": "a version never changes, so a node need not ask for it again",
    "statefulset-has-host-podantiaffinity": "topologySpreadConstraints spread the pods",
    "deployment-has-host-podantiaffinity": "likewise",
}
_POLICIES_LEFT_OUT_FOR = {
    "openshift": {"container-security-context-user-group-id"},  # the platform chooses them
    "single": {"deployment-replicas", "deployment-has-poddisruptionbudget"},
}


def main() -> int:
    """Run the command, and return its exit code."""
    if find("helm") is None:
        sys.stderr.write(f"charts: skipped, there is no helm; {HINT}\n")
        return 0
    found = [f"{values.name}: {problem}" for values in VALUES for problem in problems(values)]
    sys.stderr.writelines(f"charts: {problem}\n" for problem in found)
    if not crds.CRDS.is_dir():
        sys.stderr.write(f"charts: custom resources skipped, no definitions; {HINT}\n")
    for tool in ("kube-score", "promtool"):
        if find(tool) is None:
            sys.stderr.write(f"charts: its part skipped, there is no {tool}\n")
    return 1 if found else 0


def problems(values: Path) -> Iterator[str]:
    """Yield what is wrong with what the chart makes of a values file."""
    try:
        run("lint", "--strict", "--quiet", CHART, "-f", values)
        objects = render(values)
    except HelmError as error:
        yield str(error)
        return
    yield from _against_schemas(objects)
    yield from _against_policies(objects, values.name.removesuffix("-values.yaml"))
    yield from _rules(objects)


def _against_schemas(objects: list[dict[str, Any]]) -> Iterator[str]:
    """Hold the objects against the oldest version that Chart.yaml names and against the newest."""
    import kubernetes_validate  # noqa: PLC0415 - it is there where helm is

    oldest = yaml.safe_load((CHART / "Chart.yaml").read_text())["kubeVersion"]
    versions = oldest.removeprefix(">=").removesuffix(".0-0"), kubernetes_validate.latest_version()
    for found in objects:
        if crds.is_custom(found):
            wrong = crds.problems(found) if crds.CRDS.is_dir() else ()
            yield from (f"{_name(found)} is wrong: {problem}" for problem in wrong)
            continue
        for version in versions:
            try:
                kubernetes_validate.validate(found, version, strict=True)
            except kubernetes_validate.ValidationError as error:
                yield f"{_name(found)} is wrong for Kubernetes {version}: {error.message}"
            except kubernetes_validate.SchemaNotFoundError:
                yield f"{_name(found)}: Kubernetes {version} has no {found['apiVersion']}"


def _against_policies(objects: list[dict[str, Any]], kind: str) -> Iterator[str]:
    if (scorer := find("kube-score")) is None:
        return
    left_out = {*_POLICIES_LEFT_OUT, *_POLICIES_LEFT_OUT_FOR.get(kind, ())}
    done = subprocess.run(  # noqa: S603 - the linter's own path
        [
            *(scorer, "score", "--output-format", "ci", "--ignore-container-cpu-limit"),
            *(word for policy in sorted(left_out) for word in ("--ignore-test", policy)),
            "-",
        ],
        input=yaml.safe_dump_all(objects),
        capture_output=True,
        text=True,
        check=False,
    )
    lines = done.stdout.splitlines()
    if not any(line.startswith("[OK]") for line in lines):
        yield f"kube-score: {done.stderr or done.stdout}"
    yield from (line for line in lines if line.startswith(("[CRITICAL]", "[WARNING]")))


def _rules(objects: list[dict[str, Any]]) -> Iterator[str]:
    promtool = find("promtool")
    for found in objects if promtool else ():
        if found["kind"] != "PrometheusRule":
            continue
        with tempfile.NamedTemporaryFile("w", suffix=".yaml") as file:
            yaml.safe_dump(found["spec"], file)
            file.flush()
            done = subprocess.run(  # noqa: S603 - promtool's own path
                [str(promtool), "check", "rules", file.name],
                capture_output=True,
                text=True,
                check=False,
            )
        if done.returncode:
            yield f"promtool: {done.stderr}"


def _name(found: dict[str, Any]) -> str:
    return f"{found['kind']} {found['metadata']['name']}"


if __name__ == "__main__":
    sys.exit(main())
