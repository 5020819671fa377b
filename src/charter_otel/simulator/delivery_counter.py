"""A subscriber that counts the events that reach it."""

from charter_otel.charter import Event
from charter_otel.streams import EventStream


class DeliveryCounter:
    """Counts each event of a stream, and so shows which did not come.

    Args:
        stream: The stream, before its start.
    """

    def __init__(self, stream: EventStream) -> None:
        self._stream = stream
        self._seen: set[str] = set()
        stream.subscribe("*", group="charter-demo-deliveries")(self._see)

    @property
    def seen(self) -> int:
        """Events that came, each counted once."""
        return len(self._seen)

    @property
    def replayed(self) -> int:
        """Events that came later, after an outage."""
        return self._stream.statistics().replayed

    async def _see(self, event: Event) -> None:
        self._seen.add(event.id)
