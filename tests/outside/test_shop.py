"""A program outside of the checkout, with the package from its wheel."""

import json
import os
import re
import shutil
import subprocess
import sys
import zipfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from urllib.request import Request, urlopen

import pytest

from cli.commands import Running, run, running
from support.node import installed
from support.otlp import attributes, receiving
from support.polling import wait_until
from support.ports import free_port

ROOT = Path(__file__).parents[2]
SHOP = Path(__file__).with_name("shop.py")
WRONG = (
    'emit(OrderPlaced(order_id="o-1", total="much"))',
    'emit(OrderPlaced(order_id="o-1"))',
    'emit("metrics.aggregation_started", {"started_at": 1.5})',
    'emit("metrics.aggregation_started", {"job_id": "nightly", "started_at": "noon"})',
    "emit(17)",
)
"""Mistakes that a type checker finds."""
PYRIGHT = "pyright@1.1.414"


@pytest.fixture(scope="module")
def package(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return where the wheel is installed."""
    directory = tmp_path_factory.mktemp("wheel")
    build = (sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", str(directory))
    subprocess.run(build, cwd=ROOT, check=True, capture_output=True)
    (wheel,) = directory.glob("*.whl")
    with zipfile.ZipFile(wheel) as archive:
        archive.extractall(directory / "package")
    return directory / "package"


@pytest.fixture
def shop(tmp_path: Path) -> Path:
    """Return a directory with the program, and nothing of the checkout."""
    shutil.copy(SHOP, tmp_path)
    return tmp_path


@contextmanager
def serving(directory: Path, **variables: str) -> Iterator[str]:
    """Run the program under uvicorn and yield its address."""
    port = free_port()
    command = (sys.executable, "-m", "uvicorn", "shop:app", "--port", str(port))
    with (directory / "output").open("wb") as output:
        process = subprocess.Popen(
            command, cwd=directory, stdout=output, stderr=subprocess.STDOUT, env=variables
        )
        try:
            address = f"http://127.0.0.1:{port}"
            wait_until(lambda: _answers(address), "the program answers")
            yield address
        finally:
            process.terminate()
            process.wait(20)


def _answers(address: str) -> bool:
    try:
        with urlopen(f"{address}/fleet/healthz", timeout=1) as response:  # noqa: S310 - our own
            return bool(response.status == 200)
    except OSError:
        return False


def order(address: str, order_id: str) -> None:
    """Place an order."""
    with urlopen(Request(f"{address}/orders/{order_id}", method="POST"), timeout=5):  # noqa: S310
        pass


def orders(address: str) -> list[dict[str, Any]]:
    """Return the events of orders by REST."""
    with urlopen(f"{address}/fleet/api/events?type=orders.*", timeout=5) as answer:  # noqa: S310
        return list(json.load(answer))


def test_the_event_goes_all_the_ways(package: Path, shop: Path, redis_url: str) -> None:
    """REST, another process's tail, the OTLP record in the request's trace, and the audit log."""
    variables = {"PYTHONPATH": str(package), "CHARTER_EVENT_STREAM": redis_url}
    with receiving() as received:
        own = {
            **variables,
            "OTEL_EXPORTER_OTLP_ENDPOINT": received.url,
            "CHARTER_STATE_DIR": str(shop / "state"),
            "CHARTER_CONSUMERS": "audit",
        }
        tail: Running
        with serving(shop, **own) as address, running("tail", variables=variables) as tail:
            tail.writes('"nightly"')
            order(address, "o-1")
            tail.writes('"order_id":"o-1"')
            wait_until(lambda: len(orders(address)) == 1, "the service has read it, too")
            [event] = orders(address)
            audited = shop / "state" / "audit"
            wait_until(
                lambda: any(b'"o-1"' in path.read_bytes() for path in audited.glob("*")),
                "the event is in the audit log",
            )
    assert event["type"] == "orders.order_placed"
    [record] = [r for r in received.log_records if r.event_name == "orders.order_placed"]
    [span] = [s for s in received.spans if s.name == "POST /orders/{order_id}"]
    assert record.trace_id == span.trace_id
    assert record.trace_id.hex() == event["meta"]["correlation_id"]
    found = attributes(record.attributes)
    assert (found["shop.order.id"], found["charter.orders.total"]) == ("o-1", 9.5)
    assert [each.name for each in span.events] == ["orders.order_placed"]


@pytest.mark.parametrize("document", ["json-schema", "asyncapi"])
def test_the_contract_has_the_event(package: Path, shop: Path, document: str) -> None:
    """The command knows the types of a module that it is told to import."""
    variables = {"PYTHONPATH": f"{package}:{shop}"}
    ended = run("schema", document, "--import", "shop", variables=variables)
    assert ended.returncode == 0, ended.stderr
    assert "orders.payloads.OrderPlaced" in ended.stdout
    refused = run("schema", "--import", "no.such.module", variables=variables)
    assert refused.returncode == 2
    assert "no.such.module" in refused.stderr


def test_litestar_has_the_commands(package: Path, shop: Path) -> None:
    """`litestar charter …` is there, with the app's own types declared."""
    command = (sys.executable, "-m", "litestar", "--app", "shop:app", "charter", "schema")
    ended = subprocess.run(
        command,
        cwd=shop,
        env={"PYTHONPATH": str(package)},
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )
    assert ended.returncode == 0, ended.stderr
    assert "orders.order_placed" in ended.stdout


def check_types(checker: str, package: Path, program: Path) -> "subprocess.CompletedProcess[str]":
    """Check a program's types as strictly as can be."""
    if checker == "mypy":
        command = [sys.executable, "-m", "mypy", "--strict", "--python-executable", sys.executable]
        environment = {"MYPYPATH": str(package)}
    else:
        found = installed("pyright", PYRIGHT) / "node_modules/.bin/pyright"
        (program.parent / "pyrightconfig.json").write_text(
            json.dumps({"typeCheckingMode": "strict", "extraPaths": [str(package)]})
        )
        command = [str(found), "--pythonpath", sys.executable]
        environment = {"PATH": os.environ["PATH"]}
    return subprocess.run(
        [*command, program.name],
        cwd=program.parent,
        env=environment,
        capture_output=True,
        text=True,
        check=False,
    )


@pytest.mark.parametrize("checker", ["mypy", "pyright"])
def test_a_type_checker_finds_a_wrong_payload(package: Path, shop: Path, checker: str) -> None:
    """Strictly checked, the program is clean, and each mistake behind it is found."""
    program = shop / "shop.py"
    right = program.read_text()
    program.write_text("\n".join([right, *WRONG]))
    checked = check_types(checker, package, program)
    found = {int(number) for number in re.findall(r"shop\.py:(\d+):", checked.stdout)}
    first = right.count("\n") + 2
    assert found == set(range(first, first + len(WRONG))), checked.stdout + checked.stderr
