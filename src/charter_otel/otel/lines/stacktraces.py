"""An exception as text for a line of the log, without the costliest part: marks under the code.

The marks show which part of a line failed. Finding them takes ten times as long as all the rest.
For a deep stack it blocks the event loop for milliseconds.
"""

from traceback import StackSummary, TracebackException, walk_tb

_LIMIT = 30
"""Frames that are kept: the innermost ones show what happened."""


def summarize(error: BaseException) -> TracebackException:
    """Return the exception with its causes and the innermost frames of each, ready to format."""
    summary = TracebackException.from_exception(error, limit=0, compact=True)
    left: list[tuple[TracebackException | None, BaseException | None]] = [(summary, error)]
    while left:
        text, told = left.pop()
        if text is None or told is None:
            continue
        text.stack = StackSummary.extract(walk_tb(told.__traceback__), limit=-_LIMIT)
        left += (text.__cause__, told.__cause__), (text.__context__, told.__context__)
        if text.exceptions and isinstance(told, BaseExceptionGroup):
            left += zip(text.exceptions, told.exceptions, strict=True)
    return summary
