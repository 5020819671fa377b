"""Another program that uses the library: a subscriber that fails, and an event that is wrong.

It runs until it is terminated. Usage: python subscriber.py REDIS_URL
"""

import asyncio
import contextlib
import sys

from charter_otel.charter import Event
from charter_otel.emit import Emitter, emit, set_emitter
from charter_otel.otel import StreamTelemetry, build
from charter_otel.service.gauges import observe_stream
from charter_otel.streams import RedisStream


async def main(url: str) -> None:
    """Subscribe, fail now and then, and emit what the Charter does not know."""
    instrumentation = build().instrumentation()
    set_emitter(Emitter(instrumentation))
    stream = RedisStream(
        url, observer=StreamTelemetry(instrumentation), max_deliveries=2, redelivery_delay=0.05
    )
    observe_stream(instrumentation.instruments, stream)

    @stream.subscribe("*", group="fleet_board")
    async def board(event: Event) -> None:
        if event.type == "telemetry.connection_established":
            raise RuntimeError("the board is full")

    await stream.start()
    try:
        while True:
            emit("telemetry.connection_established", {"robot_id": "?"}, stream=stream)  # type: ignore[unused-coroutine]
            await asyncio.sleep(1)
    finally:
        await stream.stop(1)


if __name__ == "__main__":
    with contextlib.suppress(KeyboardInterrupt):
        asyncio.run(main(sys.argv[1]))
