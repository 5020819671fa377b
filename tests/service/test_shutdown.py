"""Hearing early that the service stops."""

import asyncio
import json
import os
import signal
import subprocess
import sys
import time
from types import FrameType

import httpx

from charter_otel.service.shutdown import ShutdownSignal, on_signals
from support.fake_time import settle
from support.http import LOCAL
from support.polling import eventually, wait_until
from support.ports import free_port


async def test_all_waiting_tasks_are_woken() -> None:
    """Everybody who waits goes on when stopping begins, and nobody is kept."""
    stopping = ShutdownSignal()
    waiting = asyncio.gather(stopping.wait(), stopping.wait())
    await eventually(lambda: stopping.waiting == 2, "two wait")
    stopping.begin()
    await waiting
    assert stopping.waiting == 0


async def test_a_late_task_does_not_wait() -> None:
    """Waiting ends at once while the service stops, until it starts again."""
    stopping = ShutdownSignal()
    stopping.begin()
    await asyncio.wait_for(stopping.wait(), 5)
    stopping.reset()
    assert not stopping.begun


async def test_a_task_that_gives_up_is_forgotten() -> None:
    """A cancelled wait leaves nothing behind."""
    stopping = ShutdownSignal()
    task = asyncio.create_task(stopping.wait())
    await eventually(lambda: stopping.waiting == 1, "one waits")
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)
    assert stopping.waiting == 0


async def test_signal_reaches_the_service_and_its_handler() -> None:
    """The callback runs in the event loop, the server's own handler too, and both are put back."""
    handled: list[int] = []

    def server_handler(number: int, frame: FrameType | None) -> None:
        del frame
        handled.append(number)

    heard: list[asyncio.AbstractEventLoop] = []
    before = signal.signal(signal.SIGTERM, server_handler)
    try:
        with on_signals(lambda: heard.append(asyncio.get_running_loop())):
            signal.raise_signal(signal.SIGTERM)
            await eventually(lambda: heard, "the signal is heard")
        assert signal.getsignal(signal.SIGTERM) is server_handler
    finally:
        signal.signal(signal.SIGTERM, before)
    assert handled == [signal.SIGTERM]
    assert heard == [asyncio.get_running_loop()]


async def test_the_server_stops_once_everything_is_finished() -> None:
    """Its handler waits for what is to be done before; a second signal does not wait."""
    handled: list[int] = []
    finished = asyncio.Event()

    async def finish() -> None:
        await finished.wait()

    before = signal.signal(signal.SIGTERM, lambda number, _: handled.append(number))
    try:
        for signals in (1, 2):
            handled.clear()
            finished.clear()
            heard: list[bool] = []
            with on_signals(lambda: heard.append(True), finish):  # noqa: B023 - called inside
                signal.raise_signal(signal.SIGTERM)
                await eventually(lambda: heard, "the signal is heard")  # noqa: B023
                await settle()
                assert handled == []
                if signals == 1:
                    finished.set()
                else:
                    signal.raise_signal(signal.SIGTERM)
                await eventually(lambda: handled, "the server's handler runs")
    finally:
        signal.signal(signal.SIGTERM, before)


async def test_signal_of_nobody_stays_nobodys() -> None:
    """A signal that no server handles ends the process as it always did."""
    before = signal.signal(signal.SIGTERM, signal.SIG_DFL)
    try:
        with on_signals(lambda: None):
            assert signal.getsignal(signal.SIGTERM) is signal.SIG_DFL
    finally:
        signal.signal(signal.SIGTERM, before)


async def test_handler_on_top_of_ours_stays() -> None:
    """A handler that was chained meanwhile stays."""

    def later_handler(number: int, frame: FrameType | None) -> None:
        del number, frame

    before = signal.signal(signal.SIGTERM, lambda *_: None)
    try:
        with on_signals(lambda: None):
            signal.signal(signal.SIGTERM, later_handler)
        assert signal.getsignal(signal.SIGTERM) is later_handler
    finally:
        signal.signal(signal.SIGTERM, before)


async def test_other_threads_have_no_signals() -> None:
    """Outside the main thread, as in a test client, nothing is installed and nothing fails."""

    async def inside() -> None:
        with on_signals(lambda: None):
            pass

    before = signal.getsignal(signal.SIGTERM)
    await asyncio.to_thread(asyncio.run, inside())
    assert signal.getsignal(signal.SIGTERM) is before


def test_sigterm_ends_open_responses_of_a_plain_uvicorn() -> None:
    """Under uvicorn without a limit for its graceful end, an open response ends at once."""
    port = free_port()
    command = [sys.executable, "-m", "uvicorn", "--factory", "charter_otel.service.app:create_app"]
    with subprocess.Popen(
        [*command, "--port", str(port), "--log-level", "warning"],
        env={**os.environ, "CHARTER_EVENT_STREAM": "memory://"},
        stdout=subprocess.DEVNULL,
    ) as server:
        try:
            wait_until(lambda: _answers(port), "the service answers")
            with httpx.stream("GET", f"http://127.0.0.1:{port}/api/events/stream") as response:
                lines = response.iter_lines()
                assert next(lines).startswith("retry")
                server.terminate()
                begun = time.monotonic()
                list(lines)
                assert time.monotonic() - begun < 5
            server.wait(10)
        finally:
            server.kill()


def test_stdout_of_a_plain_uvicorn_is_json_lines() -> None:
    """Its own lines, which would name clients, give way; requests are spans and metrics."""
    port = free_port()
    command = [sys.executable, "-m", "uvicorn", "--factory", "charter_otel.service.app:create_app"]
    with subprocess.Popen(
        [*command, "--port", str(port)],
        env={**os.environ, "CHARTER_EVENT_STREAM": "memory://"},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    ) as server:
        try:
            wait_until(lambda: _answers(port), "the service answers")
            server.terminate()
            stdout, stderr = server.communicate(timeout=10)
        finally:
            server.kill()
    assert "service started" in [json.loads(line)["event"] for line in stdout.splitlines()]
    assert "GET /healthz" not in stdout + stderr


def _answers(port: int) -> bool:
    try:
        return LOCAL.get(f"http://127.0.0.1:{port}/healthz").is_success
    except httpx.TransportError:
        return False
