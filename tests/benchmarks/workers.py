"""A process of its own for each side, so that neither shares an interpreter with anything else."""

import asyncio
import multiprocessing
import os
from collections.abc import Callable, Mapping
from contextlib import AbstractAsyncContextManager
from multiprocessing.connection import Connection
from typing import Any, Self

import uvloop

from benchmarks import machine

Make = Callable[..., AbstractAsyncContextManager[Any]]
"""Makes the object whose methods a worker runs; a function of a module."""


class Worker:
    """Runs coroutine methods of one object in a process of its own.

    Args:
        make: Makes the object, in that process and on its event loop.
        arguments: What `make` gets.
        core: The core that the process is bound to.
        environment: Variables that the process sees beside ours; without OTEL_* and CHARTER_* of
            whoever runs the benchmarks.
    """

    def __init__(
        self,
        make: Make,
        *arguments: Any,
        core: int = machine.MEASURED,
        environment: Mapping[str, str] | None = None,
    ) -> None:
        context = multiprocessing.get_context("spawn")
        self._pipe, other = context.Pipe()
        self._process = context.Process(
            target=_work,
            args=(other, make, arguments, core, dict(environment or {})),
            name=make.__name__,
            daemon=True,
        )
        self._process.start()
        other.close()

    @property
    def pid(self) -> int:
        """The process's id."""
        return self._process.pid or 0

    def __call__(self, method: str, *arguments: Any) -> Any:
        """Run a method and give what it returns.

        Raises:
            Exception: What it raised.
        """
        self._pipe.send((method, arguments))
        result = self._pipe.recv()
        if isinstance(result, BaseException):
            raise result
        return result

    def __enter__(self) -> Self:
        """Return the worker."""
        return self

    def __exit__(self, *_: object) -> None:
        """Let the object be released, then end the process."""
        self._pipe.close()
        self._process.join(10)
        self._process.kill()
        self._process.join()


def _work(
    pipe: Connection, make: Make, arguments: tuple[Any, ...], core: int, environment: dict[str, str]
) -> None:
    machine.pin(core)
    machine.raise_open_file_limit()
    for name in [n for n in os.environ if n.startswith(("OTEL_", "CHARTER_"))]:
        del os.environ[name]
    os.environ.update(environment)
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(_answer(pipe, make, arguments))


async def _answer(pipe: Connection, make: Make, arguments: tuple[Any, ...]) -> None:
    loop = asyncio.get_running_loop()
    async with make(*arguments) as subject:
        while True:
            try:
                # Other tasks of the process go on while it waits.
                method, given = await loop.run_in_executor(None, pipe.recv)
            except EOFError:
                return
            try:
                pipe.send(await getattr(subject, method)(*given))
            except Exception as error:  # noqa: BLE001 - told to the other side
                error.add_note(f"in {make.__name__}.{method}")
                pipe.send(error)
