"""`charter-otel demo`: everything at once, on one machine."""

import click

from charter_otel.cli.environment import check_otel_variables, settings


@click.command()
@click.option(
    "--seconds",
    type=click.FloatRange(0, min_open=True),
    envvar="DEMO_SECONDS",
    help="Seconds until it ends; without, it runs until Ctrl-C.  [env var: DEMO_SECONDS]",
)
@click.option(
    "--robots",
    default=12,
    show_default=True,
    type=click.IntRange(1, 1_000),
    help="Number of robots.",
)
@click.option(
    "--port",
    type=click.IntRange(0, 65_535),
    help="Port of the service and its board.  [default: 8000, or a free one if that is taken]",
)
@click.option(
    "--story/--no-story",
    default=True,
    envvar="DEMO_STORY",
    help="Cause faults on purpose, and announce each.  [env var: DEMO_STORY; default: story]",
)
def demo(*, seconds: float | None, robots: int, port: int | None, story: bool) -> None:
    """Show the service at work: a fleet connects, missions flow, the job runs.

    The service runs on loopback, on its embedded event stream unless CHARTER_EVENT_STREAM names
    another; the board is at its address. The aggregation job runs every 5 s, unless
    CHARTER_AGGREGATION_INTERVAL says otherwise. Within a minute a job fails and recovers, a battery
    runs down and the event stream is away for five seconds. One robot drops out, one is taken over,
    and one sends invalid frames. Each is announced in one sentence, and the summary at the end says
    what was lost: nothing.

    On a terminal the output is readable text. Otherwise stdout has JSON lines only, and readable
    text goes to stderr.
    """
    check_otel_variables()
    checked = settings()
    from charter_otel.cli.demo_run import DemoPlan, demonstrate

    demonstrate(DemoPlan(checked, robots=robots, seconds=seconds, port=port, story=story))
