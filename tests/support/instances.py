"""Several instances of the service on one Redis, as processes of their own."""

import json
from collections import Counter
from collections.abc import Iterable, Iterator
from contextlib import ExitStack, contextmanager
from typing import Any

import redis

from support.polling import eventually
from support.redis import RedisServer
from support.service import ServiceProcess, service

LEASE = 0.6
"""Seconds; a test cannot wait for the service's fifteen."""


def variables(url: str) -> dict[str, str]:
    """Return the settings of an instance that shares a Redis."""
    return {"CHARTER_EVENT_STREAM": url, "CHARTER_LEASE_SECONDS": str(LEASE)}


@contextmanager
def instances(count: int, url: str, **extra: str) -> Iterator[list[ServiceProcess]]:
    """Run instances that share a Redis."""
    with ExitStack() as stack:
        yield [stack.enter_context(service(**variables(url) | extra)) for _ in range(count)]


def stored_events(server: RedisServer, event_type: str | None = None) -> list[dict[str, Any]]:
    """Return the events that are in the stream, all or those of a type."""
    with server.client() as client:
        streams: Any = client.keys("{charter*}:events")
        entries = [entry for stream in sorted(streams) for entry in _entries(client, stream)]
    events = [json.loads(fields[b"event"]) for _, fields in entries]
    return [event for event in events if event_type in {None, event["type"]}]


def _entries(client: redis.Redis, stream: bytes) -> list[Any]:
    entries: Any = client.xrange(stream)
    return list(entries)


def established(server: RedisServer) -> Counter[str]:
    """Count the connections that were established, by id."""
    return connections(stored_events(server), "established")


def closed(server: RedisServer) -> Counter[str]:
    """Count the connections that were closed, by id."""
    return connections(stored_events(server), "closed")


async def reaped(server: RedisServer, looks: int = 6) -> None:
    """Wait until the instance whose turn it is has looked for orphans so often again."""
    with server.client() as client:

        def done() -> int:
            # It keeps its turn with each look; nothing else here sends this command.
            commands: Any = client.info("commandstats")
            return int(commands.get("cmdstat_pexpire", {}).get("calls", 0))

        before = done()
        await eventually(lambda: done() >= before + looks, f"{looks} looks for orphans")


async def beaten(server: RedisServer) -> None:
    """Wait until each instance that is known now has told a heartbeat more."""
    with server.client() as client:

        def beats() -> dict[bytes, int]:
            known: Any = client.hgetall("{charter}:instances")
            return {instance: int(value.split()[0]) for instance, value in known.items()}

        before = beats()
        await eventually(lambda: all(beats()[i] > n for i, n in before.items()), "a heartbeat")


def registered(server: RedisServer) -> int:
    """Count the connections in the register of open ones; a survivor closes those of the dead."""
    with server.client() as client:
        count: Any = client.hlen("{charter}:open")
    return int(count)


def connections(events: Iterable[dict[str, Any]], change: str) -> Counter[str]:
    """Count the connections that are ``established`` or ``closed`` by the events, by id."""
    wanted = f"telemetry.connection_{change}"
    return Counter(event["payload"]["connection_id"] for event in events if event["type"] == wanted)
