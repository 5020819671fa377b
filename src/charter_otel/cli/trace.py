"""`charter-otel trace`: the tree of one correlation id."""

import re

import click

from charter_otel.cli.environment import settings
from charter_otel.cli.options import url_option

_TRACE_ID = re.compile(r"[0-9a-f]{32}")


def _trace_id(_: click.Context, __: click.Parameter, value: str) -> str:
    """Return the trace id of an argument: the id itself, or a ``traceparent``."""
    found = _TRACE_ID.search(value.lower())
    if found is None:
        raise click.BadParameter(
            f"{value!r} holds no trace id: it is 32 hexadecimal digits, as an event has in "
            "meta.correlation_id and a log line in trace_id"
        )
    return found[0]


@click.command()
@click.argument("trace_id", metavar="ID", callback=_trace_id)
@url_option
@click.option(
    "--format",
    "form",
    type=click.Choice(["tree", "json"]),
    default="tree",
    show_default=True,
    help="A readable tree, or the service's JSON.",
)
def trace(trace_id: str, url: str, form: str) -> None:
    """Show the spans of a correlation id as a tree, with their events.

    They come from the service itself, which keeps as many finished spans as CHARTER_RECENT_SPANS
    says; no trace store is needed. ID may also be a traceparent. If the service requires tokens, it
    gets CHARTER_TOKEN, or a token signed with CHARTER_AUTH_SECRET.
    """
    import httpx
    import msgspec

    from charter_otel.cli.rest import Rest
    from charter_otel.cli.trace_view import show
    from charter_otel.otel.lines.values import plain_json

    with Rest(url, settings()) as rest:
        try:
            answer = rest.get(f"/api/traces/{trace_id}", has="spans")
        except httpx.TransportError as error:
            raise rest.unreachable(error) from error
    if form == "json":
        click.echo(plain_json(msgspec.json.encode(answer).decode()))
    else:
        show(answer)
