"""Mission entries in a Redis stream, with cursor and aggregates in a hash beside it."""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from secrets import token_hex
from typing import Any, NamedTuple

import msgspec
from redis.asyncio import Redis
from redis.exceptions import RedisError

from charter_otel.metrics.missions.aggregates import (
    Aggregates,
    ChangedKeys,
    RobotAggregate,
    StatusAggregate,
    Totals,
)
from charter_otel.metrics.missions.base import (
    CAPACITY,
    Batch,
    MissionBacklogFull,
    MissionStore,
    MissionsUnavailable,
)
from charter_otel.redis.bad_entries import BadEntries
from charter_otel.redis.commands import REPLY_LOST
from charter_otel.redis.replication import NotReplicated
from charter_otel.redis.script import Script

KEPT_MS = 3_600_000
"""Milliseconds for which counted entries stay in the stream, for inspection."""

PAGE = 1_000
"""Entries that one reply carries at most."""

_DATA = b"data"
_STATUS = b"status:"
_ROBOT = b"robot:"


class _State(NamedTuple):
    version: str
    aggregates: Aggregates


class RedisMissions(MissionStore):
    """A mission store in Redis or Valkey, 6.2 or later; several instances share it.

    The stream ``<prefix>:missions`` has one field ``data`` with an entry's JSON, which any client
    may XADD. The hash ``<prefix>:missions:aggregates`` has the cursor, the version of the last
    commit, and the aggregates: ``totals``, ``status:<status>`` and ``robot:<robot id>``, each JSON.

    Args:
        client: A client of the store's own that gives bytes; `aclose` closes it.
        prefix: The prefix of keys. Its braces keep them in one slot of a cluster.
        capacity: Most entries that the stream holds.
        replicas: Replicas that must have entries before they count as added.
    """

    def __init__(
        self,
        client: Redis,
        *,
        prefix: str = "{charter}",
        capacity: int = CAPACITY,
        replicas: int = 0,
    ) -> None:
        # redis-py's types cannot tell that this client gives bytes.
        self._client: Any = client
        # redis-py makes a mapping of each entry, which takes as long as counting it.
        self._client.set_response_callback("XRANGE", _as_it_comes)
        self._capacity = capacity
        self._replicas = replicas
        self._missions = f"{prefix}:missions"
        self._hash = f"{prefix}:missions:aggregates"
        self._append = Script(__package__, "append")
        self._commit = Script(__package__, "commit")
        self._state: _State | None = None
        """The state after this instance's last commit; None while a commit is under way."""

    async def append(self, entries: Sequence[bytes]) -> None:
        """Add entries to the stream, all or none."""
        arguments: list[Any] = [self._capacity, _packed(entries)]
        keys = [self._missions, self._hash]
        with _reached():
            done = await self._append(self._client, keys, *arguments, replicas=self._replicas)
        if not done:
            raise MissionBacklogFull(self._capacity)

    async def read(self, limit: int) -> Batch:
        """Read on from the stored cursor, in pages that keep neither side busy for long.

        If another run moves the cursor meanwhile, the version changes, and this batch is refused.
        """
        version, cursor = await self._client.hmget(self._hash, "version", "cursor")
        position: bytes = cursor or b"0-0"
        data: list[bytes | None] = []
        while wanted := min(limit - len(data), PAGE):
            page = await self._client.xrange(self._missions, b"(" + position, count=wanted)
            data += [_data(fields) for _, fields in page]
            if page:
                position = page[-1][0]
            if len(page) < wanted:
                break
        return Batch((version or b"").decode(), position.decode(), data)

    async def commit(self, batch: Batch, added: Aggregates) -> bool:
        """Run the commit's script, and once more if its reply is lost."""
        state, self._state = self._state, None
        if state is None or state.version != batch.version:
            state = await self._load()
        if state.version != batch.version:
            return False
        touched = state.aggregates.add(added)
        version = token_hex(8)
        changes = _packed(_changes(state.aggregates, touched))
        kept_from = _kept_from(batch.position)
        if not await self._commit_surely(
            [batch.version, version, batch.position, kept_from, changes]
        ):
            return False
        self._state = _State(version, state.aggregates)
        return True

    async def aggregates(self) -> Aggregates:
        """Read the aggregates from the hash."""
        with _reached():
            return (await self._load()).aggregates

    async def aclose(self) -> None:
        """Close the client."""
        await self._client.aclose()

    async def _commit_surely(self, arguments: Sequence[Any]) -> bool:
        keys = [self._missions, self._hash]
        try:
            return bool(await self._commit(self._client, keys, *arguments))
        except REPLY_LOST:
            # Whether the script ran is unknown; it recognizes its own version.
            return bool(await self._commit(self._client, keys, *arguments))

    async def _load(self) -> _State:
        stored = await self._client.hgetall(self._hash)
        return _State(stored.get(b"version", b"").decode(), _decode(stored))


@contextmanager
def _reached() -> Iterator[None]:
    try:
        yield
    except NotReplicated as error:
        raise MissionsUnavailable(
            f"the entries are stored, but only {error}; check the replicas. "
            "Entries that are sent again count again"
        ) from error
    except (RedisError, OSError) as error:
        raise MissionsUnavailable(
            f"the mission store in Redis is not usable ({type(error).__name__}); "
            "check that it runs, takes writes, and that CHARTER_EVENT_STREAM names it"
        ) from error


def _as_it_comes(response: Any, **_: Any) -> Any:
    return response


def _data(fields: Sequence[bytes]) -> bytes | None:
    """Return the entry's JSON; fields and values alternate."""
    if len(fields) == 2 and fields[0] == _DATA:  # noqa: PLR2004 - one field and its value
        return fields[1]
    return dict(zip(fields[::2], fields[1::2], strict=True)).get(_DATA)


def _kept_from(position: str) -> int:
    """Return the stream id, as milliseconds, from which counted entries stay."""
    return max(0, int(position.partition("-")[0]) - KEPT_MS)


def _changes(aggregates: Aggregates, touched: ChangedKeys) -> list[bytes]:
    """Return the hash's fields that changed, each followed by its value."""
    changed: dict[bytes, msgspec.Struct] = {b"totals": aggregates.totals}
    changed |= {_STATUS + s.encode(): aggregates.by_status[s] for s in touched.statuses}
    changed |= {_ROBOT + r.encode(): aggregates.by_robot[r] for r in touched.robots}
    return [part for name, value in changed.items() for part in (name, _ENCODE(value))]


def _packed(parts: Sequence[bytes]) -> bytes:
    """Return a MessagePack array of strings, for one argument of a script.

    redis-py takes a microsecond for each argument, on the event loop. Redis's decoder does not know
    MessagePack's binary type, so bytes are sent as strings (str 32), which msgspec does not offer.
    """
    items = [b"\xdb" + len(part).to_bytes(4, "big") + part for part in parts]
    return b"\xdd" + len(items).to_bytes(4, "big") + b"".join(items)


def _decode(stored: Mapping[bytes, bytes]) -> Aggregates:
    aggregates = Aggregates()
    for name, value in stored.items():
        with _BAD.skipped(name):
            if name == b"totals":
                aggregates.totals = _TOTALS(value)
            elif name.startswith(_STATUS):
                aggregates.by_status[name.removeprefix(_STATUS).decode()] = _STATUS_AGGREGATE(value)
            elif name.startswith(_ROBOT):
                aggregates.by_robot[name.removeprefix(_ROBOT).decode()] = _ROBOT_AGGREGATE(value)
    return aggregates


_BAD = BadEntries("aggregate")
_ENCODE = msgspec.json.Encoder().encode
_TOTALS = msgspec.json.Decoder(Totals).decode
_STATUS_AGGREGATE = msgspec.json.Decoder(StatusAggregate).decode
_ROBOT_AGGREGATE = msgspec.json.Decoder(RobotAggregate).decode
