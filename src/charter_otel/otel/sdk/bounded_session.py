"""The HTTP session of exports; imported on demand."""

import socket
import threading
import time
from contextlib import suppress
from typing import Any
from urllib.parse import urlsplit

import requests
from requests.adapters import HTTPAdapter
from urllib3.connection import HTTPConnection, HTTPSConnection
from urllib3.connectionpool import HTTPConnectionPool, HTTPSConnectionPool
from urllib3.response import HTTPResponse

from charter_otel.otel.sdk.sessions import CertifiedSession

LARGEST_ANSWER = 65_536
"""Bytes of a response that are read; the rest is cut off, and nothing in it is needed."""

_SECONDS = 10.0
"""Seconds of a request that names no timeout."""

_LEAST = 0.001
"""Seconds that a request has at least: a connection that is refused is refused within them."""

_LATE = "the Collector's answer did not come in time"


class _Deadline:
    """A connection whose whole head of a response must come within the timeout.

    By itself, the timeout holds for each read: a head that drips would last for ever.
    """

    sock: socket.socket | None
    timeout: float | None

    def getresponse(self) -> HTTPResponse:
        """Read the head of the response.

        Raises:
            TimeoutError: It did not come in time.
        """
        over = threading.Event()

        def cut(connection: socket.socket) -> None:
            over.set()
            with suppress(OSError):
                # The socket's own shutdown: that of TLS would take the session from the reader.
                socket.socket.shutdown(connection, socket.SHUT_RDWR)

        timer = threading.Timer(self.timeout or _SECONDS, cut, (self.sock,))
        timer.daemon = True
        timer.start()
        try:
            response: HTTPResponse = super().getresponse()  # type: ignore[misc]
        except Exception as error:
            if over.is_set():
                raise TimeoutError(_LATE) from error
            raise
        finally:
            timer.cancel()
        if over.is_set():
            # A head that is cut off may look whole.
            response.close()
            raise TimeoutError(_LATE)
        return response


class _Connection(_Deadline, HTTPConnection):  # type: ignore[misc]
    """Without TLS."""


class _SecureConnection(_Deadline, HTTPSConnection):  # type: ignore[misc]
    """With TLS."""


class _Pool(HTTPConnectionPool):
    """Connections without TLS."""

    ConnectionCls = _Connection


class _SecurePool(HTTPSConnectionPool):
    """Connections with TLS."""

    ConnectionCls = _SecureConnection


class _Adapter(HTTPAdapter):
    """Sends requests over such connections."""

    def init_poolmanager(self, *arguments: Any, **options: Any) -> None:
        """Make the pools."""
        super().init_poolmanager(*arguments, **options)
        self.poolmanager.pool_classes_by_scheme = {"http": _Pool, "https": _SecurePool}


class BoundedSession(CertifiedSession):
    """An HTTP session for exports, which no response holds up for long.

    The SDK takes a redirect for success, and reads a response of any length.
    """

    def __init__(self) -> None:
        super().__init__()
        for scheme in ("http://", "https://"):
            self.mount(scheme, _Adapter())

    def request(self, *arguments: Any, **options: Any) -> requests.Response:
        """Send a request.

        Raises:
            requests.RequestException: It failed, or the response was a redirect.
        """
        seconds = options.get("timeout")
        if isinstance(seconds, int | float):
            # The SDK's last attempt may have no time left, which would hide why the others failed.
            seconds = options["timeout"] = max(seconds, _LEAST)
        else:
            seconds = _SECONDS
        options["stream"] = True
        until = time.monotonic() + seconds
        response = super().request(*arguments, **options)
        if response.is_redirect:
            to = urlsplit(response.headers.get("location", ""))
            response.close()
            raise requests.exceptions.InvalidURL(
                f"the Collector's address answers {response.status_code}, a redirect to"
                f" {to.scheme}://{to.hostname}{to.path}; name that in OTEL_EXPORTER_OTLP_ENDPOINT"
            )
        self._read(response, until)
        return response

    @staticmethod
    def _read(response: requests.Response, until: float) -> None:
        content = b""
        try:
            while len(content) <= LARGEST_ANSWER and time.monotonic() < until:
                if not (piece := response.raw.read1(8_192)):
                    break
                content += piece
            else:
                response.close()
        except Exception:  # noqa: BLE001 - the status is there, and nothing else is needed
            response.close()
        response._content = content[:LARGEST_ANSWER]  # noqa: SLF001 - as reading it would set it
