"""Tuning of the interpreter for a process that only serves."""

import gc
import sys

SWITCH_INTERVAL = 0.0005
"""Seconds for which a thread keeps the interpreter while another one waits for it."""

YOUNG_OBJECTS = 20_000
"""Objects after which the collector looks for cycles among the young ones."""


def settle() -> None:
    """Remove pauses from the event loop, once everything is loaded.

    The exporters' threads encode batches for milliseconds; by default the loop would wait 5 ms for
    them after each write. Objects loaded at start stay until the end, so that the collector need
    not scan them again and again. A request's objects are gone before it runs.
    """
    sys.setswitchinterval(SWITCH_INTERVAL)
    gc.collect()
    gc.freeze()
    gc.set_threshold(YOUNG_OBJECTS, 20, 50)
