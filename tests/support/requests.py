"""Requests to an application in the test's own event loop, without a server."""

from typing import Any

import httpx
from litestar import Litestar


def requesting(app: Litestar, *, raises: bool = False) -> httpx.AsyncClient:
    """Return a client whose requests the app handles here and now.

    Args:
        app: The app; it is not started.
        raises: Whether what the app raises reaches the test, or is a server's to handle.
    """
    handle: Any = app
    transport = httpx.ASGITransport(handle, raise_app_exceptions=raises)
    return httpx.AsyncClient(transport=transport, base_url="http://test")
