"""Requests to services that a test runs."""

import ssl
from collections.abc import Iterator
from contextlib import contextmanager
from http.client import HTTPResponse
from urllib.error import HTTPError
from urllib.request import Request, urlopen


@contextmanager
def answer(
    request: str | Request, *, timeout: float = 10, tls: ssl.SSLContext | None = None
) -> Iterator[HTTPResponse]:
    """Yield the answer to a request; an error's body is closed, or Python 3.14 warns of it."""
    try:
        with urlopen(request, timeout=timeout, context=tls) as response:  # noqa: S310 - our own service
            yield response
    except HTTPError as error:
        error.close()
        raise
