"""The health of Redis as all tasks of a stream see it, and the loop that keeps a task running."""

import asyncio
import time
from collections.abc import Awaitable, Callable

import structlog

from charter_otel.aio import Backoff
from charter_otel.redis.errors import FAILURES, explain

log = structlog.get_logger(__name__)


class RedisHealth:
    """The outcome of each task's last operation.

    A change from reachable to unreachable and back is logged once, not once per task or attempt.

    Args:
        name: The address, without a secret.
    """

    def __init__(self, name: str) -> None:
        self.name = name
        self._answered = False
        """Whether Redis has answered since the start."""
        self._failing: dict[str, str] = {}
        self.since = time.monotonic()
        """Monotonic time at which `connected` last changed."""
        self.restarted = 0
        """Times that the stream began anew."""
        self.restarted_at: float | None = None
        """Monotonic time at which it last did."""

    @property
    def connected(self) -> bool:
        """Whether Redis has answered, and no task's last operation failed."""
        return self._answered and not self._failing

    @property
    def error(self) -> str | None:
        """Why it is not connected, if that is known."""
        return next(iter(self._failing.values()), None)

    def succeeded(self, task: str) -> None:
        """Record an operation that worked."""
        if not self._answered:
            self._answered, self.since = True, time.monotonic()
        if not self._failing or self._failing.pop(task, None) is None or self._failing:
            return
        seconds = round(time.monotonic() - self.since, 3)
        self.since = time.monotonic()
        log.info("event stream reachable again", stream=self.name, seconds=seconds)

    def failed(self, task: str, error: BaseException) -> None:
        """Record an operation that failed."""
        if not self._failing:
            self.since = time.monotonic()
            log.warning(
                "event stream unreachable", stream=self.name, task=task, error=explain(error)
            )
        self._failing[task] = explain(error)

    def began_anew(self, read_up_to: bytes) -> None:
        """Record that the stream lost what it held."""
        self.restarted += 1
        self.restarted_at = time.monotonic()
        log.warning(
            "the event stream began anew and is read from its beginning; "
            "what it held before and a subscriber had not handled is lost",
            stream=self.name,
            read_up_to=read_up_to.decode(),
        )

    def forget(self) -> None:
        """Forget all outcomes: the stream has stopped."""
        self._answered, self.since = False, time.monotonic()
        self._failing.clear()


async def run_forever(
    session: Callable[[], Awaitable[None]], task: str, health: RedisHealth, backoff: Backoff
) -> None:
    """Run a task of the stream again and again until cancelled.

    The session itself resets the back-off when it makes progress. An unexpected error must not end
    a task silently: it is logged with its traceback, and the task goes on.
    """
    while True:
        try:
            await session()
        except FAILURES as error:
            health.failed(task, error)
        except Exception:
            log.exception("task of the event stream failed", task=task)
        await asyncio.sleep(backoff.next())
