"""Fixtures of every test: no error is swallowed, and the process is put back as it was."""

import gc
import logging
import os
import sys
from collections.abc import Generator, Iterator
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING

import pytest
from hypothesis import settings

from charter_otel.emit import Emitter, get_emitter, set_emitter
from charter_otel.testing import Failure, charter_capture, logging_restored

if TYPE_CHECKING:
    from support.redis import RedisServer
    from support.redis_sets import RedisSet

__all__ = ["charter_capture"]

OWN_VARIABLES = ("CHARTER_REQUIRE", "CHARTER_TEST_", "CHARTER_LONG", "CHARTER_COLLECTOR_BINARY")
"""Variables with which `make test` itself is called."""

TERMINAL = {"COLUMNS", "LINES", "NO_COLOR", "FORCE_COLOR", "CLICOLOR_FORCE"}
"""Variables that change what programs print."""

# A shared machine pauses a test for longer than hypothesis waits. The same examples come each
# time, so that a commit that passed passes again; the other profile searches for others.
settings.register_profile("charter", deadline=None, derandomize=True)
settings.register_profile("thorough", deadline=None, max_examples=5_000)
settings.load_profile("charter")

# What somebody exported in the shell is not meant for the services and the SDKs that tests run.
for name in tuple(os.environ):
    ours = name.startswith(("CHARTER_", "OTEL_")) and not name.startswith(OWN_VARIABLES)
    if ours or name in TERMINAL:
        del os.environ[name]

# Servers of the tests are on this machine, also where a proxy is on the way to all others.
for name in ("no_proxy", "NO_PROXY"):
    others = filter(None, [os.environ.get(name), "127.0.0.1", "localhost", "::1"])
    os.environ[name] = ",".join(others)

# Clients that a fixture runs in threads beside the tests would write between a test's own lines.
for name in ("httpx", "httpcore", "websockets.client"):
    logging.getLogger(name).setLevel(logging.WARNING)

MODULES_WITH_SEAMS = ("charter_otel.metrics.jobs", "charter_otel.telemetry.router")


LONGEST = tuple(
    f"{Path(__file__).parent}/{place}"
    for place in (
        "chaos/",
        "rules/test_rules",
        "dashboards/test_truth",
        "rules/test_gaps",
        "rules/test_outage",
        "rules/test_site_gaps",
        "telemetry/cluster/test_failover",
        "outside/test_shop",
        "streams/test_redis_failover",
        "dashboards/test_live",
    )
)
"""The longest tests' places, in turn such that wait and such that compute.

Of several processes, none may begin them at the end, and some should compute while others wait.
"""


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Put the tests that take longest first, and keep the order otherwise."""
    items.sort(key=lambda item: _place(str(item.path)))


def _place(path: str) -> int:
    """Return a file's place among the longest, or the one behind them."""
    found = (number for number, place in enumerate(LONGEST) if path.startswith(place))
    return next(found, len(LONGEST))


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport() -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """Escape lone surrogates that a test wrote: one process cannot send them to another."""
    report = yield
    report.sections = [
        (title, text.encode(errors="backslashreplace").decode()) for title, text in report.sections
    ]
    return report


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """Name above the last line what was not run: a gate without it is green as well."""
    from support import not_run  # noqa: PLC0415 - the path is set by now

    reports = terminalreporter.stats.get("skipped", [])
    places = [report.longrepr for report in reports if isinstance(report.longrepr, tuple)]
    skipped = [(os.path.relpath(file), reason) for file, _, reason in places]
    if told := not_run(skipped):
        terminalreporter.section("not run")
        terminalreporter.write_line(told)


@pytest.fixture(autouse=True)
def nothing_swallowed(
    request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch
) -> Iterator[list[Failure]]:
    """Fail the test when any emitter of this process swallowed an error, unless it is marked."""
    failures: list[Failure] = []
    monkeypatch.setattr(
        Emitter,
        "on_failure",
        staticmethod(lambda sink, error: failures.append(Failure(sink, error))),
    )
    yield failures
    if failures and request.node.get_closest_marker("swallows") is None:
        pytest.fail(f"the emitter swallowed {failures}; mark the test `swallows` if it means to")


@pytest.fixture(scope="module", autouse=True)
def leaks_found() -> Iterator[None]:
    """Collect garbage after each module: what it left open fails it, and no later one.

    A service that ran for a whole module has configured the lines; that ends with it, too.
    """
    with logging_restored():
        yield
    gc.collect()


@pytest.fixture(autouse=True)
def process_put_back() -> Iterator[None]:
    """Put back the process's emitter, its logging and the modules' streams after each test."""
    before = get_emitter()
    set_emitter(Emitter())
    with logging_restored():
        yield
    set_emitter(before)
    for name in MODULES_WITH_SEAMS:
        if module := sys.modules.get(name):
            module.set_event_stream(None)


@pytest.fixture
def mortal_redis(tmp_path: Path) -> Iterator["RedisServer"]:
    """Yield a Redis of the test's own, which it may kill and pause."""
    from support.redis import RedisServer  # noqa: PLC0415 - tests without Redis need no client

    server = RedisServer(tmp_path)
    server.start()
    yield server
    server.stop()


@pytest.fixture(scope="session")
def shared_redis() -> Iterator["RedisServer"]:
    """Run one Redis for the whole session, for tests that neither kill nor pause it."""
    from support.redis import RedisServer  # noqa: PLC0415 - tests without Redis need no client

    with TemporaryDirectory(prefix="charter") as directory:
        server = RedisServer(Path(directory))
        server.start()
        yield server
        server.stop()


@pytest.fixture
def redis_server(shared_redis: "RedisServer") -> "RedisServer":
    """Return that Redis without data."""
    shared_redis.command("FLUSHALL")
    return shared_redis


@pytest.fixture
def redis_url(redis_server: "RedisServer") -> str:
    """Return the URL of a Redis that is empty."""
    return redis_server.url


@pytest.fixture(params=["sentinel", "cluster"])
def redis_set(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator["RedisSet"]:
    """Run a Sentinel set, and a cluster, whose master a test may kill."""
    from support.redis_sets import REPLACING  # noqa: PLC0415 - as above

    with REPLACING[request.param](tmp_path) as servers:
        yield servers
