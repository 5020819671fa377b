"""The same handlers in a bare Litestar application: no events, no metrics, no spans, no checks."""

import time
from typing import Annotated, Any

import msgspec
from litestar import Litestar, WebSocket, get, websocket
from litestar.exceptions import NotFoundException
from litestar.params import FromPath
from litestar.plugins import PluginProtocol
from msgspec import Meta

from support.apps import make_app

Percent = Annotated[float, Meta(ge=0, le=100)]


class Reading(msgspec.Struct, frozen=True, gc=False):
    """A robot's frame."""

    cpu_usage: Percent
    memory_usage: Percent
    network_latency_ms: Annotated[float, Meta(ge=0)]
    battery_percentage: Percent
    timestamp: float | None = None


_decode = msgspec.json.Decoder(Reading).decode
_readings: dict[str, tuple[Reading, float]] = {}


@websocket("/api/telemetry/ws/{robot_id:str}")
async def hold(socket: WebSocket[Any, Any, Any], robot_id: FromPath[str]) -> None:
    """Keep a robot's last reading while it is connected; answer its pings."""
    await socket.accept()
    receive = socket.receive
    while True:
        message = await receive()
        if message["type"] == "websocket.disconnect":
            return
        data: Any = message.get("text") or message.get("bytes") or ""
        try:
            _readings[robot_id] = (_decode(data), time.time())
        except msgspec.ValidationError:
            await socket.send_text('{"type":"pong"}')


@get("/api/telemetry/robots/{robot_id:str}/metrics")
async def get_metrics(robot_id: FromPath[str]) -> dict[str, Any]:
    """Return a robot's last reading."""
    known = _readings.get(robot_id)
    if known is None:
        raise NotFoundException
    reading, updated_at = known
    return {
        "robot_id": robot_id,
        "cpu_usage": reading.cpu_usage,
        "memory_usage": reading.memory_usage,
        "network_latency_ms": reading.network_latency_ms,
        "battery_percentage": reading.battery_percentage,
        "updated_at": updated_at,
    }


@get("/healthz")
async def healthz() -> dict[str, str]:
    """Say that it answers."""
    return {"status": "ok"}


def application(*plugins: PluginProtocol) -> Litestar:
    """Return the application."""
    return make_app(
        [hold, get_metrics, healthz],
        plugins=list(plugins),
        openapi_config=None,
    )
