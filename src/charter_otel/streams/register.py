"""Events that come in pairs: what one opens, another closes once.

The register of what is open lies beside the stream and moves with it, in one script. So whoever
finds an entry in it knows that the stream has the opening event and lacks the closing one, and a
second closing event never gets in, whoever publishes it.
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
    """What publishing an event does to the register."""

    kind: Literal["open", "close", "lost"]
    """``lost`` closes for an owner that died: only what is open, and for good."""
    thing: str
    """Id of what the pair is about."""
    value: str = ""
    """What the register tells about it while it is open."""


class OpenRegister(Protocol):
    """Knows the pairs."""

    def mark(self, envelope: bytes, traceparent: str | None) -> RegisterChange | None:
        """Return what publishing the event does to the register; None where it does nothing."""
