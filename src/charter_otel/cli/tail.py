"""`charter-otel tail`: the event stream, one envelope a line."""

import os
import sys
from typing import TYPE_CHECKING

import click

from charter_otel.cli.environment import settings
from charter_otel.cli.options import DEFAULT_URL

if TYPE_CHECKING:
    from charter_otel.otel.lines.configure import LogFormat


@click.command()
@click.option(
    "--type",
    "patterns",
    multiple=True,
    metavar="TYPE",
    help="Only events of this type, e.g. metrics.aggregation_failed or 'telemetry.*'; repeatable.",
)
@click.option(
    "--url",
    metavar="URL",
    help="Follow this service's /api/events/stream. [default: http://127.0.0.1:8000, unless "
    "CHARTER_EVENT_STREAM names a Redis]",
)
@click.option("--after", metavar="ID", help="Begin after the event with this id instead of now.")
@click.option(
    "--format",
    "form",
    type=click.Choice(["json", "console"]),
    help="JSON envelopes, or readable lines. [default: console on a terminal, else json]",
)
def tail(
    patterns: tuple[str, ...], url: str | None, after: str | None, form: "LogFormat | None"
) -> None:
    """Follow the event stream, until Ctrl-C.

    The events go to stdout: on a terminal as readable lines with the whole trace id, otherwise as
    JSON, one envelope a line. If CHARTER_EVENT_STREAM is a redis:// address, they come straight
    from Redis, and the service need not run. After a lost connection the command resumes at the
    same event, and says so on stderr. If the service requires tokens, it gets CHARTER_TOKEN, or a
    token signed with CHARTER_AUTH_SECRET.
    """
    from charter_otel.cli import tail_sources
    from charter_otel.otel.lines.configure import default_format
    from charter_otel.service.backend import parse
    from charter_otel.simulator.credentials import Credentials
    from charter_otel.streams import resolve

    try:
        types = resolve(patterns, undeclared=True)
    except ValueError as error:
        raise click.BadParameter(str(error), param_hint="--type") from error
    checked = settings()
    write = tail_sources.writer(form or default_format(sys.stdout))
    backend = parse(checked.event_stream)
    if url is None and (backend.shared or backend.silent):
        tail_sources.follow_redis(
            checked.event_stream, types, after, write, checked.stream_partitions
        )
    else:
        credentials = Credentials(checked.auth_secret, os.environ.get("CHARTER_TOKEN") or None)
        tail_sources.follow_service(url or DEFAULT_URL, types, after, credentials, write)
