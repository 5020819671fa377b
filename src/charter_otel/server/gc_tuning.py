"""Tuning of the interpreter for a process that only serves."""

import gc
import sys

SWITCH_INTERVAL = 0.0005
"""Seconds for which a thread keeps the interpreter while another one waits for it."""

YOUNG_OBJECTS = 1_000
"""Objects after which the collector looks for cycles among the young ones."""

YOUNG_RUNS, OLD_RUNS = 1, 10_000
"""Runs after which it looks at the objects of several runs, and at all objects.

Robots that come back at once leave many objects that stay. A run over 20 times 20,000 of them takes
70 ms, one over some thousands a few; all objects are looked at after 20 million new ones.
"""


def settle() -> None:
    """Remove pauses from the event loop, once everything is loaded.

    The exporters' threads encode batches for milliseconds; by default the loop would wait 5 ms for
    them after each write. Objects loaded at start stay until the end, so that the collector need
    not scan them again and again. A request's objects are gone before it runs.
    """
    sys.setswitchinterval(SWITCH_INTERVAL)
    gc.collect()
    gc.freeze()
    gc.set_threshold(YOUNG_OBJECTS, YOUNG_RUNS, OLD_RUNS)
