"""Origins of web pages that may use the service: only browsers say where a request is from."""

import re
from collections.abc import Collection, Mapping
from functools import lru_cache
from ipaddress import ip_address
from urllib.parse import urlsplit

CAUSES_EVENT = "charter_otel_causes_event"
"""Option of a route handler that only reads, and yet an event follows."""

ADDRESSES = 64
"""Most pairs of address and name whose verdict is kept: every handshake asks, twice."""

REBOUND = (
    "Without CHARTER_AUTH_SECRET only loopback names are answered; "
    "ask localhost or 127.0.0.1, or set a secret."
)
"""The answer to a request by another name."""


def is_foreign(headers: Mapping[str, str], allowed: Collection[str]) -> bool:
    """Return whether the request is from a page of neither the service's nor an allowed origin.

    A page that only fetches a picture sends no origin, but the browser says where it is from.

    Args:
        headers: The request's, with lower-case names.
        allowed: Origins as a browser writes them, e.g. ``https://fleet.example``.
    """
    origin = headers.get("origin")
    if not origin:
        return headers.get("sec-fetch-site") in {"cross-site", "same-site"}
    if origin in allowed:
        return False
    try:
        return urlsplit(origin).netloc != headers.get("host")
    except ValueError:
        return True


def is_origin(text: str) -> bool:
    """Return whether the text is an origin as a browser writes it (RFC 6454, section 6.2)."""
    try:
        parts = urlsplit(text)
        host, _ = parts.hostname, parts.port
    except ValueError:
        return False
    whole = f"{parts.scheme}://{parts.netloc}" == text and bool(parts.scheme and host)
    return whole and re.fullmatch(r"[!-?A-~]+", text) is not None


@lru_cache(maxsize=ADDRESSES)
def is_rebound(server: str, host: str | None) -> bool:
    """Return whether a loopback address is asked for by a name that is not loopback's.

    In this way a page of another site reaches a service on its reader's machine: its name suddenly
    resolves to that machine (DNS rebinding), and the browser takes the page for the service's own.

    Args:
        server: The address that took the connection.
        host: The request's header ``Host``.
    """
    if not is_loopback(server) or host is None:
        return False
    try:
        name = urlsplit(f"//{host}").hostname or ""
    except ValueError:
        return True
    return not is_loopback(name)


def is_loopback(name: str) -> bool:
    """Return whether a name or an address is that of the machine itself."""
    try:
        return ip_address(name).is_loopback
    except ValueError:
        name = name.lower().rstrip(".")
        return name == "localhost" or name.endswith(".localhost")
