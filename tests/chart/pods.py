"""A pod's container without a cluster: the chart's command, environment, volumes and user."""

import os
import re
import shlex
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.error import HTTPError
from urllib.request import Request, urlopen

from charts.helm import CHART, render
from support import require
from support.polling import wait_until

ROOT = Path(__file__).parents[2]
DOCKERFILE = (ROOT / "Dockerfile").read_text()
VALUES = CHART / "ci" / "default-values.yaml"

_POD = {"metadata.name": "fleet-0", "metadata.namespace": "robots", "spec.nodeName": "node-1"}
_ETC = "hosts resolv.conf nsswitch.conf passwd group ld.so.cache"
_IMAGE = ("/usr", "/bin", "/sbin", "/lib", "/lib64", sys.base_prefix, sys.prefix, str(ROOT))
"""The image's content, as far as a test needs it: this machine's programs and this project."""


@dataclass
class Pod:
    """The only container of a workload, run by the rules of its pod.

    The root file system holds this machine's programs and is read-only. Volumes are directories
    below ``disk``, which outlive the container.

    Args:
        objects: What the chart made.
        name: The workload's name.
        disk: Where the volumes lie.
        secrets: What the Secrets hold, by name and key.
        user: The user id that the platform chooses; the chart's, unless given.
        image: Directories of this machine that the image holds, beside the usual ones.
    """

    objects: list[dict[str, Any]]
    name: str
    disk: Path
    secrets: Mapping[tuple[str, str], str] = field(default_factory=dict)
    user: int | None = None
    image: Sequence[Path] = ()

    def __post_init__(self) -> None:
        """Find the container."""
        self.spec = workload(self.objects, self.name)["spec"]["template"]["spec"]
        (self.container,) = self.spec["containers"]
        self.process: subprocess.Popen[bytes] | None = None

    @property
    def grace(self) -> float:
        """Seconds between SIGTERM and SIGKILL."""
        return float(self.spec["terminationGracePeriodSeconds"])

    @property
    def environment(self) -> dict[str, str]:
        """The variables as the kubelet makes them: references resolved, ``$(NAME)`` expanded."""
        made: dict[str, str] = {}
        for variable in self.container.get("env", []):
            if (value := self._value(variable)) is not None:
                made[variable["name"]] = _expanded(value, made)
        return made

    def command(self, entrypoint: list[str]) -> list[str]:
        """Return the command line: the chart's, or its arguments to the image's entry point."""
        words = [*self.container.get("command", entrypoint), *self.container.get("args", [])]
        return [_expanded(word, self.environment) for word in words]

    def run(self, command: list[str], output: Path) -> "subprocess.Popen[bytes]":
        """Start a command in the container."""
        path = f"{sys.prefix}/bin:/usr/bin:/bin:/usr/sbin:/sbin"
        with output.open("ab") as stdout:
            return subprocess.Popen(
                ["unshare", "--mount", "sh", "-euc", self._entry(command)],
                stdout=stdout,
                stderr=subprocess.STDOUT,
                env={"PATH": path, **self.environment},
                cwd="/",
            )

    @contextmanager
    def running(self, entrypoint: list[str]) -> Iterator["Pod"]:
        """Run the container until the startup probe succeeds; kill it at the end."""
        output = self.disk / "output"
        self.process = self.run(self.command(entrypoint), output)
        try:
            wait_until(lambda: self.ended or self.probe("startupProbe"), "it starts", 60)
            assert not self.ended, output.read_text()
            yield self
        finally:
            self.process.kill()
            self.process.wait()

    @property
    def ended(self) -> bool:
        """Whether the container's process has ended."""
        return self.process is None or self.process.poll() is not None

    def probe(self, name: str) -> bool:
        """Ask as the kubelet does: by the pod's address, without a token."""
        asked = self.container[name]["httpGet"]
        (port,) = (p for p in self.container["ports"] if p["name"] == asked["port"])
        url = f"http://127.0.0.1:{port['containerPort']}{asked['path']}"
        request = Request(url, headers={"host": f"10.1.2.3:{port['containerPort']}"})
        try:
            with urlopen(request, timeout=self.container[name]["timeoutSeconds"]) as answer:  # noqa: S310
                return 200 <= int(answer.status) < 400
        except HTTPError:
            return False
        except OSError:
            return False

    def terminate(self) -> int:
        """Send SIGTERM, and return the exit code; after the grace period it would be SIGKILL."""
        assert self.process is not None
        self.process.send_signal(signal.SIGTERM)
        return self.process.wait(self.grace)

    def kill(self) -> None:
        """Kill the container, as a node does that runs out of memory."""
        assert self.process is not None
        self.process.kill()
        self.process.wait()

    def _value(self, variable: Mapping[str, Any]) -> str | None:
        if "value" in variable:
            return str(variable["value"])
        source = variable["valueFrom"]
        if path := source.get("fieldRef", {}).get("fieldPath"):
            return _POD.get(path, "0a1b")
        secret = source["secretKeyRef"]
        value = self.secrets.get((secret["name"], secret["key"]))
        assert value is not None or secret.get("optional"), f"no Secret {secret}"
        return value

    def _entry(self, command: list[str]) -> str:
        """Return the script that makes the container's file system and becomes its process."""
        context = self.spec["securityContext"]
        assert self.container["securityContext"]["readOnlyRootFilesystem"]
        assert context["runAsNonRoot"]
        user = self.user or context["runAsUser"]
        group = context.get("fsGroup", user)
        bounded = ["setpriv", "--no-new-privs", *command]
        root = self.disk / "root"
        root.mkdir(exist_ok=True)
        new = shlex.quote(str(root))
        lines = [
            f"mount -t tmpfs root {new}",
            f"mkdir {new}/etc",
            f"for name in {_ETC}; do [ ! -e /etc/$name ] || cp /etc/$name {new}/etc; done",
        ]
        for volume in self.container["volumeMounts"]:
            source = self._volume(volume["name"], group)
            lines += _bound(source, f"{root}{volume['mountPath']}", volume.get("readOnly", False))
        for path in filter(os.path.exists, dict.fromkeys((*_IMAGE, *map(str, self.image)))):
            lines += _bound(path, f"{root}{path}", True)
        for path in ("/proc", "/dev"):
            lines += [f"mkdir -p {new}{path}", f"mount --rbind {path} {new}{path}"]
        lines += [
            f"mount -o remount,ro {new}",
            f"exec chroot --userspec={user}:{user} --groups={group} {new} {shlex.join(bounded)}",
        ]
        return "\n".join(lines)

    def _volume(self, name: str, group: int) -> Path:
        """Return a volume's directory, in the state in which Kubernetes mounts it."""
        path = self.disk / "volumes" / name
        path.mkdir(parents=True, exist_ok=True)
        for volume in self.spec.get("volumes", []):
            if volume["name"] == name and "configMap" in volume:
                for file, text in _config_map(self.objects, volume["configMap"]["name"]).items():
                    (path / file).write_text(text)
        os.chown(path, 0, group)
        path.chmod(0o2775)
        return path


def chart(*sets: str) -> list[dict[str, Any]]:
    """Return what the chart makes of its defaults, with single values on top."""
    return render(VALUES, *sets)


def workload(objects: list[dict[str, Any]], name: str) -> dict[str, Any]:
    """Return the StatefulSet, Deployment or DaemonSet of a name."""
    kinds = {"StatefulSet", "Deployment", "DaemonSet"}
    (found,) = (o for o in objects if o["kind"] in kinds and o["metadata"]["name"] == name)
    return found


def entrypoint(target: str) -> list[str]:
    """Return the entry point of an image that the Dockerfile makes."""
    stage = DOCKERFILE.partition(f" AS {target}\n")[2].partition("\nFROM ")[0]
    found = re.search(r'^ENTRYPOINT \["(.*)"\]$', stage, re.MULTILINE)
    assert found
    return [found[1]]


def require_containers() -> None:
    """Skip the test where this process may not make a file system for a container."""
    works = shutil.which("unshare") and not subprocess.call(
        ["unshare", "--mount", "true"], stderr=subprocess.DEVNULL
    )
    require("root", available=bool(works), reason="a container's mounts need root and unshare")


def _config_map(objects: list[dict[str, Any]], name: str) -> dict[str, str]:
    (found,) = (o for o in objects if o["kind"] == "ConfigMap" and o["metadata"]["name"] == name)
    data: dict[str, str] = found["data"]
    return data


def _bound(source: Path | str, target: str, read_only: bool) -> list[str]:
    source, target = shlex.quote(str(source)), shlex.quote(target)
    made = [f"mkdir -p {target}", f"mount --bind {source} {target}"]
    return [*made, f"mount -o remount,bind,ro {target}"] if read_only else made


def _expanded(text: str, variables: Mapping[str, str]) -> str:
    return re.sub(r"\$\((\w+)\)", lambda found: variables.get(found[1], found[0]), text)
