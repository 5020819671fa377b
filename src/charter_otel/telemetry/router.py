"""The specification's telemetry module: the robots' WebSocket, their metrics, their presence."""

import asyncio
import time
from importlib.metadata import version
from typing import Any, cast

import structlog
from litestar import Router, get, websocket
from litestar.exceptions import NotFoundException, ValidationException
from litestar.params import FromPath
from opentelemetry.trace import Span, StatusCode

from charter_otel.charter import ROBOT_ID_RULE, CloseReason, Event, EventType, is_robot_id
from charter_otel.emit import AnyStream, event_seam, get_emitter
from charter_otel.methods import with_methods
from charter_otel.otel import Instrumentation, semconv
from charter_otel.seams import Seam
from charter_otel.telemetry import admission, spans
from charter_otel.telemetry.admission import HandshakeRefusal
from charter_otel.telemetry.connections import Connection
from charter_otel.telemetry.fleet import Robot
from charter_otel.telemetry.gateway import Gateway
from charter_otel.telemetry.origins import CAUSES_EVENT
from charter_otel.telemetry.refusal import refuse, refuse_plain_http
from charter_otel.telemetry.responses import Info, RobotId, RobotMetrics, RobotPresence
from charter_otel.telemetry.session import Session, Socket
from charter_otel.tokens import OPEN

__all__ = [
    "Event",
    "emit_server_lost",
    "get_robot_metrics",
    "get_robots",
    "set_event_stream",
    "set_gateway",
    "telemetry_router",
    "telemetry_websocket",
]

PATH = "/api/telemetry"
WEBSOCKET_PATH = "/ws/{robot_id}"
WEBSOCKET_ROUTE = PATH + WEBSOCKET_PATH
"""The template that spans and metrics name; it holds no robot id."""

FEATURES = (
    "readings",
    "reading_lists",
    "presence",
    "acknowledgements",
    "pings",
    "token_renewal",
    "trace_context",
)
"""Features that a robot or a dashboard may rely on."""

METRICS = ("cpu_usage", "memory_usage", "network_latency_ms", "battery_percentage")
"""The fields of a reading, as the specification names them."""

log = structlog.get_logger(__name__)

_event_stream: AnyStream | None = None
set_event_stream, _emit_event_safe = event_seam(globals())

_gateway = Seam(Gateway())


def set_gateway(gateway: Gateway) -> None:
    """Set the gateway that the handlers work on; the service does at its start."""
    _gateway.set(gateway)


async def telemetry_websocket(socket: Socket, robot_id: FromPath[str]) -> None:
    """Hold a robot's connection: handshake, frames, close.

    ``connection_established`` is emitted once the robot is accepted, ``connection_closed`` exactly
    once for each of those, whatever ends the connection.
    """
    gateway = _gateway.get()
    session = await _shake_hands(gateway, socket, robot_id)
    if session is None:
        return
    with spans.ContextAttached(spans.inside(session.connection.handshake)):
        reason = CloseReason.SERVER_ERROR
        try:
            reason = await session.run()
        except asyncio.CancelledError:
            reason = CloseReason.SERVER_SHUTDOWN
            raise
        except Exception:
            # The robot gets a close code, the SRE a log line; the other robots notice nothing.
            log.exception("connection failed", connection_id=session.connection.id)
        finally:
            # The close is emitted before any wait; then comes the close frame.
            await _closed(gateway, session.connection, reason)
            await session.close(reason)
            session.release()


async def get_robot_metrics(robot_id: RobotId) -> RobotMetrics:
    """Return a robot's last readings.

    Raises:
        ValidationException: It is not a robot id.
        NotFoundException: The robot is unknown, or has sent no reading yet.
    """
    if not is_robot_id(robot_id):
        raise ValidationException(detail=f"robot_id: Expected {ROBOT_ID_RULE}")
    reading = await _gateway.get().instances.reading(robot_id)
    if reading is None:
        raise NotFoundException(detail=f"There is no reading of robot {robot_id!r}.")
    metrics = {name: reading[name] for name in METRICS}
    if _gateway.get().metrics_published:
        await _emit_event_safe(
            event_type=EventType.TELEMETRY_METRICS_PUBLISHED,
            payload={"robot_id": robot_id, "metrics": metrics, "published_at": time.time()},
        )
    answer = {"robot_id": robot_id, **metrics, "updated_at": reading["updated_at"]}
    return cast("RobotMetrics", answer)


async def get_robots() -> list[RobotPresence]:
    """Return the presence of every known robot."""
    return cast("list[RobotPresence]", await _gateway.get().instances.robots())


async def get_info() -> Info:
    """Return what answers here: name, version, features, active connections."""
    gateway = _gateway.get()
    return {
        "name": "charter-otel",
        "version": version("charter-otel"),
        "features": [*FEATURES, *(["metrics_published"] if gateway.metrics_published else [])],
        "active_connections": len(gateway.connections),
    }


def telemetry_router() -> Router:
    """Return the routes; the handlers stay plain functions that any code may call."""
    return Router(
        PATH,
        tags=["telemetry"],
        route_handlers=with_methods(
            [
                get(
                    "/robots/{robot_id:str}/metrics",
                    summary="Last readings",
                    opt={CAUSES_EVENT: True},
                )(get_robot_metrics),
                get("/robots", summary="Presence")(get_robots),
                get("/info", summary="Name, version, features")(get_info),
                websocket("/ws/{robot_id:str}")(telemetry_websocket),
                # A robot behind a proxy that drops `Upgrade` learns that, whatever its token.
                get("/ws/{robot_id:str}", include_in_schema=False, opt={OPEN: True})(
                    refuse_plain_http
                ),
            ]
        ),
    )


async def _shake_hands(gateway: Gateway, socket: Socket, robot_id: str) -> Session | None:
    """Accept the robot, or refuse it; return None if there is no connection."""
    instrumentation = _instrumentation()
    scope = socket.scope
    started = time.perf_counter()
    outcome = "error"
    verdict, error = _decide(gateway, admission.request(scope, robot_id))
    admitted = isinstance(verdict, admission.Admitted)
    try:
        with spans.handshake(
            instrumentation.tracer, _route(scope), scope, admitted=admitted
        ) as span:
            if error is not None:
                log.error("handshake failed", robot_id=robot_id, exc_info=error)
                span.set_attribute(semconv.ERROR_TYPE, type(error).__qualname__)
                span.set_status(StatusCode.ERROR)
            if isinstance(verdict, HandshakeRefusal):
                outcome = verdict.outcome
                await _refuse(socket, robot_id, verdict, span)
                return None
            await socket.accept(verdict.subprotocol)
            outcome = "accepted"
            connection = Connection(
                robot_id,
                span.get_span_context(),
                verdict.expires_at,
                verdict.labels,
                simulated=verdict.simulated,
            )
            robot = await _established(gateway, connection, span)
            return Session(socket, connection, robot, gateway, acknowledge=verdict.acknowledge)
    finally:
        instrumentation.instruments.handshake_duration.record(
            time.perf_counter() - started, {semconv.CHARTER_HANDSHAKE_OUTCOME: outcome}
        )


def _instrumentation() -> Instrumentation:
    # Not an argument: the specification's functions have none for it. Spans have to come from the
    # emitter that `_emit_event_safe` uses, or a connection's events would not be in its trace.
    return get_emitter().instrumentation


def _route(scope: Any) -> str:
    """Return the template of the route, with the prefix that an app has."""
    template: str = scope.get("path_template") or WEBSOCKET_ROUTE
    return template


def _decide(
    gateway: Gateway, request: admission.HandshakeRequest
) -> tuple[admission.Admitted | HandshakeRefusal, Exception | None]:
    """Decide about a handshake; if that fails, the robot still gets an answer."""
    try:
        return admission.admit(gateway, request), None
    except Exception as error:  # noqa: BLE001 - it is logged in the handshake's span
        return admission.FAILED, error


async def _refuse(socket: Socket, robot_id: str, refusal: HandshakeRefusal, span: Span) -> None:
    span.set_attribute(semconv.CHARTER_HANDSHAKE_OUTCOME, refusal.outcome)
    span.set_attribute(semconv.HTTP_RESPONSE_STATUS_CODE, refusal.status)
    # The claimed id helps to find the robot; a text that is not a robot id is not repeated.
    named = {"robot_id": robot_id} if is_robot_id(robot_id) else {}
    if named:
        span.set_attribute(semconv.CHARTER_ROBOT_ID, robot_id)
    log.warning(
        "handshake refused",
        outcome=refusal.outcome,
        status=refusal.status,
        why=refusal.detail,
        **named,
    )
    await refuse(socket, refusal)


async def _established(gateway: Gateway, connection: Connection, span: Span) -> Robot:
    span.set_attributes(
        {
            semconv.CHARTER_HANDSHAKE_OUTCOME: "accepted",
            semconv.HTTP_RESPONSE_STATUS_CODE: 101,
            semconv.CHARTER_ROBOT_ID: connection.robot_id,
            semconv.CHARTER_CONNECTION_ID: connection.id,
            **connection.labels,
        }
    )
    gateway.connections.add(connection)
    robot = gateway.fleet.connected(connection)
    gateway.instances.opened(connection)
    try:
        with spans.ContextAttached(spans.event_context(span, connection)):
            await _emit_event_safe(
                event_type=EventType.TELEMETRY_CONNECTION_ESTABLISHED,
                payload={
                    "robot_id": connection.robot_id,
                    "connection_id": connection.id,
                    "connected_at": connection.connected_at,
                },
            )
    except BaseException:
        # Only a foreign stream makes us wait here; a cancellation can come in that wait.
        await _closed(gateway, connection, CloseReason.SERVER_SHUTDOWN)
        raise
    return robot


async def _closed(gateway: Gateway, connection: Connection, reason: CloseReason) -> None:
    gateway.connections.remove(connection)
    now = time.time()
    gateway.fleet.disconnected(connection, reason, now)
    ours = True
    try:
        ours = await gateway.instances.owns_close(connection)
    finally:
        gateway.instances.closed(connection)
        if ours:
            await _emit_closed(connection, reason, now)


async def emit_server_lost(connection: Connection, ended: float) -> None:
    """Emit the close of a connection whose instance died, at Unix time ``ended``."""
    await _emit_closed(connection, CloseReason.SERVER_LOST, ended)


async def _emit_closed(connection: Connection, reason: CloseReason, ended: float) -> None:
    with spans.connection_span(_instrumentation().tracer, connection, reason) as duration:
        await _emit_event_safe(
            event_type=EventType.TELEMETRY_CONNECTION_CLOSED,
            payload={
                "robot_id": connection.robot_id,
                "connection_id": connection.id,
                "duration_seconds": duration,
                "reason": reason.value,
                "disconnected_at": ended,
            },
        )
