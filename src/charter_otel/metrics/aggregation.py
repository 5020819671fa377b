"""The aggregation itself: from the cursor to the end of the entries, batch by batch."""

import asyncio
import time
from collections import Counter

import structlog

from charter_otel.metrics.missions import Aggregates, Batch, MissionStore
from charter_otel.metrics.missions.counting import EXAMPLES_KEPT, MissionCounter
from charter_otel.otel import semconv
from charter_otel.otel.instruments import Instruments

BATCH_SIZE = 20_000
"""Entries that are committed in one step."""
SLICE = 1_000
"""Entries that are counted before other tasks get their turn: about a millisecond."""
BATCHES_PER_RUN = 50
"""Most batches of a run, so that it ends however fast entries come; the next run goes on."""

_STATUSES = frozenset({"pending", "running", "completed", "failed", "cancelled"})
_OTHER = "other"

log = structlog.get_logger(__name__)


async def aggregate(store: MissionStore, instruments: Instruments) -> int:
    """Count the entries since the cursor, each exactly once.

    A failure in the middle keeps the committed batches, and its exception passes through.
    Malformed entries are skipped, counted by reason, and reported in one log line a run.

    Returns:
        How many entries this run counted.
    """
    run = _Run(instruments)
    try:
        for _ in range(BATCHES_PER_RUN):
            batch = await store.read(BATCH_SIZE)
            if not batch.data:
                break
            counter = await _counted(batch)
            added = counter.aggregates()
            if await store.commit(batch, added):
                run.committed(added, counter.examples)
    finally:
        run.log_malformed()
    return run.processed


async def _counted(batch: Batch) -> MissionCounter:
    counter = MissionCounter(time.time())
    for start in range(0, len(batch.data), SLICE):
        counter.add(batch.data[start : start + SLICE])
        await asyncio.sleep(0)
    return counter


class _Run:
    """The progress that one run has committed."""

    def __init__(self, instruments: Instruments) -> None:
        self._instruments = instruments
        self._malformed: Counter[str] = Counter()
        self._examples: list[str] = []
        self.processed = 0

    def committed(self, added: Aggregates, examples: list[str]) -> None:
        """Count a batch, and the metrics of its entries."""
        self.processed += added.totals.entries_processed
        self._malformed.update(added.totals.malformed)
        self._examples += examples
        entries: Counter[str] = Counter()
        for status, aggregate in added.by_status.items():
            entries[status if status in _STATUSES else _OTHER] += aggregate.entries
        for status, number in entries.items():
            self._instruments.mission_entries.add(number, {semconv.CHARTER_MISSION_STATUS: status})
        for reason, number in added.totals.malformed.items():
            self._instruments.mission_rejected.add(
                number, {semconv.CHARTER_MISSION_REJECTION: reason}
            )

    def log_malformed(self) -> None:
        """Write one line about all malformed entries of the run."""
        if self._malformed:
            log.warning(
                "mission entries skipped",
                by_reason=dict(self._malformed),
                examples=self._examples[:EXAMPLES_KEPT],
            )
