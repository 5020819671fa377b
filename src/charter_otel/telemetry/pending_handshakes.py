"""Connections that are not robots yet: how many one address may have, and all of them together.

Opening a connection costs a stranger next to nothing, and the service a file descriptor. A
connection counts from the moment it is accepted, before TLS, until it is a robot's or ends.
"""

import time
from collections import Counter, OrderedDict
from typing import NamedTuple

import structlog

from charter_otel.open_files import RESERVED, open_file_limit
from charter_otel.telemetry.handshakes import ADDRESSES, network

MOST = 10_000
"""Connections of all strangers together at most, however many files may be open."""
LINE_EVERY = 10.0
"""Seconds between two lines about refused connections."""

REASONS = ("address", "total", "files")
"""Why connections are refused: values of ``charter.refusal.reason``."""
REFUSED: Counter[str] = Counter()
"""Connections that this process refused, by reason."""

log = structlog.get_logger(__name__)


class HandshakeLimits(NamedTuple):
    """The numbers of connections that there may be."""

    files: int
    """Files that the process may have open."""
    strangers: int
    """Connections that are not robots, all together."""
    address: int
    """Of these, from one address."""


def handshake_limits(files: int | None = None) -> HandshakeLimits:
    """Return the limits that follow from the number of files that may be open."""
    files = files or open_file_limit()
    strangers = min(MOST, max(files // 4, 8))
    return HandshakeLimits(files, strangers, strangers // 2)


class PendingHandshakes:
    """The connections of one server that are not robots yet.

    The last places are kept: half of them for addresses from which a robot was accepted, and half
    for an address that has no other connection here, as a probe.

    Args:
        limits: How many connections there may be; by default what the open files allow.
    """

    def __init__(self, limits: HandshakeLimits | None = None) -> None:
        self.limits = limits or handshake_limits()
        self._count = 0
        self._by_address: Counter[str] = Counter()
        self._known: OrderedDict[str, None] = OrderedDict()
        """Addresses of accepted robots, the one that was accepted longest ago first."""
        self._told = float("-inf")
        self._untold = 0

    def __len__(self) -> int:
        """Return the number of connections that are not robots yet."""
        return self._count

    def enter(self, address: str | None, connections: int) -> "PendingHandshake | None":
        """Take a place; None if the connection is to be refused.

        Args:
            address: The peer's; None if there is none, as for a Unix socket.
            connections: How many connections the server has, those of robots too.
        """
        key = network(address or "")
        if (reason := self._refusal(key, connections)) is not None:
            self._refused(reason)
            return None
        self._count += 1
        self._by_address[key] += 1
        return PendingHandshake(self, key)

    def _refusal(self, key: str, connections: int) -> str | None:
        of_address = self._by_address[key]
        if of_address >= self.limits.address:
            return "address"
        kept = RESERVED // 2
        # In this order: strangers stop first, then first connections, then known addresses.
        free = RESERVED if of_address else kept
        free = kept // 2 if key in self._known else free
        if connections >= self.limits.files - free:
            return "files"
        more = 0 if of_address else kept
        more = RESERVED if key in self._known else more
        return "total" if self._count >= self.limits.strangers + more else None

    def leave(self, key: str, *, accepted: bool) -> None:
        """Return a place; an address of an accepted robot is known from then on."""
        self._count -= 1
        self._by_address[key] -= 1
        if not self._by_address[key]:
            del self._by_address[key]
        if accepted:
            self._known[key] = None
            self._known.move_to_end(key)
            if len(self._known) > ADDRESSES:
                self._known.popitem(last=False)

    def _refused(self, reason: str) -> None:
        REFUSED[reason] += 1
        self._untold += 1
        now = time.monotonic()
        if now - self._told >= LINE_EVERY:
            log.warning(
                "connections are refused before they ask for anything",
                reason=reason,
                refused=self._untold,
                strangers=self._count,
            )
            self._told, self._untold = now, 0


class PendingHandshake:
    """The place of one connection among the pending ones, given back once."""

    __slots__ = ("_all", "_key")

    def __init__(self, pending_handshakes: PendingHandshakes | None = None, key: str = "") -> None:
        self._all = pending_handshakes
        self._key = key

    def leave(self, *, accepted: bool = False) -> None:
        """Return the place, unless that is done."""
        pending_handshakes, self._all = self._all, None
        if pending_handshakes is not None:
            pending_handshakes.leave(self._key, accepted=accepted)
