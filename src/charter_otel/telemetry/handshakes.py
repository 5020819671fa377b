"""Rate limit of handshakes: an allowance for each address, for a bounded number of addresses."""

import ipaddress
import time
from collections import OrderedDict
from collections.abc import Callable

from charter_otel.aio import Allowance

ADDRESSES = 10_000
"""Addresses that are remembered; the one that has been silent longest is forgotten first."""

_IPV6_NETWORK = 64


class HandshakeRate:
    """An allowance for each address, which fills up to one second's worth.

    Addresses stay in memory only: no line, span or metric names one. An IPv6 address counts as its
    /64 network, the size that a single subscriber has (RFC 6177).

    Args:
        per_second: Handshakes that an address may ask for in a second, also at once.
        addresses: How many addresses are remembered.
        clock: Gives seconds of a monotonic clock.
    """

    def __init__(
        self,
        per_second: int,
        *,
        addresses: int = ADDRESSES,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.per_second = per_second
        self._addresses = addresses
        self._clock = clock
        self._allowances: OrderedDict[str, Allowance] = OrderedDict()
        """By address, the longest silent first."""

    def __len__(self) -> int:
        """Return the number of addresses that are remembered."""
        return len(self._allowances)

    def allows(self, address: str | None) -> bool:
        """Draw one handshake from the address's allowance; False if it is used up.

        Args:
            address: The client's; None if the server knows none, as for a Unix socket.
        """
        key = network(address or "")
        allowance = self._allowances.get(key)
        if allowance is None:
            allowance = self._allowances[key] = Allowance(self.per_second, self._clock)
        self._allowances.move_to_end(key)
        if len(self._allowances) > self._addresses:
            self._allowances.popitem(last=False)
        return allowance.spend()


def network(address: str) -> str:
    """Return the key under which an address counts: itself, or its /64 network."""
    if ":" not in address:
        return address
    try:
        parsed = ipaddress.IPv6Address(address.partition("%")[0])
    except ValueError:
        return address
    if parsed.ipv4_mapped is not None:
        # One socket may serve both families: otherwise all of IPv4 would be one network.
        return str(parsed.ipv4_mapped)
    return str(ipaddress.ip_network((parsed, _IPV6_NETWORK), strict=False))
