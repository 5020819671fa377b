"""What every command needs of its process: standard streams that work, and an end by SIGHUP."""

import os
import signal
import sys
import threading
from types import FrameType
from typing import TextIO


def prepare() -> None:
    """Make the standard streams usable, and let a closed terminal end the command as SIGTERM does.

    A descriptor that whoever started the command has closed is opened to nowhere: the next file or
    socket would get its number, and what is meant for the terminal.
    """
    for number in (0, 1, 2):
        _open_to_nowhere(number)
    sys.stdout = _usable(sys.stdout, 1)
    sys.stderr = _usable(sys.stderr, 2)
    hang_up = getattr(signal, "SIGHUP", None)
    if hang_up is None or threading.current_thread() is not threading.main_thread():
        return
    # Whoever has it ignored, as nohup does, means to outlive the terminal.
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


def _usable(stream: TextIO | None, number: int) -> TextIO:
    """Return a stream that writes any text: what its encoding lacks is escaped."""
    if stream is None:
        return open(number, "w", encoding="utf-8", errors="backslashreplace", closefd=False)
    if reconfigure := getattr(stream, "reconfigure", None):
        reconfigure(errors="backslashreplace")
    return stream
