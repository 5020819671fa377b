"""The demonstration: service, fleet, missions and a dashboard's reader in one process."""

import asyncio
import logging
import os
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

import click
import httpx
import msgspec
import uvloop

from charter_otel.aio import stop_on_signal, wait_for
from charter_otel.charter import EventType
from charter_otel.emit import Emitter, get_emitter
from charter_otel.failures import CommandFailure
from charter_otel.open_files import raise_open_file_limit
from charter_otel.otel.lines.configure import configure_logs, default_format
from charter_otel.server.server import embedded, listen
from charter_otel.service.settings import Settings
from charter_otel.simulator import Missions, RobotBehaviour, SimulatedFleet, parse, summary
from charter_otel.simulator.credentials import Credentials
from charter_otel.simulator.delivery_counter import DeliveryCounter
from charter_otel.simulator.outage import InterruptibleStream
from charter_otel.simulator.story import LENGTH, ROBOTS, SHORTEST, Story
from charter_otel.simulator.viewer import Viewer

PORT = 8000
"""Port of the service unless it is taken, as for `charter-otel serve`."""

AGGREGATION_INTERVAL = 5.0
"""Seconds between two job runs: nobody watches a demonstration for 30 s to see a run."""

RECENT_SPANS = 4_096
"""Finished spans that the board can show."""

_MISSIONS_PER_SECOND = 8.0
_READINGS_PER_SECOND = 2.0
_LEAVING, _STAYS = 4, 4.0
_CLOSED_WITHIN = 5.0


class DemoPlan(NamedTuple):
    """The plan of a demonstration."""

    settings: Settings
    robots: int
    seconds: float | None
    """Seconds that it lasts; until a signal, if None."""
    port: int | None
    """Port of the service; 8000 or else a free port, if None."""
    story: bool
    """Whether faults happen on purpose."""

    @property
    def length(self) -> float:
        """Seconds that the story takes; 0 if there is none."""
        seconds = min(self.seconds or LENGTH, LENGTH)
        return seconds if self.story and self.robots >= ROBOTS and seconds >= SHORTEST else 0.0

    def with_defaults(self) -> "DemoPlan":
        """Return the plan with a demonstration's settings in place of those that are not given."""
        share = (self.length or LENGTH) / LENGTH
        defaults = {
            "aggregation_interval": max(1.0, share * AGGREGATION_INTERVAL),
            "recent_spans": RECENT_SPANS,
        }
        missing = {
            name: value
            for name, value in defaults.items()
            if not os.environ.get(f"CHARTER_{name.upper()}")
        }
        return self._replace(settings=msgspec.structs.replace(self.settings, **missing))


def demonstrate(plan: DemoPlan) -> None:
    """Run the demonstration and show its summary.

    Raises:
        CommandFailure: Something did not go as it should.
    """
    plan = plan.with_defaults()
    log_format = plan.settings.log_format or default_format(sys.stdout)
    writer = configure_logs(
        service_name="charter-otel", log_format=log_format, level=plan.settings.log_level
    )
    # The clients live in this process too; their lines would hide the service's.
    for name in ("httpx", "httpcore", "websockets"):
        logging.getLogger(name).setLevel(logging.WARNING)
    raise_open_file_limit()
    result = uvloop.run(_run(plan))
    if log_format == "json":
        summary.log(result)
    writer.flush()
    summary.show(result, stderr=log_format == "json")
    _judge(result)


async def _run(plan: DemoPlan) -> summary.DemoSummary:
    with _stream(plan) as stream:
        deliveries = DeliveryCounter(stream) if stream else None
        port = _free_port() if plan.port is None else plan.port
        async with embedded(plan.settings, port=port, stream=stream) as url:
            started = time.perf_counter()
            emitter = get_emitter()
            # The cost of emitting alone, whatever else runs on the machine.
            emitter.timer = time.thread_time_ns
            credentials = Credentials(plan.settings.auth_secret)
            fleet = SimulatedFleet(
                parse(url), plan.robots, _behaviour(plan), credentials=credentials
            )
            length = plan.length
            story = Story(fleet, emitter, stream, length, _announce) if length else None
            # Inside, so that a signal reaches the fleet first: the service ends after its robots.
            with stop_on_signal() as stop:
                _greet(plan, url)
                async with httpx.AsyncClient(
                    base_url=url, auth=credentials.of_client("read", "write"), trust_env=False
                ) as client:
                    await _play(plan, fleet, client, story, stop)
                await _all_closed(emitter)
            seconds = time.perf_counter() - started
        # Only now has the service emitted its last event: the job may run until it stops.
        return summary.summarize(
            fleet.stats,
            emitter.statistics(),
            board=url,
            robots=plan.robots,
            seconds=seconds,
            deliveries=deliveries,
        )


@contextmanager
def _stream(plan: DemoPlan) -> Iterator[InterruptibleStream | None]:
    """Yield the embedded stream of a story; None for the stream that the settings name."""
    if not plan.length or plan.settings.event_stream != "memory://":
        yield None
        return
    with tempfile.TemporaryDirectory(prefix="charter-demo-") as directory:
        yield InterruptibleStream(Path(directory))


async def _play(
    plan: DemoPlan,
    fleet: SimulatedFleet,
    client: httpx.AsyncClient,
    story: Story | None,
    stop: asyncio.Event,
) -> None:
    async with asyncio.TaskGroup() as group:
        missions = Missions(client, fleet.robot_ids, _MISSIONS_PER_SECOND, fleet.stats)
        group.create_task(missions.post(stop), name="charter-demo-missions")
        viewer = Viewer(client, fleet, every=2.0 if plan.length else 0.5)
        group.create_task(viewer.view(stop), name="charter-demo-viewer")
        if story:
            group.create_task(_repeat(story, plan.length, stop), name="charter-demo-story")
        await fleet.run(stop, seconds=plan.seconds)


async def _repeat(story: Story, length: float, stop: asyncio.Event) -> None:
    """Play the story again and again, so that a late viewer of the board sees it too."""
    while not stop.is_set():
        begun = time.monotonic()
        await story.play(stop)
        await wait_for(stop, begun + length - time.monotonic())


def _behaviour(plan: DemoPlan) -> Callable[[int], RobotBehaviour]:
    """Return each robot's behaviour: every fourth leaves after some seconds and comes back."""

    def behaviour(number: int) -> RobotBehaviour:
        return RobotBehaviour(
            hz=_READINGS_PER_SECOND,
            # Here alerts are worth seeing, if the user has connected a Prometheus.
            simulated=False,
            leaves_after=_STAYS + number / 2 if number % _LEAVING == 0 else None,
            sends_bad_frame=number == 1 and not plan.length,
        )

    return behaviour


async def _all_closed(emitter: Emitter) -> None:
    """Wait until the service has seen every robot go."""
    deadline = time.monotonic() + _CLOSED_WITHIN
    while time.monotonic() < deadline:
        emitted = emitter.statistics().emitted
        opened = emitted.get(EventType.TELEMETRY_CONNECTION_ESTABLISHED, 0)
        if opened == emitted.get(EventType.TELEMETRY_CONNECTION_CLOSED, 0):
            return
        await asyncio.sleep(0.02)


def _free_port() -> int:
    try:
        listen("127.0.0.1", PORT).close()
    except CommandFailure:
        return 0
    return PORT


def _greet(plan: DemoPlan, url: str) -> None:
    until = "until Ctrl-C" if plan.seconds is None else f"for {plan.seconds:g} s"
    interval = f"{plan.settings.aggregation_interval:.3g} s"
    lines = [
        f"charter-otel demo: open {url}/ to see the board",
        f"{plan.robots} robots {until}, the job runs every {interval}",
    ]
    if plan.settings.auth_secret:
        lines.append("the board asks for a token: charter-otel token me --scope read")
    click.echo("\n".join(lines), err=True)


def _announce(sentence: str) -> None:
    click.secho(f"▶ {sentence}", bold=True, fg="cyan", err=True)


def _judge(result: summary.DemoSummary) -> None:
    if result.errors:
        raise CommandFailure(
            f"the demonstration met {sum(result.errors.values())} errors: "
            f"{result.first_error or result.errors}; see the log lines"
        )
    if result.connections_established != result.connections_closed:
        raise CommandFailure(
            f"{result.connections_established} connections were established and "
            f"{result.connections_closed} closed; each needs both: this is a bug, please report it"
        )
    if result.events_lost:
        raise CommandFailure(
            f"{result.events_lost} events did not reach the stream's subscriber; "
            "this is a bug, please report it"
        )
