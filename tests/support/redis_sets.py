"""A real Redis Cluster and a real Sentinel set, on free loopback ports."""

import contextlib
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from functools import partial
from pathlib import Path

import redis
from redis.crc import key_slot

from support.certificates import Certificate
from support.polling import wait_until
from support.redis import RedisServer

REPLICATED = ("--repl-diskless-sync-delay", "0")
"""Options of a server whose replicas need not wait for others to come."""

_FAILOVER_MS = 1000

_SLOTS = 16384

_SLOT = key_slot(b"charter")
"""Slot of our keys, by their hash tag."""


class RedisSet:
    """Servers of which one is the master of our keys.

    Args:
        servers: All of them.
        url: The URL that a stream takes.
        hand_over: Has the master that is given hand over to a replica; both live on.
    """

    def __init__(
        self, servers: list[RedisServer], url: str, hand_over: Callable[[RedisServer], object]
    ) -> None:
        self.servers = servers
        self.url = url
        self.hand_over = hand_over

    def master(self) -> RedisServer:
        """Return the server that takes writes of our keys, and wait until there is one."""
        found: list[RedisServer] = []

        def look() -> bool:
            found[:] = [server for server in self.servers if _takes_writes(server)]
            return len(found) == 1

        wait_until(look, "one server is the master", 20)
        return found[0]

    def replicas_follow(self, count: int = 1) -> None:
        """Wait until the master has so many replicas that are up to date."""
        wait_until(lambda: _replicas(self.master()) >= count, "the replicas follow", 20)


@contextmanager
def sentinel_set(
    directory: Path, *, replicas: int = 1, tls: Certificate | None = None
) -> Iterator[RedisSet]:
    """Run a master, its replicas, and three Sentinels that watch it as ``mymaster``."""
    with ExitStack() as stack:
        servers = [_server(stack, directory / f"redis{n}", tls) for n in range(replicas + 1)]
        for replica in servers[1:]:
            replica.command("REPLICAOF", "127.0.0.1", servers[0].port)
        watching = (
            f"sentinel monitor mymaster 127.0.0.1 {servers[0].port} 2\n"
            f"sentinel down-after-milliseconds mymaster {_FAILOVER_MS}\n"
            "sentinel failover-timeout mymaster 5000\n"
        )
        sentinels = [_sentinel(stack, directory / f"sentinel{n}", watching, tls) for n in range(3)]
        endpoints = ",".join(f"127.0.0.1:{sentinel.port}" for sentinel in sentinels)
        found = RedisSet(
            servers,
            _url("sentinel", f"{endpoints}/mymaster/0", tls),
            lambda _: sentinels[0].command("SENTINEL", "FAILOVER", "mymaster"),
        )
        found.replicas_follow(replicas)
        wait_until(lambda: all(map(_knows_all, sentinels)), "the Sentinels know the set", 30)
        yield found


@contextmanager
def cluster(
    directory: Path, *, masters: int = 3, replicas: int = 0, tls: Certificate | None = None
) -> Iterator[RedisSet]:
    """Run a cluster."""
    with ExitStack() as stack:
        count = masters * (1 + replicas)
        servers = [_node(stack, directory / f"node{n}", tls) for n in range(count)]
        _form_cluster(servers, masters)
        found = RedisSet(
            servers,
            _url("cluster", f"127.0.0.1:{servers[-1].port}", tls),
            lambda master: _replica_of(master, servers).command("CLUSTER", "FAILOVER"),
        )
        wait_until(lambda: all(map(_covers_all, servers)), "the cluster is complete", 30)
        found.replicas_follow(replicas)
        yield found


def _form_cluster(servers: list[RedisServer], masters: int) -> None:
    """Make one cluster of the servers, as `redis-cli --cluster create` does: wheels lack it."""
    for number, server in enumerate(servers):
        server.command("CLUSTER", "SET-CONFIG-EPOCH", number + 1)
    for number, server in enumerate(servers[:masters]):
        slots = range(number * _SLOTS // masters, (number + 1) * _SLOTS // masters)
        server.command("CLUSTER", "ADDSLOTS", *slots)
    for server in servers[1:]:
        server.command("CLUSTER", "MEET", "127.0.0.1", servers[0].port)
    wait_until(lambda: all(_knows(each, len(servers)) for each in servers), "the nodes met", 30)
    for number, server in enumerate(servers[masters:]):
        name = servers[number % masters].command("CLUSTER", "MYID")
        assert isinstance(name, bytes)
        server.command("CLUSTER", "REPLICATE", name)


def reshard(servers: RedisSet) -> RedisServer:
    """Move the slot of our keys to another master of a cluster, which is given.

    The stream goes first; the others follow once a client has asked for it, and for keys of which
    some have moved. So both redirections occur.
    """
    source = servers.master()
    target = next(each for each in servers.servers if each is not source and _is_master(each))
    name, new_name = source.command("CLUSTER", "MYID"), target.command("CLUSTER", "MYID")
    assert isinstance(name, bytes)
    assert isinstance(new_name, bytes)
    target.command("CLUSTER", "SETSLOT", _SLOT, "IMPORTING", name)
    source.command("CLUSTER", "SETSLOT", _SLOT, "MIGRATING", new_name)
    migrating = ("MIGRATE", "127.0.0.1", target.port, "", 0, 5000, "KEYS")
    source.command(*migrating, "{charter}:events")
    wait_until(lambda: {"ASK", "TRYAGAIN"} <= _errors(source), "clients are redirected", 20)
    while keys := source.command("CLUSTER", "GETKEYSINSLOT", _SLOT, 100):
        assert isinstance(keys, list)
        source.command(*migrating, *keys)
    for each in (target, source, *filter(_is_master, servers.servers)):
        each.command("CLUSTER", "SETSLOT", _SLOT, "NODE", new_name)
    return target


def _is_master(server: RedisServer) -> bool:
    role = server.command("ROLE")
    assert isinstance(role, list)
    return bool(role[0] == b"master")


def _errors(server: RedisServer) -> set[str]:
    with server.client() as client:
        return {name.removeprefix("errorstat_") for name in client.info("errorstats")}


def _started(stack: ExitStack, server: RedisServer) -> RedisServer:
    stack.callback(server.kill)
    server.start()
    return server


def _server(stack: ExitStack, directory: Path, tls: Certificate | None) -> RedisServer:
    directory.mkdir()
    return _started(stack, RedisServer(directory, options=REPLICATED, tls=tls))


def _node(stack: ExitStack, directory: Path, tls: Certificate | None) -> RedisServer:
    directory.mkdir()
    clustered = ("--cluster-enabled", "yes", "--cluster-node-timeout", str(_FAILOVER_MS))
    options = (*REPLICATED, *clustered)
    return _started(stack, RedisServer(directory, options=options, tls=tls))


def _sentinel(
    stack: ExitStack, directory: Path, watching: str, tls: Certificate | None
) -> RedisServer:
    directory.mkdir()
    configuration = directory / "sentinel.conf"
    configuration.write_text(watching)
    return _started(stack, RedisServer(directory, configuration=configuration, tls=tls))


def _url(kind: str, place: str, tls: Certificate | None) -> str:
    secure = ("s", f"?ssl_ca_certs={tls.chain}") if tls else ("", "")
    return f"redis{secure[0]}+{kind}://{place}{secure[1]}"


def _takes_writes(server: RedisServer) -> bool:
    try:
        # A write that changes nothing: refused by a replica, moved by a node without our slot.
        server.command("DEL", "{charter}:nothing")
    except (redis.RedisError, OSError):
        return False
    return True


def _replicas(server: RedisServer) -> int:
    with server.client() as client:
        told = client.info("replication")
    followers = [told[name] for name in told if name[:5] == "slave" and name[5:].isdigit()]
    return sum(follower["state"] == "online" for follower in followers)


def _replica_of(master: RedisServer, servers: list[RedisServer]) -> RedisServer:
    with master.client() as client:
        port = client.info("replication")["slave0"]["port"]
    return next(server for server in servers if server.port == port)


def _knows_all(sentinel: RedisServer) -> bool:
    told = sentinel.command("SENTINEL", "MASTER", "mymaster")
    assert isinstance(told, list)
    state = dict(zip(told[::2], told[1::2], strict=True))
    return int(state[b"num-other-sentinels"]) == 2 and int(state[b"num-slaves"]) > 0


def _knows(server: RedisServer, nodes: int) -> bool:
    told = server.command("CLUSTER", "NODES")
    assert isinstance(told, bytes)
    return len(told.splitlines()) == nodes and b"handshake" not in told


def _covers_all(server: RedisServer) -> bool:
    told = server.command("CLUSTER", "INFO")
    assert isinstance(told, bytes)
    return b"cluster_state:ok" in told and b"cluster_slots_ok:%d" % _SLOTS in told


REPLACING: dict[str, Callable[..., contextlib.AbstractContextManager[RedisSet]]] = {
    "sentinel": sentinel_set,
    "cluster": partial(cluster, replicas=1),
}
"""Sets that replace a master which is gone, by their kind."""
