"""`charter-otel dead-letters`: events that a subscriber gave up."""

import asyncio
import json
import re
from collections.abc import Coroutine
from typing import Any

import click

from charter_otel.cli.environment import settings
from charter_otel.failures import CommandFailure, Refusal

_GROUP = click.option("--group", metavar="GROUP", help="Only the dead letters of this group.")
_ID = re.compile(r"([0-9]{1,2}/)?[0-9]{1,20}-[0-9]{1,20}")


@click.group("dead-letters")
def dead_letters() -> None:
    """Inspect events that a subscriber gave up, and deliver them again.

    They are in the Redis that CHARTER_EVENT_STREAM names.
    """


@dead_letters.command("list")
@_GROUP
def list_dead_letters(group: str | None) -> None:
    """Print the dead letters as JSON, one a line, oldest first."""
    _run(_list(*_redis(), group))


@dead_letters.command()
@click.argument("ids", nargs=-1, metavar="[ID]...")
@click.option("--all", "everything", is_flag=True, help="All dead letters, or all of --group.")
@_GROUP
def replay(ids: tuple[str, ...], group: str | None, *, everything: bool) -> None:
    """Deliver dead letters again, to the group that gave them up and to no other.

    ID is the "id" that `list` prints. The group's consumers get the event within seconds; when it
    fails again it becomes a dead letter again.
    """
    if bool(ids) == everything:
        raise click.UsageError("give the ids of dead letters, or --all")
    if wrong := [each for each in ids if not _ID.fullmatch(each)]:
        raise click.BadParameter(
            f"{wrong[0]!r} is not an id; `charter-otel dead-letters list` has them"
        )
    _run(_replay(*_redis(), ids, group))


def _redis() -> tuple[str, int]:
    """Return the stream's URL, and the number of its partitions."""
    from charter_otel.service.backend import parse

    given = settings()
    url = given.event_stream
    if not parse(url).shared:
        raise Refusal(
            f"CHARTER_EVENT_STREAM={url} keeps no dead letters outside the service;"
            " set it to the service's redis:// address"
        )
    return url, given.stream_partitions


def _run(work: Coroutine[Any, Any, None]) -> None:
    from charter_otel.streams import StreamUnavailable

    try:
        asyncio.run(work)
    except StreamUnavailable as error:
        raise CommandFailure(
            f"{error}; see that CHARTER_EVENT_STREAM is right and Redis runs"
        ) from error
    except ValueError as error:
        raise Refusal(f"CHARTER_EVENT_STREAM: {error}") from error


async def _list(url: str, partitions: int, group: str | None) -> None:
    from charter_otel.otel.lines.values import plain_json
    from charter_otel.streams.redis.dead_letters import DeadLetters

    async with DeadLetters.at(url, partitions) as dead_letters:
        async for dead_letter in dead_letters.each(group):
            click.echo(plain_json(json.dumps(dead_letter._asdict())))


async def _replay(url: str, partitions: int, ids: tuple[str, ...], group: str | None) -> None:
    from charter_otel.streams.redis.dead_letters import DeadLetters

    async with DeadLetters.at(url, partitions) as dead_letters:
        wanted = ids or [each.id async for each in dead_letters.each(group)]
        outcomes = {id_: await dead_letters.replay(id_) for id_ in wanted}
    failed = {id_: why for id_, why in outcomes.items() if why != "replayed"}
    click.echo(f"{len(outcomes) - len(failed)} delivered again")
    if failed:
        each = ", ".join(f"{id_} ({why})" for id_, why in failed.items())
        raise CommandFailure(f"not delivered again: {each}; they stay where they are")
