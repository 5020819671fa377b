"""The process of every command: standard streams that work, and an end by SIGHUP."""

import os
import signal
import sys
import threading
from pathlib import Path
from types import FrameType
from typing import TextIO


def prepare() -> None:
    """Make the standard streams usable, and let a closed terminal end the command as SIGTERM does.

    A descriptor that the parent process has closed is opened to nowhere. Otherwise the next file or
    socket would get its number, and with it the text that is meant for the terminal.
    """
    for number in (0, 1, 2):
        _open_to_nowhere(number)
    sys.stdout = _usable(sys.stdout)
    sys.stderr = _usable(sys.stderr)
    hang_up = getattr(signal, "SIGHUP", None)
    if hang_up is None or threading.current_thread() is not threading.main_thread():
        return
    # A parent that ignores it, as nohup does, wants the command to outlive the terminal.
    if signal.getsignal(hang_up) is signal.SIG_DFL:
        signal.signal(hang_up, _terminate)


def _terminate(number: int, frame: FrameType | None) -> None:
    del number, frame
    os.kill(os.getpid(), signal.SIGTERM)


def _open_to_nowhere(number: int) -> None:
    try:
        os.fstat(number)
    except OSError:
        opened = os.open(os.devnull, os.O_RDWR)
        if opened != number:
            os.dup2(opened, number)
            os.close(opened)


def _usable(stream: TextIO | None) -> TextIO:
    """Return a stream that writes any text: characters that its encoding lacks are escaped."""
    if stream is None:
        # Not by its number, which an import may have taken, as libffi does under Python 3.14.
        return Path(os.devnull).open("w", encoding="utf-8", errors="backslashreplace")
    if reconfigure := getattr(stream, "reconfigure", None):
        reconfigure(errors="backslashreplace")
    return stream
