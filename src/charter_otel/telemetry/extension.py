"""The features that the service's own WebSocket server offers beyond ASGI.

Both are entries of ``scope["extensions"]``. Under another server they are missing, and the handler
does without: it loops over ``receive()``, and does not learn of ping frames.
"""

from collections.abc import Awaitable, Callable, Mapping
from typing import Any, Protocol

DIRECT = "charter.direct"
"""A `Direct`: frames reach the session by a plain call, without a queue and a task's turn each."""

REFUSAL = "charter.refusal"
"""A `charter_otel.telemetry.admission.HandshakeRefusal`, if the handshake breaks RFC 6455."""

Take = Callable[[str | bytes], str | None]
"""Takes one message and returns the answer to it, if any."""


class Direct(Protocol):
    """Passes each message to a session until the connection ends."""

    def __call__(self, take: Take, seen: Callable[[], None]) -> Awaitable[Mapping[str, Any]]:
        """Return the ``websocket.disconnect`` message.

        Args:
            take: Takes each message. An exception that it raises ends the wait, too.
            seen: Called for each ping frame, which is a heartbeat.
        """
