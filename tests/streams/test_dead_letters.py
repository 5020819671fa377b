"""Dead letters, listed and replayed by the command."""

import asyncio
import json

import pytest
from click.testing import CliRunner, Result

from charter_otel.cli import main
from charter_otel.redis.slots import partition_of
from charter_otel.streams import PartitionedStream
from streams.backends import RedisBackend, started, subscribe
from support.polling import eventually
from support.redis import RedisServer


def run(*arguments: str, url: str = "redis://127.0.0.1:1/0", partitions: int = 1) -> Result:
    """Run the command."""
    variables = {"CHARTER_EVENT_STREAM": url, "CHARTER_STREAM_PARTITIONS": str(partitions)}
    return CliRunner().invoke(main, ["dead-letters", *arguments], env=variables)


async def test_in_a_partitioned_stream_an_id_names_the_partition(server: RedisServer) -> None:
    """An id that `list` prints is one that `replay` takes."""
    stream = PartitionedStream(server.url, 3, max_deliveries=1, min_idle=0.2)
    failing = subscribe(stream)
    failing.failures = 1
    try:
        await stream.start()
        stream.publish_nowait(started("a"))
        await eventually(lambda: stream.statistics().subscribers[0].dead_lettered, "a dead letter")
        listed = await asyncio.to_thread(run, "list", url=server.url, partitions=3)
        (dead_letter,) = [
            json.loads(line) for line in listed.output.splitlines() if line[:1] == "{"
        ]
        assert dead_letter["id"].startswith(f"{partition_of('a', 3)}/")
        replayed = await asyncio.to_thread(
            run, "replay", dead_letter["id"], url=server.url, partitions=3
        )
        assert replayed.exit_code == 0, replayed.output
        await failing.has(2)
    finally:
        await stream.stop(1)


async def test_a_dead_letter_is_listed_and_delivered_again(redis_backend: RedisBackend) -> None:
    """Its group gets it again, no other group does, and it is a dead letter no more."""
    url = redis_backend.server.url
    stream = redis_backend.make(max_deliveries=2, min_idle=0.2)
    failing, other = subscribe(stream, group="failing"), subscribe(stream, group="other")
    failing.failures = 2
    await stream.start()
    event = started("a")
    stream.publish_nowait(event)
    await eventually(lambda: redis_backend.dead_letters(stream), "a dead letter")

    listed = await asyncio.to_thread(run, "list", url=url)
    (dead_letter,) = [json.loads(line) for line in listed.output.splitlines() if line[:1] == "{"]
    assert dead_letter["group"] == "failing"
    assert dead_letter["deliveries"] == 2
    assert "told to fail" in dead_letter["error"]
    assert json.loads(dead_letter["event"])["id"] == event.id
    others = await asyncio.to_thread(run, "list", "--group", "other", url=url)
    assert event.id not in others.output

    replayed = await asyncio.to_thread(run, "replay", dead_letter["id"], url=url)
    assert replayed.exit_code == 0
    assert "1 delivered again\n" in replayed.output
    await failing.has(3)
    await eventually(lambda: stream.statistics().subscribers[0].lag == 0, "acknowledged")
    assert failing.ids == [event.id] * 3
    assert other.ids == [event.id]
    assert redis_backend.dead_letters(stream) == []


async def test_a_dead_letter_that_cannot_be_replayed_is_reported_and_stays(
    redis_backend: RedisBackend,
) -> None:
    """An event that the stream no longer holds, and an unknown id, are named with the reason."""
    stream = redis_backend.make(max_deliveries=1)
    subscribe(stream).failures = 1
    await stream.start()
    stream.publish_nowait(started("a"))
    await eventually(lambda: redis_backend.dead_letters(stream), "a dead letter")
    redis_backend.server.command("XTRIM", "{charter}:events", "MAXLEN", 0)
    url = redis_backend.server.url
    everything = await asyncio.to_thread(run, "replay", "--all", url=url)
    assert everything.exit_code == 1
    assert "(trimmed)" in everything.output
    unknown = await asyncio.to_thread(run, "replay", "1-1", url=url)
    assert "1-1 (unknown)" in unknown.output
    assert len(redis_backend.dead_letters(stream)) == 1


@pytest.mark.parametrize(
    ("arguments", "url", "code", "text"),
    [
        (("list",), "memory://", 2, "redis:// address"),
        (("list",), "redis://127.0.0.1:1/0", 1, "Redis runs"),
        (("list",), "redis://:s3cret@", 2, "names no host"),
        (("replay",), "redis://127.0.0.1:1/0", 2, "--all"),
        (("replay", "x"), "redis://127.0.0.1:1/0", 2, "is not an id"),
    ],
)
def test_errors_are_reported(arguments: tuple[str, ...], url: str, code: int, text: str) -> None:
    """Errors say what to do next."""
    result = run(*arguments, url=url)
    assert result.exit_code == code
    assert text in result.output
    assert "s3cret" not in result.output
