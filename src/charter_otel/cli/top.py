"""`charter-otel top`: a live view of fleet, jobs and stream at a terminal."""

import click

from charter_otel.cli.environment import settings
from charter_otel.cli.options import url_option


@click.command()
@url_option
@click.option(
    "--every",
    default=1.0,
    show_default=True,
    type=click.FloatRange(0.2, 60),
    help="Seconds between two updates.",
)
@click.option(
    "--once", is_flag=True, help="Print one view and end; the default without a terminal."
)
def top(url: str, every: float, *, once: bool) -> None:
    """Show fleet, jobs, stream and the last events, until q or Ctrl-C.

    Everything comes through the REST API, so a remote service will do. While the service does not
    answer, the view says since when, and continues by itself. If the service requires tokens, it
    gets CHARTER_TOKEN, or a token signed with CHARTER_AUTH_SECRET.
    """
    import sys

    from charter_otel.cli.rest import Rest
    from charter_otel.cli.top_loop import look_on, look_once

    with Rest(url, settings()) as rest:
        if once or not sys.stdout.isatty():
            look_once(rest)
        else:
            look_on(rest, every)
