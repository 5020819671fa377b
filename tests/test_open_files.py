"""Open files and connections."""

import resource

import pytest

from charter_otel.open_files import affordable_connections
from charter_otel.service.factory import log_weaknesses, make_gateway
from charter_otel.service.settings import Settings
from charter_otel.testing import Capture


def test_connections_leave_files_for_probes(
    monkeypatch: pytest.MonkeyPatch, charter_capture: Capture
) -> None:
    """The effective maximum is lowered, and it is said by how much."""
    monkeypatch.setattr(resource, "getrlimit", lambda _: (150, 150))
    settings = Settings(max_connections=20_000)
    gateway = make_gateway(settings)
    assert gateway.limits.max_connections == 50
    log_weaknesses(settings, gateway.limits)
    [line] = [line for line in charter_capture.lines if "open files" in line["event"]]
    assert (line["wanted"], line["connections"]) == (20_000, 50)


@pytest.mark.parametrize(("soft", "held"), [(1_048_576, 20_000), (10, 1), (-1, 20_000)])
def test_enough_files_change_nothing(monkeypatch: pytest.MonkeyPatch, soft: int, held: int) -> None:
    """There is always one connection."""
    monkeypatch.setattr(resource, "getrlimit", lambda _: (soft, soft))
    assert affordable_connections(20_000) == held
