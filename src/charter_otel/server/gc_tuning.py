"""How the interpreter of a process that only serves is set up."""

import gc
import sys

SWITCH_INTERVAL = 0.0005
"""Seconds for which a thread keeps the interpreter while another one waits for it."""

YOUNG_OBJECTS = 20_000
"""Objects after which the collector looks for cycles among the young ones."""


def settle() -> None:
    """Take the pauses out of the event loop, once everything is loaded.

    The exporters' threads encode batches for milliseconds; by default the loop would wait 5 ms for
    them after each write. What is loaded at start stays until the end, so that the collector need
    not look through it again and again, and what a request makes is gone before it looks.
    """
    sys.setswitchinterval(SWITCH_INTERVAL)
    gc.collect()
    gc.freeze()
    gc.set_threshold(YOUNG_OBJECTS, 20, 50)
