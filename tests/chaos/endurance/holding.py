"""Holds connections in a process of its own: a process has only so many files.

It takes the service's address, the first robot's number, how many robots there are, and the address
that they come from. It says ``held <connected>`` once all have tried, and how many are left when
its stdin ends.
"""

import asyncio
import sys

from chaos.endurance.robots import Socket, connect
from charter_otel.open_files import raise_open_file_limit

_AT_ONCE = 100


async def main(websocket: str, first: int, count: int, source: str | None) -> None:
    """Connect, hold, and leave."""
    turns, held = asyncio.Semaphore(_AT_ONCE), list[Socket]()

    async def come(number: int) -> None:
        async with turns:
            try:
                robot = await connect(websocket, f"robot_{number}", source)
            except (OSError, TimeoutError):
                return
            if robot is not None:
                held.append(robot)

    await asyncio.gather(*(come(number) for number in range(first, first + count)))
    _say(f"held {len(held)}")
    await asyncio.to_thread(sys.stdin.read)
    _say(f"left {sum(not robot.ended.is_set() for robot in held)}")
    for robot in held:
        robot.transport.close()
    await asyncio.gather(*(robot.ended.wait() for robot in held))


def _say(text: str) -> None:
    sys.stdout.write(text + "\n")
    sys.stdout.flush()


if __name__ == "__main__":
    raise_open_file_limit()
    asyncio.run(
        main(sys.argv[1], int(sys.argv[2]), int(sys.argv[3]), next(iter(sys.argv[4:]), None))
    )
