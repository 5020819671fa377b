"""Floods of small things: what costs the service much and the peer next to nothing ends early.

A read from a connection brings up to 256 KiB. Forty thousand empty frames fit into that, or as many
chunks of one byte, and take most of a second that nobody else gets a turn in.
"""

PIECES_PER_SECOND = 1_000
"""Pings, pongs and fragments that a robot may send in a second; a busy one needs a few."""
LATE_BYTES = 16_777_216
"""Bytes that a peer may send between our last word and its own: what was under way."""

SLICE = 4_096
"""Bytes of requests that are parsed between two looks at what came of them."""
FREE_CHUNKS = 1_000
"""Chunks of a body that may be as small as they like."""
CHUNK_BYTES = 64
"""Bytes that each has on average from then on; clients send thousands."""
UNWANTED_BYTES = 8_388_608
"""Bytes of a body that a client may still send once it has its answer: the longest one's rest."""
