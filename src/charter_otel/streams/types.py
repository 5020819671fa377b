"""What streams, their subscribers and their observers tell each other."""

from collections.abc import Awaitable, Callable, Container, Sequence
from contextlib import AbstractContextManager, nullcontext
from typing import Literal, NamedTuple, Protocol

from charter_otel.charter import Event

Handler = Callable[[Event], Awaitable[None]]
"""What a subscriber does with an event; the event is acknowledged when it returns."""

BatchHandler = Callable[[Sequence[Event]], Awaitable[None]]
"""The same for several events at once, in their order; all are acknowledged when it returns."""

Start = Literal["new", "earliest"]
"""Where a subscriber that the stream does not know yet begins."""

DropReason = Literal[
    "queue_full", "unreachable", "stopped", "refused", "spool_full", "spool_damaged"
]
"""Why a stream gave up an event: its queue was full, the stream could not be reached before the
stop, the event came after the stop, the stream refuses this one event, the spool on disk was full,
or what the disk gave back is not what was written."""


class NotNow(Exception):  # noqa: N818 - the name says what the handler says
    """A handler raises it when it cannot take any event at the moment, through no event's fault.

    The event waits and is delivered again until it is taken. No delivery is counted and nothing is
    given up: the subscriber's lag grows, and its statistics say why. The text says what to do.
    """


class LeaseLost(Exception):  # noqa: N818 - the name says what has happened
    """Another process handles the group's events now, or may do so."""


class Lease:
    """The right of one process to handle a group's events, and the state that holders hand on.

    This one is always held: it is that of a stream within the process.

    Args:
        take_over: Awaited with the lease when this process becomes the holder, before it is given
            the first event.
    """

    epoch = 0
    """Grows from holder to holder."""

    def __init__(self, take_over: "TakeOver") -> None:
        self._take_over = take_over
        self._taken_over = False

    @property
    def held(self) -> bool:
        """Whether no other process can be the holder."""
        return True

    async def wait(self) -> None:
        """Wait until this process is the holder."""
        if not self._taken_over:
            self._taken_over = True
            await self._take_over(self)

    async def load(self) -> bytes | None:
        """Return the state that the last holder left, or None."""
        return None

    async def save(self, state: bytes) -> None:
        """Leave a state to the next holder.

        Raises:
            LeaseLost: This process is not the holder any more.
        """
        del state


TakeOver = Callable[[Lease], Awaitable[None]]
"""What a subscriber does when its process becomes the only one to handle its group's events."""


class Subscription(NamedTuple):
    """A handler and what it wants."""

    handler: Handler
    types: Container[str]
    """Event types, wildcards resolved."""
    group: str
    """Name under which the stream keeps the subscriber's place."""
    start: Start
    batch_handler: BatchHandler | None = None
    """Takes what is there at once, where there is one; ``handler`` then gives it a single event."""
    lease: Lease | None = None
    """Where there is one, its holder alone handles the group's events."""


class SubscriberStatistics(NamedTuple):
    """A subscriber at this moment."""

    group: str
    delivered: int
    """Events that the handler took, since start."""
    redelivered: int
    """Deliveries that were not an event's first, since start."""
    dead_lettered: int
    """Events given up after the last delivery, since start."""
    lag: int
    """Events not acknowledged yet."""
    waiting: str | None = None
    """Why the handler takes no event at the moment, where it says so; see `NotNow`."""
    holder: bool = True
    """Whether this process handles the group's events: another one may hold the lease."""


class Statistics(NamedTuple):
    """A stream at this moment. Counts are since start and of this process.

    The ledger of a stream in Redis, at every moment:
    ``accepted + recovered = published + queued + spooled + dropped``.
    """

    system: str
    """``memory`` or ``redis``, the ``messaging.system`` of the metrics."""
    connected: bool
    """Whether the stream is reachable."""
    published: int
    """Events that the stream has taken."""
    queued: int
    """Events waiting in memory to be published."""
    capacity: int
    """Events that the publishing queue holds at most."""
    dropped: int
    """Events that the stream gave up."""
    subscribers: tuple[SubscriberStatistics, ...]
    error: str | None = None
    """Why the stream is not reachable, where that is known; never holds a secret."""
    accepted: int = 0
    """Events that were handed to the stream."""
    spooled: int = 0
    """Events waiting on disk to be published."""
    recovered: int = 0
    """Events of earlier processes that were found on disk."""
    replayed: int = 0
    """Events that were published from disk."""
    since: float | None = None
    """Monotonic time at which ``connected`` became what it is."""


class Observer(Protocol):
    """Hears what a stream does; `charter_otel.otel.messaging` makes telemetry of it."""

    def published(
        self, system: str, count: int, seconds: float, error: BaseException | None
    ) -> None:
        """A batch of ``count`` events was published, or failed with ``error``."""
        return

    def dropped(self, count: int, reason: DropReason) -> None:
        """Events were given up before the stream took them."""
        return

    def processing(
        self, system: str, destination: str, group: str, event: Event, traceparent: str | None
    ) -> AbstractContextManager[None]:
        """Return what the handling of one event runs in; the handler's errors pass through."""
        del system, destination, group, event, traceparent
        return nullcontext()

    def redelivered(self, group: str) -> None:
        """An event is delivered again."""
        return

    def dead_lettered(self, group: str) -> None:
        """An event was given up after its last delivery."""
        return


class SilentObserver(Observer):
    """Hears everything and does nothing, for streams that nobody observes."""


class StreamUnavailable(ConnectionError):  # noqa: N818 - the name says what the stream is
    """The stream cannot be reached; the text says which and what to check."""
