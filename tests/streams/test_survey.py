"""Settings of Redis that break a promise are reported at the start, by the promise's name."""

from pathlib import Path

import pytest
from redis.asyncio import Redis

from charter_otel.redis.survey import survey
from charter_otel.streams import RedisStream
from charter_otel.testing import Capture
from support.polling import eventually
from support.redis import RedisServer

CASES = {
    "no persistence": (("--appendonly", "no"), 0, "append-only file"),
    "a second may be lost": (("--appendfsync", "everysec"), 0, "appendfsync is everysec"),
    "it evicts": (
        ("--maxmemory", "100mb", "--maxmemory-policy", "allkeys-lru"),
        0,
        "maxmemory-policy is allkeys-lru",
    ),
    "no replica": ((), 1, "replicas=1 is asked for and 0 are connected"),
}


@pytest.mark.parametrize(("options", "replicas", "because"), CASES.values(), ids=CASES.keys())
async def test_each_weakness_is_found_alone(
    server_directory: Path, options: tuple[str, ...], replicas: int, because: str
) -> None:
    """One finding each, with what to do."""
    server = RedisServer(server_directory, options=options)
    server.start()
    client = Redis.from_url(server.url)
    try:
        [finding] = await survey(client, replicas)
    finally:
        await client.aclose()
        server.stop()
    assert because in finding.because
    assert finding.do


async def test_a_server_that_keeps_its_promises_is_no_line(server: RedisServer) -> None:
    """The server that all tests use."""
    client = Redis.from_url(server.url)
    assert await survey(client) == []
    await client.aclose()


async def test_the_stream_says_it_once(server_directory: Path, charter_capture: Capture) -> None:
    """At its start, however often Redis comes and goes."""
    server = RedisServer(server_directory, options=("--appendfsync", "everysec"))
    server.start()
    stream = RedisStream(server.url)
    await stream.start()
    try:
        await eventually(lambda: stream.statistics().connected, "connected")
        await eventually(lambda: _said(charter_capture), "it is said")
        [line] = _said(charter_capture)
        assert line["delivery_class"] == "exactly once in the stream"
    finally:
        await stream.stop()
        server.stop()


def _said(capture: Capture) -> list[dict[str, object]]:
    return [line for line in capture.lines if line["event"] == "Redis breaks a delivery class"]
