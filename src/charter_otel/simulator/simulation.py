"""A simulation from its plan to its result: the fleet, its missions, the progress bar."""

import asyncio
import ssl
import sys
import time
from typing import NamedTuple

import click
import httpx
import msgspec
import uvloop
from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn, TimeRemainingColumn

from charter_otel.aio import stop_on_signal, wait_for
from charter_otel.failures import CommandFailure
from charter_otel.open_files import raise_open_file_limit
from charter_otel.simulator import (
    FleetAddress,
    FleetStats,
    Missions,
    Result,
    RobotBehaviour,
    SimulatedFleet,
    in_words,
    refused,
)
from charter_otel.simulator.credentials import HINT, REFUSALS, Credentials
from charter_otel.simulator.robot import CERTIFICATE


class SimulationPlan(NamedTuple):
    """The plan of a simulation."""

    address: FleetAddress
    robots: int
    behaviour: RobotBehaviour
    seconds: float
    connects_per_second: float
    missions_per_second: float
    credentials: Credentials
    tls: ssl.SSLContext | None = None
    """Checks the service's certificate; by the system's authorities, if None."""

    @property
    def duration(self) -> float:
        """Seconds from the first robot's start to the end."""
        return self.seconds + self.robots / self.connects_per_second


def simulate(plan: SimulationPlan) -> None:
    """Run the simulation and print its result.

    Raises:
        CommandFailure: A robot could not connect, or anything failed.
    """
    raise_open_file_limit()
    fleet = SimulatedFleet(
        plan.address,
        plan.robots,
        lambda _: plan.behaviour,
        connects_per_second=plan.connects_per_second,
        credentials=plan.credentials,
        tls=plan.tls,
    )
    started = time.perf_counter()
    uvloop.run(_run(plan, fleet))
    result = fleet.stats.result(
        robots=plan.robots,
        acknowledge=plan.behaviour.acknowledge,
        seconds=time.perf_counter() - started,
    )
    click.echo(in_words(result) if sys.stdout.isatty() else msgspec.json.encode(result))
    _judge(plan, result, fleet.stats)


async def _run(plan: SimulationPlan, fleet: SimulatedFleet) -> None:
    with stop_on_signal() as stop:
        async with (
            httpx.AsyncClient(
                base_url=plan.address.http,
                auth=plan.credentials.of_client("write"),
                verify=plan.tls or True,
                trust_env=False,
            ) as client,
            asyncio.TaskGroup() as group,
        ):
            group.create_task(_show_progress(plan, fleet.stats, stop))
            if plan.missions_per_second:
                missions = Missions(client, fleet.robot_ids, plan.missions_per_second, fleet.stats)
                group.create_task(missions.post(stop))
            await fleet.run(stop, seconds=plan.seconds)


async def _show_progress(plan: SimulationPlan, stats: FleetStats, stop: asyncio.Event) -> None:
    """Show a bar on stderr if that is a terminal."""
    console = Console(stderr=True)
    if not console.is_terminal:
        return
    columns = (BarColumn(), TextColumn("{task.description}"), TimeRemainingColumn())
    with Progress(*columns, console=console, transient=True) as progress:
        task = progress.add_task("", total=plan.duration)
        started = time.perf_counter()
        while not await wait_for(stop, 0.2):
            progress.update(
                task,
                completed=time.perf_counter() - started,
                description=_state(plan, stats),
            )


def _state(plan: SimulationPlan, stats: FleetStats) -> str:
    return f"{stats.open}/{plan.robots} connected, {stats.sent:,} frames, {stats.describe_errors()}"


def _judge(plan: SimulationPlan, result: Result, stats: FleetStats) -> None:
    if result.connected == 0:
        raise CommandFailure(
            f"no robot could connect to {plan.address.websocket} ({stats.first_error}); "
            f"{_remedy(stats)}"
        )
    if result.errors:
        raise CommandFailure(
            f"{stats.describe_errors()}, the first: {stats.first_error}; "
            "the service's log has the end of each connection"
        )
    if result.connected < result.robots:
        raise CommandFailure(
            f"{result.robots - result.connected} robots had no time to connect; "
            "give more --seconds or --connects-per-second"
        )


def _remedy(stats: FleetStats) -> str:
    if stats.errors.keys() & {refused(status) for status in REFUSALS}:
        return HINT
    if CERTIFICATE in stats.errors:
        return "name the authority that signed the service's certificate with --ca-file"
    return "start the service with `charter-otel serve`, or give its address with --url"
