"""The service's own protocols, for programs that are run by uvicorn itself.

``uvicorn app:app --http charter_otel.server.protocols:HTTP --ws charter_otel.server.protocols:WS``
"""

from charter_otel.server.dispatch import dispatching_protocol
from charter_otel.server.websocket import websocket_protocol

HTTP, WS = dispatching_protocol(), websocket_protocol()
"""They belong together, and to one server in a process."""
