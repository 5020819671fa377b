"""Releasing the robots of an instance that stops, all at once or in slices."""

import asyncio
import random
import time

import structlog

from charter_otel.charter import CloseReason
from charter_otel.telemetry.gateway import Gateway

_SLICE = 0.2
"""Seconds between two slices."""

log = structlog.get_logger(__name__)


async def release(gateway: Gateway, seconds: float, *, deadline: float) -> bool:
    """Close all connections as a shutdown, evenly over the given seconds.

    Each close frame says when to come back, so that the robots do not all reconnect at once.

    Args:
        gateway: The gateway; it should be closing, or robots would come while others go.
        seconds: Time over which robots are released; 0 releases all at once.
        deadline: Seconds within which the last ones must have ended.

    Returns:
        Whether all are closed.
    """
    waiting = list(gateway.connections)
    random.shuffle(waiting)
    gateway.released = len(waiting) / max(1.0, seconds)
    if waiting and seconds:
        log.info("releasing robots", connections=len(waiting), seconds=seconds)
    begun, count = time.monotonic(), len(waiting)
    while waiting and (passed := time.monotonic() - begun) < seconds:
        while len(waiting) > count * (1 - passed / seconds):
            waiting.pop().end(CloseReason.SERVER_SHUTDOWN)
        await asyncio.sleep(min(_SLICE, seconds - passed))
    return await gateway.connections.close_all(CloseReason.SERVER_SHUTDOWN, deadline=deadline)
