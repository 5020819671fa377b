"""The demonstration: service, fleet, missions and a dashboard's reader in one process."""

import asyncio
import logging
import os
import sys
import time

import click
import httpx
import msgspec
import uvloop

from charter_otel.aio import stop_on_signal
from charter_otel.charter import EventType
from charter_otel.emit import Emitter, get_emitter
from charter_otel.failures import Failure
from charter_otel.open_files import raise_open_file_limit
from charter_otel.otel.lines.configure import configure_logs, default_format
from charter_otel.server.server import embedded
from charter_otel.service.settings import Settings
from charter_otel.simulator import Fleet, Missions, RobotBehaviour, parse, summary
from charter_otel.simulator.credentials import Credentials
from charter_otel.simulator.viewer import Viewer

AGGREGATION_INTERVAL = 5.0
"""Seconds between two job runs: nobody watches a demonstration for 30 s to see one."""

_MISSIONS_PER_SECOND = 8.0
_READINGS_PER_SECOND = 2.0
_LEAVING, _STAYS = 4, 4.0
_CLOSED_WITHIN = 5.0


def demonstrate(settings: Settings, *, robots: int, seconds: float | None) -> None:
    """Run the demonstration and give its summary.

    Args:
        settings: The service's settings.
        robots: How many robots connect.
        seconds: How long it runs; until a signal, unless given.

    Raises:
        Failure: Something did not go as it should.
    """
    if not os.environ.get("CHARTER_AGGREGATION_INTERVAL"):
        settings = msgspec.structs.replace(settings, aggregation_interval=AGGREGATION_INTERVAL)
    log_format = settings.log_format or default_format(sys.stdout)
    writer = configure_logs(
        service_name="charter-otel", log_format=log_format, level=settings.log_level
    )
    # The clients live in this process too; their lines would hide the service's.
    for name in ("httpx", "httpcore", "websockets"):
        logging.getLogger(name).setLevel(logging.WARNING)
    raise_open_file_limit()
    result = uvloop.run(_run(settings, robots, seconds))
    if log_format == "json":
        summary.log(result)
    writer.flush()
    summary.show(result, stderr=log_format == "json")
    _judge(result)


async def _run(settings: Settings, robots: int, seconds: float | None) -> summary.Summary:
    async with embedded(settings) as url:
        started = time.perf_counter()
        credentials = Credentials(settings.auth_secret)
        fleet = Fleet(parse(url), robots, _habits, credentials=credentials)
        emitter = get_emitter()
        # In here, so that a signal reaches the fleet first: the service ends after its robots.
        with stop_on_signal() as stop:
            _greet(settings, url, robots, seconds)
            client = httpx.AsyncClient(
                base_url=url, auth=credentials.of_client("read", "write"), trust_env=False
            )
            async with client:
                await _play(fleet, client, stop, seconds)
            await _all_closed(emitter)
        seconds_played = time.perf_counter() - started
    # Only now has the service emitted its last event: the job may run until it stops.
    return summary.summarize(
        fleet.tally, emitter.statistics(), robots=robots, seconds=seconds_played
    )


async def _play(
    fleet: Fleet, client: httpx.AsyncClient, stop: asyncio.Event, seconds: float | None
) -> None:
    async with asyncio.TaskGroup() as group:
        missions = Missions(client, fleet.robot_ids, _MISSIONS_PER_SECOND, fleet.tally)
        group.create_task(missions.post(stop), name="charter-demo-missions")
        group.create_task(Viewer(client, fleet).view(stop), name="charter-demo-viewer")
        await fleet.run(stop, seconds=seconds)


def _habits(number: int) -> RobotBehaviour:
    """Have every fourth robot leave after some seconds and come back, and one send a bad frame."""
    return RobotBehaviour(
        hz=_READINGS_PER_SECOND,
        leaves_after=_STAYS + number / 2 if number % _LEAVING == 0 else None,
        sends_bad_frame=number == 1,
    )


async def _all_closed(emitter: Emitter) -> None:
    """Wait until the service has seen every robot go."""
    deadline = time.monotonic() + _CLOSED_WITHIN
    while time.monotonic() < deadline:
        emitted = emitter.statistics().emitted
        opened = emitted.get(EventType.TELEMETRY_CONNECTION_ESTABLISHED, 0)
        if opened == emitted.get(EventType.TELEMETRY_CONNECTION_CLOSED, 0):
            return
        await asyncio.sleep(0.02)


def _greet(settings: Settings, url: str, robots: int, seconds: float | None) -> None:
    until = "until Ctrl-C" if seconds is None else f"for {seconds:g} s"
    click.echo(
        f"charter-otel demo: {robots} robots at {url} {until}, "
        f"the job runs every {settings.aggregation_interval:g} s",
        err=True,
    )


def _judge(result: summary.Summary) -> None:
    if result.errors:
        raise Failure(
            f"the demonstration met {sum(result.errors.values())} errors: "
            f"{result.first_error or result.errors}; the log lines tell more"
        )
    if result.connections_established != result.connections_closed:
        raise Failure(
            f"{result.connections_established} connections were established and "
            f"{result.connections_closed} closed; each needs both: this is a bug, please report it"
        )
