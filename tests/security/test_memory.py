"""Hostile input costs no memory: the resident size of a real service stays flat."""

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from support.polling import wait_until
from support.service import ServiceProcess, service
from support.strangers import connected, frame, shake_hands, upgrade

LONG = bool(os.environ.get("CHARTER_LONG"))
"""Set in the environment for the numbers of the release; the short form finds a leak as well."""

BAD_FRAMES = 100_000 if LONG else 20_000
REFUSED = 10_000 if LONG else 2_000
GROWTH_MIB = 8.0
PATH = "/api/telemetry/ws"

BAD = (
    b"{",
    b"\xc3\x28 no text",
    b'{"cpu_usage":101}',
    b'{"cpu_usage":' * 200,
    b"[" * 5_000,
    b'{"' + b"k" * 3_000 + b'":1}',
    b'{"timestamp":1e999}',
)
"""No JSON, no reading, deep, wide, out of range."""


def _resident_mib(running: ServiceProcess) -> float:
    status = Path(f"/proc/{running.process.pid}/status").read_text(encoding="ascii")
    line = next(line for line in status.splitlines() if line.startswith("VmRSS:"))
    return int(line.split()[1]) / 1024


@pytest.fixture
def attacked() -> Iterator[ServiceProcess]:
    """Yield a service whose robots may be wrong as often as they like."""
    if not Path("/proc/self/status").exists():
        pytest.skip("no /proc: the resident size of another process is not to be had")
    with service(
        CHARTER_MAX_FRAMES_PER_SECOND="1000000",
        CHARTER_MAX_HANDSHAKES_PER_SECOND="1000000",
    ) as running:
        yield running


def _send_bad_frames(running: ServiceProcess, count: int) -> int:
    """Send bad frames, ten on each connection, which end it; give how many were answered."""
    answered = 0
    for number in range(count // 10):
        with connected(running.http) as client:
            shake_hands(client, running.http, f"{PATH}/robot_{number % 50}")
            bad = [frame(BAD[(number + i) % len(BAD)], 2) for i in range(10)]
            client.sendall(b"".join(bad))
            received = b""
            while received.count(b'{"error"') < 10 and (data := client.recv(65_536)):
                received += data
        answered += received.count(b'{"error"')
    return answered


def test_bad_frames_leave_nothing_behind(attacked: ServiceProcess) -> None:
    """Each is answered, ten close the connection, and the size stays."""
    _send_bad_frames(attacked, BAD_FRAMES // 4)
    before = _resident_mib(attacked)
    assert _send_bad_frames(attacked, BAD_FRAMES) == BAD_FRAMES // 10 * 10
    wait_until(
        lambda: attacked.get("/api/telemetry/info")["active_connections"] == 0, "all are gone"
    )
    assert _resident_mib(attacked) - before < GROWTH_MIB


def test_refused_handshakes_leave_nothing_behind(attacked: ServiceProcess) -> None:
    """Refused requests with wrong ids, foreign origins or long headers leave no memory behind."""

    def refuse(count: int) -> None:
        for number in range(count):
            headers = {"Origin": f"https://{number}.example", "X-Filler": "x" * 2_000}
            assert upgrade(attacked.http, f"{PATH}/robot_{number}", headers).status == 403
            assert upgrade(attacked.http, f"{PATH}/-{number}").status == 400

    refuse(REFUSED // 4)
    before = _resident_mib(attacked)
    refuse(REFUSED // 2)
    assert _resident_mib(attacked) - before < GROWTH_MIB
