"""The client for Server-Sent Events."""

import httpx
import pytest

from charter_otel.cli.sse import EventSource, Refused

PATH = "/events"


def source(answer: httpx.Response, requests: list[httpx.Request]) -> EventSource:
    """Return an event source whose server answers so."""

    def respond(request: httpx.Request) -> httpx.Response:
        requests.append(request)
        return answer

    client = httpx.AsyncClient(
        base_url="http://service", transport=httpx.MockTransport(respond), trust_env=False
    )
    return EventSource(client, PATH, {"type": ["a", "b"]})


def stream(text: str) -> httpx.Response:
    """Return a response that is an event stream."""
    return httpx.Response(
        200, content=text.encode(), headers={"content-type": "text/event-stream; charset=utf-8"}
    )


async def test_each_event_gives_its_data() -> None:
    """Comments, names and ids are not data; several data lines are one text."""
    text = ": ping\r\n\r\nid: 1\r\nevent: x\r\ndata: {}\r\n\r\ndata: a\r\ndata:b\r\n\r\ndata: cut"
    events = source(stream(text), []).events()
    assert [data async for data in events] == ["{}", "a\nb"]


async def test_the_next_connection_goes_on_after_the_last_event() -> None:
    """The id of the last event is sent as Last-Event-ID, in UTF-8."""
    requests: list[httpx.Request] = []
    events = source(stream("id: é7\ndata: {}\n\n"), requests)
    for _ in range(2):
        assert [data async for data in events.events()] == ["{}"]
    assert "last-event-id" not in requests[0].headers
    assert (b"Last-Event-ID", "é7".encode()) in requests[1].headers.raw


async def test_the_query_goes_with_every_request() -> None:
    """A parameter with several values is repeated."""
    requests: list[httpx.Request] = []
    assert [data async for data in source(stream(""), requests).events()] == []
    assert requests[0].url.query == b"type=a&type=b"


async def test_a_refusal_carries_what_the_server_said() -> None:
    """A client's error is not tried again."""
    refusal = httpx.Response(400, json={"detail": "type: is none"})
    with pytest.raises(Refused, match=r"HTTP 400.*type: is none"):
        [data async for data in source(refusal, []).events()]


async def test_a_server_error_counts_as_a_lost_connection() -> None:
    """A service that comes up or goes down is worth another try."""
    with pytest.raises(httpx.TransportError, match="503"):
        [data async for data in source(httpx.Response(503), []).events()]
