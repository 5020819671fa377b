"""`charter-otel spool`: events that wait on disk for Redis."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import click

from charter_otel.cli.environment import settings
from charter_otel.failures import CommandFailure, Refusal


@click.group()
def spool() -> None:
    """List events that wait on disk for a Redis, and move them to another one.

    They are in spool/ in CHARTER_STATE_DIR, by the address that CHARTER_EVENT_STREAM had.
    """


@spool.command("list")
def list_events() -> None:
    """List addresses with waiting events that no running service publishes."""
    from charter_otel.otel.lines.values import printable
    from charter_otel.streams.spool.directory import leftovers
    from charter_otel.streams.spool.spool import LIMIT

    given = settings()
    directory = given.state_dir / "spool"
    with _disk(directory):
        for left in leftovers(directory, LIMIT):
            click.echo(f"{left.name}  {left.events} events for {printable(left.place)}")


@spool.command()
@click.argument("names", nargs=-1, metavar="[NAME]...")
@click.option("--all", "everything", is_flag=True, help="All events for other addresses.")
def adopt(names: tuple[str, ...], *, everything: bool) -> None:
    """Move events that wait for other addresses to that of CHARTER_EVENT_STREAM.

    NAME is the first column of `list`. A running service publishes the events within a minute;
    another one publishes them when it starts. Redis ignores events that it has already.
    """
    from charter_otel.streams.spool.adopting import adopt_into
    from charter_otel.streams.spool.directory import leftovers
    from charter_otel.streams.spool.spool import LIMIT

    if bool(names) == everything:
        raise click.UsageError("give the names that `charter-otel spool list` shows, or --all")
    given = settings()
    directory = given.state_dir / "spool"
    with _disk(directory):
        places = _places(given.event_stream, given.stream_partitions)
        known = {left.name for left in leftovers(directory, LIMIT)}
        if unknown := set(names) - known:
            raise Refusal(
                f"{min(unknown)!r} has no events; `charter-otel spool list` shows which have"
            )
        moved = adopt_into(directory, places, known if everything else set(names))
    click.echo(f"{moved} events wait for {places[0]} now")


def _places(url: str, partitions: int) -> list[str]:
    from charter_otel.redis.address import SCHEMES, parse_address
    from charter_otel.redis.slots import prefixes

    if url.partition(":")[0].lower() not in SCHEMES:
        raise Refusal("CHARTER_EVENT_STREAM names no Redis; set it to the one that is to get them")
    address = parse_address(url)
    return [address.place(prefix) for prefix in prefixes(partitions)]


@contextmanager
def _disk(directory: Path) -> Iterator[None]:
    import sqlite3

    try:
        yield
    except (OSError, sqlite3.Error) as error:
        raise CommandFailure(
            f"{directory}: {error}; see that CHARTER_STATE_DIR is the service's"
        ) from error
