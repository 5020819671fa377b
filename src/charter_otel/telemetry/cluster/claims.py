"""The claims of instances on robots: facts about a connection, beside the connection itself."""

from weakref import WeakKeyDictionary

from charter_otel.telemetry.connections import Connection


class Claim:
    """An instance's claim on a robot, by the connection that it accepted.

    It goes through three states: not made yet (``epoch`` is None), held (a number), and lost to a
    newer connection (empty).
    """

    __slots__ = ("earlier", "epoch", "owner", "shared")

    def __init__(self, owner: str = "") -> None:
        self.owner = owner
        """The instance that holds the connection."""
        self.epoch: str | None = None
        """Fencing epoch of the robot's takeover, which grows with each takeover."""
        self.earlier = ""
        """The epoch that the connection had on a server that may have lost it."""
        self.shared = 0.0
        """`Connection.last_seen`, as the other instances know it."""

    def renew(self) -> None:
        """Begin again, with another server."""
        self.earlier, self.epoch = self.epoch or self.earlier, None


class Claims:
    """The claims of this instance; each lasts as long as its connection is known."""

    def __init__(self) -> None:
        self._claims: WeakKeyDictionary[Connection, Claim] = WeakKeyDictionary()

    def of(self, connection: Connection) -> Claim:
        """Return the connection's claim."""
        claim = self._claims.get(connection)
        if claim is None:
            claim = self._claims[connection] = Claim()
        return claim
