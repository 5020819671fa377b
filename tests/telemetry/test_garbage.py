"""A connection that ends leaves nothing for the garbage collector."""

import gc
import weakref
from typing import Any

import pytest

from charter_otel.server.wire import FrameProtocol
from support.polling import eventually
from support.robots import READING, Robots


@pytest.mark.parametrize("way", ["close", "abort"])
async def test_a_connection_is_freed_as_it_ends(
    own: Robots, way: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Without a collection no connection is left, however it ended."""
    alive: weakref.WeakSet[FrameProtocol] = weakref.WeakSet()
    begin = FrameProtocol.__init__

    def noted(self: FrameProtocol, *arguments: Any) -> None:
        begin(self, *arguments)
        alive.add(self)

    monkeypatch.setattr(FrameProtocol, "__init__", noted)
    gc.disable()
    try:
        for number in range(3):
            client = await own.connect(f"robot_{number}")
            await client.send(READING)
            await client.send('{"type":"ping"}')
            await client.recv()
            await client.close() if way == "close" else client.transport.abort()
        await own.closings(3)
        await eventually(lambda: not alive, "all connections are freed")
    finally:
        gc.enable()
