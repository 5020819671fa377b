"""Connections to a server, to the master of a Sentinel set, or to a node of a cluster.

All keys of a client lie in one slot, so one node of a cluster has them all. A plain client
therefore suffices for each kind: every new connection asks where that node is. When the master
changes, the connection breaks, and the next one finds the new master.
"""

import contextlib
import random
from collections.abc import Mapping, Sequence
from typing import Any, cast

from redis.asyncio import (
    Connection,
    ConnectionPool,
    Redis,
    SSLConnection,
    UnixDomainSocketConnection,
)
from redis.asyncio.retry import Retry
from redis.asyncio.sentinel import (
    Sentinel,
    SentinelConnectionPool,
    SentinelManagedConnection,
    SentinelManagedSSLConnection,
)
from redis.backoff import NoBackoff
from redis.crc import key_slot
from redis.exceptions import ClusterDownError, MovedError, RedisError, ResponseError
from redis.exceptions import ConnectionError as RedisConnectionError

from charter_otel.redis.url import Node

TIMEOUT = 1.0
"""Seconds that connecting, or one reply, may take."""

_DIRECT: dict[str, type[Connection | UnixDomainSocketConnection]] = {
    "redis": Connection,
    "rediss": SSLConnection,
    "unix": UnixDomainSocketConnection,
}


def direct(scheme: str, options: Mapping[str, Any]) -> ConnectionPool:
    """Make connections to the one server that the options name."""
    return ConnectionPool(connection_class=_DIRECT[scheme], **_arguments(scheme, options))


def of_sentinel_set(
    sentinels: Sequence[Node],
    service: str,
    scheme: str,
    options: Mapping[str, Any],
    credentials: Mapping[str, str],
) -> ConnectionPool:
    """Make connections to the server that the Sentinels name as master."""
    managed = {"redis": SentinelManagedConnection, "rediss": SentinelManagedSSLConnection}
    tls = {name: value for name, value in options.items() if name.startswith("ssl_")}
    asking = {**_arguments(scheme, {**tls, **credentials}), "ssl": scheme == "rediss"}
    pool: ConnectionPool = _MASTER_POOL(
        service,
        _SENTINEL(sentinels, sentinel_kwargs=asking),
        connection_class=managed[scheme],
        **_arguments(scheme, options),
    )
    return pool


def of_cluster(
    nodes: Sequence[Node], key: str, scheme: str, options: Mapping[str, Any]
) -> ConnectionPool:
    """Make connections to the node of a cluster that has a key."""
    managed = {"redis": ClusterConnection, "rediss": ClusterSSLConnection}
    pool: ConnectionPool = _MASTER_POOL(
        key,
        Slots(nodes, scheme, options),
        connection_class=managed[scheme],
        **_arguments(scheme, options),
    )
    return pool


class MasterPool(SentinelConnectionPool):
    """A pool that also closes the clients of the Sentinels."""

    async def aclose(self) -> None:
        """Close all connections."""
        await super().aclose()
        await self.sentinel_manager.aclose()


# redis-py's Sentinel classes have no types.
_MASTER_POOL: Any = MasterPool
_SENTINEL: Any = Sentinel


class Slots:
    """Finds the node of a cluster that has a key, as redis-py's `Sentinel` finds a master.

    redis-py's own cluster client can do that too. But it blocks the loop for milliseconds to spread
    the answer over 16384 slots. It also has a connection and retries of its own for each node.

    Args:
        nodes: Some nodes; the others are discovered from them.
        scheme: ``redis`` or ``rediss``.
        options: Arguments of the connection class; may hold a password.
    """

    def __init__(self, nodes: Sequence[Node], scheme: str, options: Mapping[str, Any]) -> None:
        self._given = tuple(nodes)
        self._known: set[Node] = set()
        self._scheme = scheme
        self._options = options

    async def discover_master(self, key: str) -> Node:
        """Return the node that has a key, asking one node after another.

        Raises:
            RedisError: No node answers, or none has the key.
        """
        slot, failure = key_slot(key.encode()), None
        # In random order: a node that is cut off from the others answers with outdated slots.
        for node in random.sample(asked := [*self._given, *self._known], len(asked)):
            try:
                ranges = await self._ask(node)
            except (RedisError, OSError) as error:
                failure = error
                continue
            found = [(r[0], r[1], [_node(n, node) for n in r[2:]]) for r in ranges]
            self._known = {each for *_, nodes in found for each in nodes} - set(self._given)
            for first, last, nodes in found:
                if first <= slot <= last:
                    return nodes[0]
        if isinstance(failure, ResponseError):
            raise failure
        raise RedisConnectionError(f"no node of the cluster has slot {slot}") from failure

    async def aclose(self) -> None:
        """Close nothing: each request has a connection of its own."""

    async def _ask(self, node: Node) -> list[Any]:
        options = {**self._options, "host": node.host, "port": node.port}
        async with contextlib.aclosing(Redis.from_pool(direct(self._scheme, options))) as client:
            ranges: list[Any] = await cast("Any", client).execute_command("CLUSTER", "SLOTS")
            return ranges


class ClusterConnection(SentinelManagedConnection):
    """A connection that breaks when its node no longer has the keys."""

    async def read_response(self, *arguments: Any, **options: Any) -> Any:
        """Read a reply.

        Raises:
            ConnectionError: The keys are elsewhere now; the next connection finds them.
        """
        try:
            return await super().read_response(*arguments, **options)
        except (MovedError, ClusterDownError) as error:
            await self.disconnect()
            raise RedisConnectionError(f"the cluster has changed: {error}") from error


class ClusterSSLConnection(ClusterConnection, SSLConnection):
    """The same with TLS."""


def _arguments(scheme: str, options: Mapping[str, Any]) -> dict[str, Any]:
    """Return a connection's arguments.

    redis-py's own ten retries would hold a task for minutes; each part of the stream has its own
    back-off instead. RESP2 keeps replies the same from Redis 6.2 to the newest.
    """
    # Older redis-py does not compare the certificate's name with the host's by itself.
    checked = {"ssl_check_hostname": True} if scheme == "rediss" else {}
    return {
        "protocol": 2,
        "retry": Retry(NoBackoff(), 0),
        "socket_timeout": TIMEOUT,
        "socket_connect_timeout": TIMEOUT,
        **checked,
        **options,
    }


def _node(reply: Sequence[Any], asked: Node) -> Node:
    """Return a node from a cluster's reply; without an address it is the node that was asked."""
    host = reply[0] or b""
    return Node(host.decode() or asked.host, int(reply[1]))
