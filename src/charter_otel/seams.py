"""Values behind module-level functions: the process's, or those of the app whose work runs.

The specification has functions of a module, and such a function can belong to one app only. The
first app that starts in a process has the process's values. Another one that runs beside it has a
scope of its own, current in its requests and tasks. So neither app sees the other's values.
"""

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import Context, ContextVar
from typing import Any, Generic, TypeVar

T = TypeVar("T")


class Scope:
    """The values of an app that is not the first of its process."""

    def __init__(self) -> None:
        self.values: dict[Seam[Any], Any] = {}


class Seam(Generic[T]):
    """A value that module-level functions work with.

    Args:
        value: The process's value, until `set` gives another.
    """

    def __init__(self, value: T) -> None:
        self._value = value

    def get(self) -> T:
        """Return the value of the current app, or the process's."""
        scope = _scope.get()
        if scope is None:
            return self._value
        value: T = scope.values.get(self, self._value)
        return value

    def set(self, value: T) -> None:
        """Set the value of the current app, or the process's."""
        scope = _scope.get()
        if scope is None:
            self._value = value
        else:
            scope.values[self] = value


class Hold:
    """An app's hold on the module-level functions, from `claim` until `release`."""

    def __init__(self, scope: Scope | None) -> None:
        self.scope = scope
        """The app's own scope, or None where it has the process's values."""
        self._outer = _scope.get()
        if scope is not None:
            # Not a block: what the app's task starts later belongs to the app, too.
            _scope.set(scope)

    def release(self) -> None:
        """Let another app have the process's values."""
        if self.scope is None:
            with _lock:
                _holders.clear()
        else:
            _scope.set(self._outer)


def empty_context() -> Context:
    """Return a context for a task of the current app, with nothing else in it."""
    context = Context()
    context.run(_scope.set, _scope.get())
    return context


@contextmanager
def current(scope: Scope | None) -> Iterator[None]:
    """Bind module-level functions to an app inside the block.

    Args:
        scope: The app's own scope; None for the app that has the process's values.
    """
    token = _scope.set(scope)
    try:
        yield
    finally:
        _scope.reset(token)


def in_scope() -> bool:
    """Return whether an app's own scope is current."""
    return _scope.get() is not None


def claim() -> Hold:
    """Claim the process's values for an app; if another holds them, the app gets its own."""
    with _lock:
        first = not _holders
        _holders.add(True)
    return Hold(None if first else Scope())


_scope: ContextVar[Scope | None] = ContextVar("charter_otel_scope", default=None)
_holders: set[bool] = set()
_lock = threading.Lock()
