"""Limits on floods of small pieces, which cost the service much and the peer next to nothing.

A read from a connection brings up to 256 KiB. Forty thousand empty frames fit into that, or as many
chunks of one byte. They take most of a second, in which no other connection gets a turn.
"""

PIECES_PER_SECOND = 1_000
"""Pings, pongs and fragments that a robot may send in a second; a busy one needs a few."""
LATE_BYTES = 16_777_216
"""Bytes that a peer may send between our closing message and its own: data in transit."""
LATE_FRAMES = 10_000
"""Frames among these that are looked at for the peer's close: some milliseconds."""

SLICE = 4_096
"""Bytes of requests that are parsed between two checks of the result."""
FREE_CHUNKS = 1_000
"""Chunks of a body that may have any size."""
CHUNK_BYTES = 64
"""Average bytes of a chunk required from then on; clients send thousands."""
UNWANTED_BYTES = 8_388_608
"""Bytes of a body that a client may still send after its answer: the rest of the longest body."""
