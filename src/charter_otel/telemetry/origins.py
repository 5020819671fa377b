"""Which web pages may talk to the service: a browser tells a page's origin, nobody else does."""

import re
from collections.abc import Collection, Mapping
from urllib.parse import urlsplit


def is_foreign(headers: Mapping[str, str], allowed: Collection[str]) -> bool:
    """Return whether a page asks that is neither the service's own nor one of the allowed ones.

    Args:
        headers: The request's, with lower-case names.
        allowed: Origins as a browser writes them, e.g. ``https://fleet.example``.
    """
    origin = headers.get("origin")
    if not origin or origin in allowed:
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
