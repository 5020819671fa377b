"""Events that come in pairs: one opens something, another closes it once.

The register of open things lies beside the stream and moves with it, in one script. So an entry in
it proves that the stream has the opening event and lacks the closing one. A second closing event
never enters the stream, whichever process publishes it.
"""

from typing import Literal, NamedTuple, Protocol


class RegisterKeys:
    """The keys of the register.

    Args:
        prefix: The prefix of the stream's keys; it contains the hash tag.
    """

    def __init__(self, prefix: str) -> None:
        self.open = f"{prefix}:open"
        """Hash "connection -> instance, newline, details in JSON" of the open connections."""
        self.lost = f"{prefix}:lost"
        """Sorted set of the connections that were closed for a dead instance, by time."""


class RegisterChange(NamedTuple):
    """The change that an event's publication makes to the register."""

    kind: Literal["open", "close", "lost"]
    """``lost`` closes for an owner that died: only an open thing, and for good."""
    thing: str
    """Id of the thing that the pair is about."""
    value: str = ""
    """The register's value for it while it is open."""


class OpenRegister(Protocol):
    """Knows which events form pairs."""

    def mark(self, envelope: bytes, traceparent: str | None) -> RegisterChange | None:
        """Return the change that publishing the event makes to the register; None if none."""
