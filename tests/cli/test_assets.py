"""`charter-otel assets`: what the wheel brings beside the package."""

import subprocess
import sys
import zipfile
from pathlib import Path

import pytest
import yaml

from cli.commands import called, run

ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="module")
def written(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a directory with everything."""
    directory = tmp_path_factory.mktemp("assets")
    assert called("assets", str(directory)).returncode == 0
    return directory


def files(directory: Path) -> dict[str, bytes]:
    """Return the content of all files, by their names below a directory."""
    return {
        str(path.relative_to(directory)): path.read_bytes()
        for path in directory.rglob("*")
        if path.is_file()
    }


@pytest.mark.parametrize(
    "pattern",
    [
        *("collector/*.yaml", "collector/vendors/*.yaml", "collector/.env.example"),
        *("dashboards/json/*.json", "dashboards/rules/*.yaml", "dashboards/runbooks/*.md"),
        *("dashboards/provisioning/*/*.yaml", "dashboards/alertmanager.yaml"),
        *("compose.yaml", "constraints.txt", "charts/charter-otel/templates/*"),
    ],
)
def test_all_of_a_kind_are_written(written: Path, pattern: str) -> None:
    """Each as it is in the checkout."""
    expected = {str(path.relative_to(ROOT)): path.read_bytes() for path in ROOT.glob(pattern)}
    assert expected
    assert expected.items() <= files(written).items()


def test_files_that_compose_mounts_exist(written: Path) -> None:
    """Its relative paths hold beside it."""
    compose = yaml.safe_load((written / "compose.yaml").read_text())
    services = compose["services"].values()
    mounted = [mount for service in services for mount in service.get("volumes", [])]
    sources = [mount.partition(":")[0] for mount in mounted if mount.startswith("./")]
    secrets = [secret["file"].partition(":-")[2][:-1] for secret in compose["secrets"].values()]
    sources += [path for path in secrets if path.startswith("./")]
    assert sources
    assert [source for source in sources if not (written / source).exists()] == []


def test_a_file_that_was_changed_is_kept(written: Path, tmp_path: Path) -> None:
    """The command names it and writes nothing; --force overwrites it."""
    changed = tmp_path / "compose.yaml"
    changed.write_text("mine")
    refused = called("assets", str(tmp_path))
    assert (refused.returncode, refused.stdout) == (1, "")
    assert f"{changed} is there already" in refused.stderr
    assert "--force" in refused.stderr
    assert files(tmp_path) == {"compose.yaml": b"mine"}
    assert called("assets", str(tmp_path), "--force").returncode == 0
    assert files(tmp_path) == files(written)
    assert called("assets", str(tmp_path)).returncode == 0, "what is the same is not a conflict"


def test_a_place_that_cannot_be_written_is_named(tmp_path: Path) -> None:
    """A file where a directory should be."""
    (tmp_path / "collector").write_text("")
    refused = called("assets", str(tmp_path))
    assert refused.returncode == 1
    assert refused.stderr.startswith("Error: cannot write")


def test_the_wheel_writes_the_same(written: Path, tmp_path: Path) -> None:
    """Unpacked somewhere else, without the checkout."""
    build = (sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", str(tmp_path))
    subprocess.run(build, cwd=ROOT, check=True, capture_output=True)
    (wheel,) = tmp_path.glob("*.whl")
    with zipfile.ZipFile(wheel) as archive:
        archive.extractall(tmp_path / "package")
    done = run("assets", str(tmp_path / "out"), variables={"PYTHONPATH": str(tmp_path / "package")})
    assert done.returncode == 0, done.stderr
    assert files(tmp_path / "out") == files(written)
