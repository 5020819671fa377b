"""Requests to services that a test runs."""

import ssl
from collections.abc import Iterator
from contextlib import contextmanager
from http.client import HTTPResponse
from urllib.error import HTTPError
from urllib.request import Request, urlopen

import httpx

LOCAL = httpx.Client(limits=httpx.Limits(max_keepalive_connections=0), trust_env=False, timeout=30)
"""For servers on loopback that a test asks again and again.

`httpx.get` reads all of the system's certificates first, which takes fifty times as long.
"""


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
