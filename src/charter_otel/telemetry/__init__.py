"""Robot telemetry: the robots' WebSocket, their readings and their presence.

Not OpenTelemetry's: that is `charter_otel.otel`.
"""

from charter_otel.telemetry.cluster import LocalPresence
from charter_otel.telemetry.connections import Connection, Connections
from charter_otel.telemetry.fleet import Fleet, Robot
from charter_otel.telemetry.frames import BadFrame, Frame, Ping
from charter_otel.telemetry.gateway import Gateway, Limits
from charter_otel.telemetry.handshakes import HandshakeRate
from charter_otel.telemetry.router import (
    get_robot_metrics,
    set_event_stream,
    set_gateway,
    telemetry_router,
    telemetry_websocket,
)
from charter_otel.telemetry.sweeper import Sweeper

__all__ = [
    "BadFrame",
    "Connection",
    "Connections",
    "Fleet",
    "Frame",
    "Gateway",
    "HandshakeRate",
    "Limits",
    "LocalPresence",
    "Ping",
    "Robot",
    "Sweeper",
    "get_robot_metrics",
    "set_event_stream",
    "set_gateway",
    "telemetry_router",
    "telemetry_websocket",
]
