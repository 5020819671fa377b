"""This suite's own guard: an error that any emitter swallows fails the test that caused it."""

import os
import subprocess
import sys
from pathlib import Path
from urllib.request import proxy_bypass

import pytest

from charter_otel.emit import Emitter
from charter_otel.testing import Failure
from support import not_run


@pytest.mark.swallows
def test_every_emitter_is_watched(nothing_swallowed: list[Failure]) -> None:
    """Also an emitter that a test, or a service in a test, made itself."""
    Emitter().emit("metrics.aggregation_started", {})
    assert [failure.sink for failure in nothing_swallowed] == ["validation"]


def test_files_that_were_not_run_are_named() -> None:
    """By the programs that are missing; a test that skips for another reason is not among it."""
    skipped = [
        ("tests/dashboards/test_back_ends.py", "Skipped: loki: no loki on PATH"),
        ("tests/dashboards/test_back_ends.py", "Skipped: loki: no loki on PATH"),
        ("tests/chart/test_chart.py", "Skipped: helm: there is none"),
        ("tests/otel/test_logs.py", "Skipped: Python 3.11 has no such thing"),
    ]
    assert not_run(skipped) == (
        "tests/chart/test_chart.py (needs helm); tests/dashboards/test_back_ends.py (needs loki)"
    )
    assert not_run(skipped[3:]) == ""


def test_redis_is_empty(redis_url: str) -> None:
    """The shared Redis is empty for each test."""
    assert redis_url.startswith("redis://127.0.0.1:")


def test_variables_of_the_shell_change_no_test() -> None:
    """Those of the service and of the SDK, whatever somebody exported for another program."""
    shell = {"OTEL_SDK_DISABLED": "true", "CHARTER_LOG_FORMAT": "nonsense", "COLUMNS": "40"}
    one = f"{Path(__file__).with_name('test_emit.py')}::TestCorrelation::test_sampled_span"
    done = subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", one],
        env=os.environ | shell,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout


@pytest.mark.parametrize("host", ["127.0.0.1", "localhost", "::1"])
def test_servers_of_the_tests_are_reached_without_a_proxy(
    monkeypatch: pytest.MonkeyPatch, host: str
) -> None:
    """Also on a machine that has one for all others."""
    monkeypatch.setenv("http_proxy", "http://192.0.2.1:3128")
    assert proxy_bypass(host)
