"""An exception as text: what Python itself would write, but for the marks under the code."""

import re
import traceback
from collections.abc import Callable

import pytest

from charter_otel.otel.lines.stacktraces import summarize


def fail(text: str = "first") -> None:
    """Fail."""
    raise ValueError(text)


def caused() -> None:
    """Fail because of a failure."""
    try:
        fail()
    except ValueError as error:
        raise RuntimeError("second") from error


def during() -> None:
    """Fail while a failure is handled."""
    try:
        caused()
    except RuntimeError:
        fail("third")


def hidden() -> None:
    """Fail, and hide what was before."""
    try:
        fail()
    except ValueError:
        raise RuntimeError("second") from None


def grouped() -> None:
    """Fail several times over."""
    errors: list[Exception] = []
    for function in (fail, caused, during):
        try:
            function()
        except Exception as error:  # noqa: BLE001 - they are collected
            errors.append(error)
    raise ExceptionGroup("all", [*errors, ExceptionGroup("inner", errors)])


def noted() -> None:
    """Fail with a note."""
    error = ValueError("no")
    error.add_note("try again")
    raise error


def malformed() -> None:
    """Fail in code that is none."""
    compile("a = = 1", "code.py", "exec")


def circular() -> None:
    """Fail with two failures that cause each other."""
    first, second = ValueError("first"), ValueError("second")
    first.__cause__, second.__cause__ = second, first
    raise first


@pytest.mark.parametrize(
    "function", [fail, caused, during, hidden, grouped, noted, malformed, circular]
)
def test_text_is_python_s(function: Callable[[], None]) -> None:
    """Causes, contexts, groups and notes are told as Python tells them."""
    with pytest.raises(Exception) as caught:  # noqa: PT011 - any
        function()
    text = "".join(summarize(caught.value).format())
    expected = "".join(traceback.format_exception(caught.value))
    assert without_marks(text) == without_marks(expected)


def test_exception_that_was_not_raised() -> None:
    """An exception without a traceback has its last line."""
    assert "".join(summarize(ValueError("no")).format()) == "ValueError: no\n"


def without_marks(text: str) -> str:
    """Drop the lines that mark the code above them."""
    return "\n".join(line for line in text.split("\n") if not re.fullmatch(r"[ |]+[~^]+", line))
