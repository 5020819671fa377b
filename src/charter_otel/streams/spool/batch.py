"""The batch in a publisher's hand, and where its events are meanwhile.

    taken from memory          taken from disk
           │                          │
           ▼      a spill begins      │
       IN_MEMORY ──────────▶ COPYING  │
           ▲                   │  │   ▼
           └── the disk fails ─┘  └▶ ON_DISK      (IN_MEMORY again if the disk is damaged)
                  the disk has it

Each of the three ends as PUBLISHED (the stream has it) or RETURNED (publishing failed). A batch
that ends while it is being copied leaves rows on the disk: those of a published one are removed,
those of a returned one are published next.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from enum import Enum, auto

from charter_otel.streams.pending import PendingEvent


class BatchState(Enum):
    """The place of a batch's events."""

    IN_MEMORY = auto()
    COPYING = auto()
    ON_DISK = auto()
    PUBLISHED = auto()
    RETURNED = auto()


@dataclass(slots=True, eq=False)
class HeldBatch:
    """Events that a publisher has taken."""

    events: Sequence[PendingEvent]
    state: BatchState = BatchState.IN_MEMORY
    last_row: int = 0
    """Number of its last row on disk, if it is on disk."""

    def __len__(self) -> int:
        return len(self.events)
