"""A client for Server-Sent Events that resumes where it stopped (WHATWG HTML, §9.2)."""

from collections.abc import AsyncIterator, Callable, Mapping, Sequence

import httpx

_SHOWN = 500


class Refused(Exception):  # noqa: N818 - the name says what the request was
    """The server answered with something other than an event stream; the text is its answer."""

    def __init__(self, status: int, body: str) -> None:
        super().__init__(f"HTTP {status}: {body[:_SHOWN]}")
        self.status = status


class EventSource:
    """The events of one address, over as many connections as it takes."""

    def __init__(
        self,
        client: httpx.AsyncClient,
        path: str,
        query: Mapping[str, Sequence[str]],
        *,
        last_event_id: str | None = None,
        on_open: Callable[[], None] = lambda: None,
    ) -> None:
        self._client = client
        self._path = path
        self._query = query
        self.last_event_id = last_event_id
        self.opened = False
        """Whether a connection was made at least once."""
        self._on_open = on_open

    async def events(self) -> AsyncIterator[str]:
        """Yield each event's data until the connection ends; call again to go on.

        Raises:
            Refused: The server's answer is not an event stream.
            httpx.TransportError: There is no connection, or it was lost.
        """
        # In UTF-8, as the standard has it; a dict's values would have to be ASCII.
        headers = httpx.Headers({"Accept": "text/event-stream", "Cache-Control": "no-store"})
        if self.last_event_id is not None:
            headers["Last-Event-ID"] = self.last_event_id
        async with self._client.stream(
            "GET", self._path, params=dict(self._query), headers=headers
        ) as response:
            await _check(response)
            self.opened = True
            self._on_open()
            data: list[str] = []
            async for line in response.aiter_lines():
                if line:
                    self._read(line, data)
                elif data:
                    yield "\n".join(data)
                    data.clear()

    def _read(self, line: str, data: list[str]) -> None:
        name, _, value = line.partition(":")
        value = value.removeprefix(" ")
        if name == "data":
            data.append(value)
        elif name == "id":
            self.last_event_id = value


async def _check(response: httpx.Response) -> None:
    if response.status_code >= httpx.codes.INTERNAL_SERVER_ERROR:
        raise httpx.TransportError(f"HTTP {response.status_code}", request=response.request)
    if response.headers.get("content-type", "").partition(";")[0] == "text/event-stream":
        return
    body = (await response.aread()).decode(errors="replace")
    raise Refused(response.status_code, body)
