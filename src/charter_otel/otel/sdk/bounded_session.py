"""The HTTP session of exports; imported on demand."""

import time
from typing import Any
from urllib.parse import urlsplit

import requests

from charter_otel.otel.sdk.sessions import CertifiedSession

LARGEST_ANSWER = 65_536
"""Bytes of a response that are read; the rest is cut off, and nothing in it is needed."""


class BoundedSession(CertifiedSession):
    """An HTTP session for exports, which no response holds up for long.

    The SDK takes a redirect for success, and reads a response of any length.
    """

    def request(self, *arguments: Any, **options: Any) -> requests.Response:
        """Send a request.

        Raises:
            requests.RequestException: It failed, or the response was a redirect.
        """
        seconds = options.get("timeout")
        options["stream"] = True
        until = time.monotonic() + (seconds if isinstance(seconds, int | float) else 10.0)
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
