"""The addresses of a fleet: from the base address to each robot's own."""

from typing import NamedTuple
from urllib.parse import quote, urlsplit, urlunsplit

ROUTE = "/api/telemetry/ws"
"""The service's WebSocket route, which ends with the robot's id."""

_PLACEHOLDER = "{robot_id}"
_SCHEMES = {"ws": "http", "http": "http", "wss": "https", "https": "https"}


class FleetAddress(NamedTuple):
    """The addresses at which robots and REST clients reach a service."""

    websocket: str
    """Address of a robot's connection, with ``{robot_id}`` in it."""
    http: str
    """Base address of the REST API."""

    def of(self, robot_id: str, *, acknowledge: bool = False, simulated: bool = False) -> str:
        """Return the address of one robot's connection."""
        address = self.websocket.replace(_PLACEHOLDER, quote(robot_id, safe=""))
        asked = {"ack": acknowledge, "simulated": simulated}
        query = "&".join(f"{name}=1" for name, wanted in asked.items() if wanted)
        return address + ("&" if "?" in address else "?") + query if query else address


def parse(url: str) -> FleetAddress:
    """Read the address of a service.

    Args:
        url: ``ws://host:port``, with or without the route and its ``{robot_id}``; ``wss``,
            ``http`` and ``https`` likewise. A prefix before the route is kept.

    Raises:
        ValueError: It is not such an address.
    """
    scheme, netloc, path, query, _ = urlsplit(url)
    if scheme not in _SCHEMES or not netloc:
        raise ValueError(f"{url!r} is not a WebSocket address; give one like ws://127.0.0.1:8000")
    prefix, _, rest = path.partition(ROUTE)
    if rest.strip("/") not in {"", _PLACEHOLDER}:
        raise ValueError(f"{url!r} names one robot; end it with {ROUTE} or {ROUTE}/{_PLACEHOLDER}")
    http = _SCHEMES[scheme]
    prefix = prefix.rstrip("/")
    robots = f"{prefix}{ROUTE}/{_PLACEHOLDER}"
    return FleetAddress(
        urlunsplit((http.replace("http", "ws"), netloc, robots, query, "")),
        urlunsplit((http, netloc, prefix, "", "")),
    )
