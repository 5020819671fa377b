"""`charter-otel demo`: everything at once, on one machine."""

import click

from charter_otel.cli.environment import check_otel_variables, settings


@click.command()
@click.option(
    "--seconds",
    type=click.FloatRange(0, min_open=True),
    envvar="DEMO_SECONDS",
    help="End after so long; until Ctrl-C otherwise.  [env var: DEMO_SECONDS]",
)
@click.option(
    "--robots", default=12, show_default=True, type=click.IntRange(1, 1_000), help="How many."
)
def demo(seconds: float | None, robots: int) -> None:
    """Show the service at work: a fleet connects, missions flow, the job runs.

    The service runs on a free loopback port, on its embedded event stream unless
    CHARTER_EVENT_STREAM names another. The aggregation job runs every 5 s, unless
    CHARTER_AGGREGATION_INTERVAL says otherwise. Some robots disconnect and come back, one sends a
    bad frame, a dashboard reads the latest readings. At the end there is a summary.

    On a terminal the lines are for people. Elsewhere stdout holds JSON lines only, and what is for
    people goes to stderr.
    """
    check_otel_variables()
    checked = settings()
    from charter_otel.cli.demo_run import demonstrate

    demonstrate(checked, robots=robots, seconds=seconds)
