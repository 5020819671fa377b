"""The account of a run: what became of every event, every connection and every audit row."""

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, NamedTuple

from chaos.life import Life
from support.instances import connections

EXACTLY_ONCE = "exactly once"
COUNTED = "once or counted"
LAST_100_MS = "all but 100 ms"

KILL_BOUND = 0.1
"""Seconds before a kill of which emitted events may be lost."""


class Bounds(NamedTuple):
    """Limits of a fault's effect on the service itself, in seconds."""

    lag: float = 2.0
    """By which the event loop may be late, on a busy machine that starts processes, too."""
    stop: float = 10.0
    """That the service may take to stop; so long it is usually given."""


UNHINDERED = Bounds(lag=1.0, stop=5.0)
"""Limits while only the Collector is away. An export that gives up takes ten seconds."""


class Row(NamedTuple):
    """The fate of the events of a run."""

    fault: str
    emitted: int
    delivered: int
    replayed: int
    dropped: int
    lost: int
    connections: int
    """Connections that were established; each was closed once."""
    audited: int | None
    """Rows of the audit log, where there is one."""
    promise: str
    """The delivery class."""
    broken: str
    """Why the class is broken, or empty."""
    note: str = ""


class Account:
    """Compares the events that the processes of a run emitted with those in the stream.

    Args:
        lives: The processes, in order.
        stored: The events in the stream, in order.
        robots: How many robots were connected in each life.
        seconds: How long the run took.
    """

    def __init__(
        self, lives: Sequence[Life], stored: Sequence[dict[str, Any]], robots: int, seconds: float
    ) -> None:
        self._lives = lives
        self._robots = robots
        self._seconds = seconds
        self._emitted = {name: each for life in lives for name, each in life.emitted.items()}
        self._delivered = [event["id"] for event in stored]
        self._opened = connections(stored, "established")
        self._closed = connections(stored, "closed")
        self._durations = [
            event["payload"]["duration_seconds"]
            for event in stored
            if event["type"] == "telemetry.connection_closed"
        ]
        # A connection that was closed for a dead process is not closed again by what that had said.
        self._missing = {
            event_id
            for event_id in set(self._emitted) - set(self._delivered)
            if self._emitted[event_id].closes not in self._closed
        }

    def row(self, fault: str, promise: str, bounds: Bounds, wrong: Sequence[str]) -> Row:
        """Return the row of the table.

        Args:
            fault: Its name.
            promise: The delivery class.
            bounds: What the fault may do to the service itself.
            wrong: What else went wrong.
        """
        checks = self._checks(promise) | self._hindered(bounds)
        return Row(
            fault=fault,
            emitted=len(self._emitted),
            delivered=len(set(self._delivered)),
            replayed=self._sum("replayed"),
            dropped=self._sum("dropped"),
            lost=self._lost,
            connections=self._opened.total(),
            audited=None,
            promise=promise,
            broken=breaks(wrong, checks),
            note=self._note(),
        )

    def _note(self) -> str:
        if any(life.killed_at for life in self._lives):
            return f"lost at most {self._loss * 1000:.0f} ms"
        return f"lag {self._lag * 1000:.0f} ms, stop {self._stop:.1f} s"

    def _checks(self, promise: str) -> dict[str, bool]:
        may_lose = promise == LAST_100_MS
        return {
            "an event came twice": len(self._delivered) != len(set(self._delivered)),
            "the order changed": not in_order(self._emitted, self._delivered),
            "the ledger did not add up": self._sum("imbalances") > 0,
            "delivered what nobody emitted": not (
                may_lose or set(self._delivered) <= set(self._emitted)
            ),
            "lost uncounted": self._lost > 0 and not may_lose,
            "lost more than 100 ms": self._loss > KILL_BOUND,
            "dropped": self._sum("dropped") > 0 and promise != COUNTED,
            "counted what was delivered": self._lost < 0,
            unpaired(self._opened, self._closed): self._opened != self._closed,
            "a connection was closed by the fault": self._reopened > 0,
            "a connection is missing": self._reopened < 0 and not may_lose,
            "a duration is wrong": not all(0 <= each <= self._seconds for each in self._durations),
        }

    def _hindered(self, bounds: Bounds) -> dict[str, bool]:
        return {
            f"the event loop was {self._lag:.2f} s late": self._lag > bounds.lag,
            f"the stop took {self._stop:.1f} s": self._stop > bounds.stop,
        }

    @property
    def _lost(self) -> int:
        return len(self._missing) - self._sum("dropped")

    @property
    def _loss(self) -> float:
        """Seconds before a kill, of the earliest event that it lost."""
        killed = [(life, life.killed_at) for life in self._lives if life.killed_at]
        ages = [
            (at - emission.at) / 1e9
            for life, at in killed
            for event_id, emission in life.emitted.items()
            if event_id in self._missing
        ]
        return max(ages, default=0.0)

    @property
    def _lag(self) -> float:
        return max(life.lag for life in self._lives)

    @property
    def _stop(self) -> float:
        return max(float(life.state.get("stop", 0)) for life in self._lives)

    @property
    def _reopened(self) -> int:
        """Connections beyond each robot's one in each life of the service."""
        return self._opened.total() - self._robots * sum(not life.quiet for life in self._lives)

    def _sum(self, name: str) -> int:
        return sum(life.state.get(name, 0) for life in self._lives)


def breaks(wrong: Iterable[str], checks: Mapping[str, bool]) -> str:
    """Say what breaks a class: what went wrong (empty where nothing did), and what checks found."""
    return "; ".join(filter(None, [*wrong, *(what for what, is_so in checks.items() if is_so)]))


def unpaired(opened: Counter[str], closed: Counter[str]) -> str:
    """Say how many connections were not closed once each."""
    open_still, too_often = (opened - closed).total(), (closed - opened).total()
    return f"{open_still} connections were not closed, {too_often} once too often"


def in_order(emitted: Iterable[str], delivered: Iterable[str]) -> bool:
    """Return whether what was delivered of the emitted events was so in their order."""
    order = {event_id: place for place, event_id in enumerate(emitted)}
    places = [order[event_id] for event_id in delivered if event_id in order]
    return places == sorted(places)
