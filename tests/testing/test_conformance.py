"""The public conformance suite holds on our own streams, and finds one that loses events."""

import sys
from typing import Any

import pytest

from charter_otel.streams import EventStream, MemoryStream, RedisStream, connect, register_scheme
from charter_otel.streams.types import Observer
from charter_otel.testing.conformance import StreamConformance


class TestMemory(StreamConformance):
    """The stream in memory."""

    def make_stream(self) -> EventStream:
        """Return one."""
        return MemoryStream()


class TestRedis(StreamConformance):
    """The stream in Redis."""

    url = ""

    @pytest.fixture(autouse=True)
    def _server(self, redis_url: str) -> None:
        self.url = redis_url

    def make_stream(self) -> EventStream:
        """Return one in an empty Redis."""
        return RedisStream(self.url)


class Forgetful(MemoryStream):
    """A stream that loses every other event."""

    def publish_nowait(self, *arguments: Any, **options: Any) -> bool:
        """Publish, or not."""
        self.turn = not getattr(self, "turn", False)
        return super().publish_nowait(*arguments, **options) if self.turn else True


class Losing(StreamConformance):
    """The suite of a stream that breaks its promises."""

    def make_stream(self) -> EventStream:
        """Return one."""
        return Forgetful()


def test_a_stream_that_loses_events_is_found(monkeypatch: pytest.MonkeyPatch) -> None:
    """The suite fails where an event does not arrive."""
    monkeypatch.setattr("charter_otel.testing.conformance.WITHIN", 0.2)
    with pytest.raises(AssertionError, match="not arrived"):
        Losing().test_a_subscriber_gets_each_event_in_order()


def loft(url: str, *, observer: Observer | None) -> EventStream:
    """Return the stream of a URL."""
    assert url == "pigeon://loft"
    return MemoryStream(observer=observer)


def test_a_scheme_of_one_s_own(monkeypatch: pytest.MonkeyPatch) -> None:
    """`connect` makes the stream of a registered scheme; ours cannot be taken."""
    monkeypatch.setattr(sys.modules[connect.__module__], "_makers", {})
    register_scheme("pigeon", loft)
    assert isinstance(connect("pigeon://loft"), MemoryStream)
    for scheme in ("redis", "memory", "Pigeon", ""):
        with pytest.raises(ValueError, match="scheme"):
            register_scheme(scheme, loft)
