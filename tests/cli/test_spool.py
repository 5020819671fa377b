"""`charter-otel spool`: what waits on disk for other addresses, and how it gets to this one."""

import os
from pathlib import Path

import pytest

from charter_otel.charter import encode
from charter_otel.streams import RedisStream
from charter_otel.testing import Capture
from cli.commands import called
from streams.backends import started
from support.polling import eventually
from support.redis import RedisServer


def run(*arguments: str) -> tuple[int, str]:
    """Run the command and return how it ends and what it says."""
    ended = called("spool", *arguments, variables=os.environ)
    return ended.returncode, ended.stdout + ended.stderr


async def test_events_for_an_address_that_changed_are_said_listed_and_adopted(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, charter_capture: Capture
) -> None:
    """After the adoption the service at the new address publishes them, each once."""
    spool = tmp_path / "state" / "spool"
    old = RedisStream("redis://localhost:1/0", spool=spool)
    await old.start()
    events = [started(f"job-{n}") for n in range(40)]
    for event in events:
        old.publish_nowait(event)
    await eventually(lambda: old.statistics().spooled == 40, "they are on disk")
    await old.stop()
    (tmp_path / "redis").mkdir()
    server = RedisServer(tmp_path / "redis")
    server.start()
    try:
        monkeypatch.setenv("CHARTER_STATE_DIR", str(tmp_path / "state"))
        monkeypatch.setenv("CHARTER_EVENT_STREAM", server.url)
        new = RedisStream(server.url, spool=spool)
        await new.start()
        await new.stop()
        [told] = [line for line in charter_capture.lines if "other addresses" in line["event"]]
        assert (told["count"], told["addresses"]) == (40, ["redis://127.0.0.1:1/0 {charter}"])
        code, listed = run("list")
        assert (code, "40 events for redis://127.0.0.1:1/0 {charter}" in listed) == (0, True)
        assert run("adopt")[0] == 2
        assert run("adopt", "nothing")[0] == 2
        code, said = run("adopt", listed.split()[0])
        assert (code, said.startswith("40 events wait for")) == (0, True)
        assert run("list")[1].count(" events for ") == 1
        new = RedisStream(server.url, spool=spool)
        await new.start()
        await eventually(lambda: new.statistics().published == 40, "they are published")
        await new.stop()
        with server.client() as client:
            stored = [fields[b"event"] for _, fields in client.xrange("{charter}:events")]
        assert stored == [encode(event) for event in events]
    finally:
        server.stop()


async def test_localhost_and_its_address_are_one(tmp_path: Path) -> None:
    """An address written in another way later leaves no events behind."""
    first = RedisStream("redis://localhost:1/0", spool=tmp_path)
    await first.start()
    first.publish_nowait(started("a"))
    await eventually(lambda: first.statistics().spooled == 1, "it is on disk")
    await first.stop()
    second = RedisStream("redis://127.0.0.1:1/0", spool=tmp_path)
    await second.start()
    assert second.statistics().recovered == 1
    await second.stop()
