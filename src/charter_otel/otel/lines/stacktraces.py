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
        text, cause = left.pop()
        if text is None or cause is None:
            continue
        text.stack = StackSummary.extract(walk_tb(cause.__traceback__), limit=-_LIMIT)
        left += (text.__cause__, cause.__cause__), (text.__context__, cause.__context__)
        if text.exceptions and isinstance(cause, BaseExceptionGroup):
            left += zip(text.exceptions, cause.exceptions, strict=True)
    return summary
