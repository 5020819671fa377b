"""The dead letters: events that a group gave up, for inspection and replay."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import NamedTuple, Self

from redis.asyncio import Redis

from charter_otel.redis import commands
from charter_otel.redis.address import parse_address
from charter_otel.redis.errors import FAILURES, explain
from charter_otel.redis.script import Script
from charter_otel.redis.slots import prefixes
from charter_otel.streams.redis.layout import Fields, StreamKeys
from charter_otel.streams.types import StreamUnavailable

_PAGE = 500
_IDLE = 86_400_000


class StoredDeadLetter(NamedTuple):
    """An event that a group gave up."""

    id: str
    """The dead letter's id."""
    group: str
    error: str
    """Why it was not handled."""
    deliveries: int
    entry: str
    """Id of the event's entry in the stream."""
    event: str
    """The envelope's JSON, or the bytes in its place."""


class DeadLetterPartition(NamedTuple):
    """A partition of the stream."""

    client: Redis
    layout: StreamKeys
    name: str
    """The prefix of its dead letters' ids."""


class DeadLetters:
    """Reads dead letters and returns them to their groups.

    Args:
        url: The stream's Redis.
        partitions: Partitions of the stream; with several, a dead letter's id names its partition.
        prefix: The prefix of all keys.

    Raises:
        ValueError: The URL, the number or the prefix is wrong.
    """

    def __init__(self, url: str, partitions: int = 1, *, prefix: str = "{charter}") -> None:
        address = parse_address(url)
        self._name = address.name
        self._partitions = [
            DeadLetterPartition(
                address.client(each), StreamKeys(each), f"{number}/" if partitions > 1 else ""
            )
            for number, each in enumerate(prefixes(partitions, prefix))
        ]
        self._replay = Script(__package__, "replay")

    @classmethod
    @asynccontextmanager
    async def at(cls, url: str, partitions: int = 1) -> AsyncIterator[Self]:
        """Yield the dead letters of a stream; inside, a lost Redis is a `StreamUnavailable`.

        Raises:
            StreamUnavailable: Redis cannot be reached, or refuses.
        """
        dead_letters = cls(url, partitions)
        try:
            yield dead_letters
        except FAILURES as error:
            raise StreamUnavailable(
                f"{dead_letters._name} cannot be read: {explain(error)}"
            ) from error
        finally:
            for partition in dead_letters._partitions:
                await partition.client.aclose()

    async def each(self, group: str | None = None) -> AsyncIterator[StoredDeadLetter]:
        """Yield the dead letters, of one group if it is named, oldest first in each partition."""
        for client, layout, name in self._partitions:
            start = "-"
            while page := await commands.oldest(client, layout.dead, _PAGE, start=start):
                for entry_id, fields in page:
                    dead_letter = _dead_letter(f"{name}{entry_id.decode()}", fields)
                    if group in {None, dead_letter.group}:
                        yield dead_letter
                start = f"({page[-1][0].decode()}"

    async def replay(self, dead_letter_id: str) -> str:
        """Deliver a dead letter again, to its group only, within seconds.

        Returns:
            ``replayed``, or why it was not: ``unknown``, ``trimmed`` or ``no group``.
        """
        name, slash, entry_id = dead_letter_id.rpartition("/")
        for client, layout, prefix in self._partitions:
            if prefix == name + slash:
                keys = [layout.events, layout.dead]
                outcome: bytes = await self._replay(client, keys, entry_id, _IDLE)
                return outcome.decode()
        return "unknown"


def _dead_letter(dead_letter_id: str, fields: Fields) -> StoredDeadLetter:
    def text(name: bytes) -> str:
        return fields.get(name, b"").decode("utf-8", "replace")

    return StoredDeadLetter(
        id=dead_letter_id,
        group=text(b"group"),
        error=text(b"error"),
        deliveries=int(text(b"deliveries") or 0),
        entry=text(b"entry"),
        event=text(b"event"),
    )
