"""uvicorn's HTTP protocol with the patience limited."""

import asyncio
from typing import Any

import h11
from uvicorn.protocols.http.h11_impl import H11Protocol

from charter_otel.server import patience
from charter_otel.server.floods import CHUNK_BYTES, FREE_CHUNKS, UNWANTED_BYTES
from charter_otel.server.handshake import Handshake
from charter_otel.server.patience import MAX_HEADER_BYTES, SlowReaderTimeout


class ChunkLimit(h11.Connection):
    """h11's connection, which takes no body in tiny chunks."""

    _chunks = _bytes = 0

    def next_event(self) -> Any:
        """Return what came next.

        Raises:
            h11.RemoteProtocolError: As h11, or the body comes in too many too small chunks.
        """
        event = super().next_event()
        if isinstance(event, h11.Data):
            self._chunks += event.chunk_start
            self._bytes += len(event.data)
            # The last one may have begun only.
            wanted = (self._chunks - 1) * CHUNK_BYTES
            if self._chunks > FREE_CHUNKS and self._bytes < wanted:
                raise h11.RemoteProtocolError("the body comes in too many too small chunks")
        elif isinstance(event, h11.Request):
            self._chunks = self._bytes = 0
        return event


class TimedHTTP(SlowReaderTimeout, H11Protocol):
    """HTTP/1.1 whose requests must come in time."""

    _late: asyncio.TimerHandle | None = None
    _awaited: Any = None
    _unwanted = 0

    def __init__(self, *arguments: Any, **named: Any) -> None:
        super().__init__(*arguments, **named)
        self.conn = ChunkLimit(h11.SERVER, MAX_HEADER_BYTES)

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """Wait for the first request."""
        super().connection_made(transport)
        self._await(h11.IDLE)

    def connection_lost(self, exc: Exception | None) -> None:
        """Wait no more."""
        self._await(None)
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        """Take what came, and see what is still to come."""
        if self._has_too_long_a_head(data):
            self._refuse_head()
            return
        if self._is_too_much(data):
            self.transport.abort()
            return
        super().data_received(data)
        upgraded = self.transport.get_protocol() is not self
        self._await(None if upgraded else self.conn.their_state)

    def on_response_complete(self) -> None:
        """Allow the peer time to read the response, too."""
        super().on_response_complete()
        self._watch(patience.READ_WITHIN)

    def handle_websocket_upgrade(self, event: h11.Request) -> None:
        """Hand over to the WebSocket protocol."""
        self.connections.discard(self)
        headers = [(name.lower(), value) for name, value in event.headers]
        protocol: Any = self.ws_protocol_class
        protocol(self.config, self.server_state, self.app_state).open(
            self.transport,
            Handshake(event.method, event.target, headers),
            self.conn.trailing_data[0],
        )

    def send_400_response(self, msg: str) -> None:
        """Say that the request is wrong, as long as nothing else has been said."""
        if self.conn.our_state in {h11.IDLE, h11.SEND_RESPONSE}:
            super().send_400_response(msg)
        else:
            self.transport.close()

    def _has_too_long_a_head(self, data: bytes) -> bool:
        """Return whether a request's head is too long; h11 checks only an incomplete one."""
        if self.conn.their_state is not h11.IDLE:
            return False
        head = self.conn.trailing_data[0] + data
        end = head.find(b"\r\n\r\n")
        return (len(head) if end < 0 else end + 4) > MAX_HEADER_BYTES

    def _is_too_much(self, data: bytes) -> bool:
        """Return whether a client that has its answer goes on and on with its request."""
        answered = self.conn.our_state is h11.DONE and self.conn.their_state is h11.SEND_BODY
        self._unwanted = self._unwanted + len(data) if answered else 0
        return self._unwanted > UNWANTED_BYTES

    def _refuse_head(self) -> None:
        headers = [(b"content-length", b"0"), (b"connection", b"close")]
        refusal = h11.Response(status_code=431, headers=headers)
        for event in (refusal, h11.EndOfMessage()):
            self.transport.write(self.conn.send(event) or b"")
        self.transport.close()

    def _await(self, state: Any) -> None:
        if state is self._awaited:
            return
        self._awaited = state
        if self._late is not None:
            self._late.cancel()
            self._late = None
        within = {h11.IDLE: patience.HEADERS_WITHIN, h11.SEND_BODY: patience.BODY_WITHIN}.get(state)
        if within is not None:
            self._late = self.loop.call_later(within, self.transport.abort)
