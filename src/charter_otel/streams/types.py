"""Types shared by streams, their subscribers and their observers."""

from collections.abc import Awaitable, Callable, Container, Sequence
from contextlib import AbstractContextManager, nullcontext
from typing import Literal, NamedTuple, Protocol

from charter_otel.charter import Event

Handler = Callable[[Event], Awaitable[None]]
"""A subscriber's callback for an event; the event is acknowledged when it returns."""

BatchHandler = Callable[[Sequence[Event]], Awaitable[None]]
"""The same for several events at once, in their order; all are acknowledged when it returns."""

Start = Literal["new", "earliest"]
"""The place where a subscriber begins that the stream does not know yet."""

DropReason = Literal[
    "queue_full", "unreachable", "stopped", "refused", "spool_full", "spool_damaged", "trimmed"
]
"""Why a stream gave up an event.

In order: its queue was full; the stream could not be reached before the stop; the event came after
the stop; the stream refuses this one event; the spool was full; the disk lost what was written;
the event left the stream before it was handled.
"""


class NotNow(Exception):  # noqa: N818 - the name says what the handler says
    """Raised by a handler that cannot take any event at the moment, through no event's fault.

    The event waits and is delivered again until it is taken. No delivery is counted and nothing is
    given up: the subscriber's lag grows, and its statistics say why. The text says what to do.
    """


class LeaseLost(Exception):  # noqa: N818 - the name says what has happened
    """Another process handles the group's events now, or may do so."""


class Lease:
    """The right of one process to handle a group's events, and the state that its holders pass on.

    This one is always held: it serves a stream within the process.

    Args:
        take_over: Awaited with the lease when this process becomes the holder, before it is given
            the first event.
    """

    epoch = 0
    """The fencing epoch; grows from holder to holder."""
    age = 0.0
    """Seconds since the state that was loaded had been left, by a clock that all holders share."""

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
"""A callback for when the process becomes the only one to handle its group's events."""


class Subscription(NamedTuple):
    """A handler and its event types."""

    handler: Handler
    types: Container[str]
    """Event types, wildcards resolved."""
    group: str
    """Name under which the stream keeps the subscriber's place."""
    start: Start
    batch_handler: BatchHandler | None = None
    """The batch handler, if any: takes several events; ``handler`` then passes it a single one."""
    lease: Lease | None = None
    """If set, only its holder handles the group's events."""


class Backlog(NamedTuple):
    """The events that a subscriber has not acknowledged yet."""

    events: int = 0
    age: float = 0.0
    """Seconds since the oldest of them came."""


class SubscriberStatistics(NamedTuple):
    """The state of a subscriber at this moment."""

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
    """Why the handler takes no event at the moment, if it says so; see `NotNow`."""
    holder: bool = True
    """Whether this process handles the group's events: another one may hold the lease."""
    trimmed: int = 0
    """Events that left the stream before the subscriber had them, since start."""
    age: float = 0.0
    """Seconds since the oldest event came that is not acknowledged yet; 0 if there is none."""


class Statistics(NamedTuple):
    """The state of a stream at this moment. Counts are since start and of this process.

    For a stream in Redis, this holds at every moment:
    ``accepted + recovered = published + queued + spooled + dropped``.
    """

    system: str
    """``memory`` or ``redis``, the ``messaging.system.name`` of the metrics."""
    connected: bool
    """Whether the stream is reachable."""
    published: int
    """Events that the stream has taken."""
    queued: int
    """Events waiting in memory to be published."""
    capacity: int
    """Maximum number of events that the publishing queue holds."""
    dropped: int
    """Events that the stream gave up."""
    subscribers: tuple[SubscriberStatistics, ...]
    error: str | None = None
    """Why the stream is not reachable, if that is known; never holds a secret."""
    accepted: int = 0
    """Events that were handed to the stream."""
    spooled: int = 0
    """Events waiting on disk to be published."""
    recovered: int = 0
    """Events of earlier processes that were found on disk."""
    replayed: int = 0
    """Events that were published from disk."""
    since: float | None = None
    """Monotonic time at which ``connected`` last changed."""
    restarted: int = 0
    """Times that the stream began anew: what was not handled before is lost with it."""
    restarted_at: float | None = None
    """Monotonic time at which it last did."""


class Destination(NamedTuple):
    """The place where a stream's events go, in the words of the messaging conventions."""

    system: str
    """``memory`` or ``redis``."""
    name: str
    """The stream's name; each name is a series of the metrics."""
    address: str | None = None
    """Host or socket of the server that is configured, the first of several; None in process."""
    port: int | None = None
    """Port of that server, if it has one."""


class Observer(Protocol):
    """Is notified of what a stream does; `charter_otel.otel.messaging` makes telemetry of it."""

    def published(
        self, destination: Destination, count: int, seconds: float, error: BaseException | None
    ) -> None:
        """Record that ``count`` events were published, or failed with ``error``."""
        return

    def dropped(self, count: int, reason: DropReason) -> None:
        """Record that events were given up before the stream accepted them, or a subscriber."""
        return

    def processing(
        self, destination: Destination, group: str, event: Event, traceparent: str | None
    ) -> AbstractContextManager[None]:
        """Return the context in which an event is handled; the handler's errors pass through."""
        del destination, group, event, traceparent
        return nullcontext()

    def processing_batch(
        self, destination: Destination, group: str, batch: Sequence[tuple[Event, str | None]]
    ) -> AbstractContextManager[None]:
        """Return the context in which events are handled at once."""
        del destination, group, batch
        return nullcontext()

    def redelivered(self, group: str) -> None:
        """Record that an event is delivered again."""
        return

    def dead_lettered(self, group: str) -> None:
        """Record that an event was given up after its last delivery."""
        return


class SilentObserver(Observer):
    """Ignores every notification, for streams without an observer."""


class StreamUnavailable(ConnectionError):  # noqa: N818 - the name says what the stream is
    """The stream cannot be reached; the text names it and says what to check."""
