"""The log's lines, kept instead of written."""

import json
import threading
from typing import Any

from charter_otel.otel.lines.writer import LineWriter


class Written(LineWriter):
    """Keeps what its own thread writes; a robot that a fixture runs beside the test writes too."""

    def __init__(self) -> None:
        super().__init__()
        self.lines: list[bytes] = []
        self._own = threading.get_ident()

    def write(self, line: bytes) -> None:
        """Keep the line."""
        if threading.get_ident() == self._own:
            self.lines.append(line)

    @property
    def last(self) -> dict[str, Any]:
        """The last line, decoded; whole, and the only one in its bytes."""
        line = self.lines[-1]
        assert line.endswith(b"\n")
        assert line.count(b"\n") == 1
        decoded: dict[str, Any] = json.loads(line)
        return decoded
