"""The open incidents, and their pages that PagerDuty has not taken yet."""

from collections.abc import Iterable

import msgspec
from msgspec import Struct

from charter_otel.consumers.alerts.memory import Memory
from charter_otel.consumers.alerts.page import Page

CAPACITY = 10_000
"""Most incidents whose pages wait; beyond it, the oldest trigger is given up."""


class PagerState(Struct):
    """State that outlives the process: kept in a file, and handed on to the next holder."""

    open: list[str] = []
    """Keys of the incidents that were opened but not resolved."""
    waiting: list[Page] = []
    """Pages that PagerDuty has not taken, those of a key in order."""
    attempted: list[str] = []
    """Keys for which PagerDuty may have an open incident."""
    held: list[Page] = []
    """Pages that wait in case they are one of many."""
    memory: Memory = msgspec.field(default_factory=Memory)
    """Recent losses, penalties and failures."""
    epoch: int = 0
    number: int = 0
    """Grow with each state: the greater pair is the newer one."""


class PageQueue:
    """Keeps the pages until PagerDuty has taken them.

    While it takes pages, all are sent in order. While it takes none, only the newest state of each
    incident is kept: an incident that opened and resolved meanwhile is never reported.

    Args:
        capacity: Most incidents whose pages wait.
    """

    def __init__(self, capacity: int = CAPACITY) -> None:
        self.failing = False
        """Whether PagerDuty takes no pages."""
        self._capacity = capacity
        self._waiting: dict[str, list[Page]] = {}
        """The pages of each key, the oldest first; the key whose turn it is first."""
        self._attempted: set[str] = set()
        """Keys for which PagerDuty may have an open incident, whatever its answer was."""
        self._taken: set[str] = set()
        """Keys for which PagerDuty surely has one."""

    def __len__(self) -> int:
        return len(self._waiting)

    def add(self, page: Page) -> Page | None:
        """Add the newest page of an incident.

        Returns:
            The page that is given up for it, or None.
        """
        pages = [*self._waiting.get(page.key, ()), page]
        self._keep(page.key, self._newest(pages) if self.failing else pages)
        if len(self._waiting) <= self._capacity:
            return None
        oldest = next(iter(self._waiting))
        keys = (key for key, kept in self._waiting.items() if kept[-1].action == "trigger")
        return self._waiting.pop(next(keys, oldest))[-1]

    def next(self) -> Page | None:
        """Return the next page to send; from now on PagerDuty may have it."""
        pages = next(iter(self._waiting.values()), None)
        if pages is None:
            return None
        if pages[0].action == "trigger":
            self._attempted.add(pages[0].key)
        return pages[0]

    def taken(self, page: Page) -> None:
        """Record that PagerDuty has a page."""
        self.failing = False
        self._drop(page)
        if page.action == "trigger":
            self._taken.add(page.key)
        else:
            self._taken.discard(page.key)
            self._attempted.discard(page.key)

    def refused(self, page: Page) -> None:
        """Record that PagerDuty will never take a page."""
        self._drop(page)
        if page.key not in self._taken:
            self._attempted.discard(page.key)

    def failed(self, page: Page) -> None:
        """Record that PagerDuty did not take a page, and let those of other incidents go first."""
        if not self.failing:
            self.failing = True
            for key, pages in list(self._waiting.items()):
                self._keep(key, self._newest(pages))
        if pages := self._waiting.pop(page.key, []):
            self._waiting[page.key] = pages

    def restore(self, state: PagerState) -> None:
        """Begin with the state that an earlier process, or the last holder, left."""
        self._waiting.clear()
        for page in state.waiting:
            self._waiting.setdefault(page.key, []).append(page)
        self._attempted = set(state.attempted)
        untaken = {page.key for page in state.waiting if page.action == "trigger"}
        self._taken = self._attempted - untaken

    def state(self, open_keys: Iterable[str], held: Iterable[Page]) -> PagerState:
        """Return the state that has to outlive the process."""
        waiting = [page for pages in self._waiting.values() for page in self._newest(pages)]
        attempted = sorted(self._attempted | self._taken)
        return PagerState(sorted(open_keys), waiting, attempted, list(held))

    def _newest(self, pages: list[Page]) -> list[Page]:
        """Return the pages of one key that bring PagerDuty to the newest state."""
        *before, last = pages
        if last.action == "trigger" or last.key in self._taken:
            return [last]
        trigger = next((page for page in reversed(before) if page.action == "trigger"), None)
        if last.key in self._attempted:
            # PagerDuty may have taken it; it counts as opened only if that is certain.
            return [trigger, last] if trigger else [last]
        return [] if trigger else [last]

    def _keep(self, key: str, pages: list[Page]) -> None:
        if pages:
            self._waiting[key] = pages
        else:
            self._waiting.pop(key, None)

    def _drop(self, page: Page) -> None:
        pages = self._waiting.get(page.key, [])
        if page in pages:
            self._keep(page.key, pages[pages.index(page) + 1 :])


def decode(data: bytes) -> PagerState:
    """Read a state, including that of earlier versions: a list of the open keys.

    Raises:
        msgspec.DecodeError, UnicodeError: The bytes are not a state.
    """
    state = msgspec.json.decode(data, type=PagerState | list[str])
    if isinstance(state, list):
        return PagerState(open=state, attempted=state)
    return state


encode = msgspec.json.Encoder().encode
