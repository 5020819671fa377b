"""Liveness and readiness of the service, with the state of each dependency."""

import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Literal, NamedTuple, TypedDict, cast

import structlog
from litestar import HttpMethod, Request, Response, Router, route
from litestar.openapi.datastructures import ResponseSpec
from litestar.status_codes import HTTP_200_OK, HTTP_503_SERVICE_UNAVAILABLE

from charter_otel.consumers import Consumer
from charter_otel.otel.lines.values import timestamp
from charter_otel.otel.sdk.collector_link import LINK
from charter_otel.service.http import UNTRACED
from charter_otel.streams import EventStream, Statistics

Status = Literal["ready", "degraded", "unready"]
"""From good to bad: works; works without a dependency; takes no requests."""

AnyRequest = Request[Any, Any, Any]

_METHODS = [HttpMethod.GET, HttpMethod.HEAD]
"""Load balancers and monitors use either method."""

PROBES = ("/healthz", "/readyz")
"""The paths of the two routes."""

LOSS_SAID = 900.0
"""Seconds for which a stream that began anew is degraded."""

_ORDER: tuple[Status, ...] = ("ready", "degraded", "unready")

log = structlog.get_logger(__name__)


class Dependency(NamedTuple):
    """The state of something that the service depends on."""

    status: Status
    details: Mapping[str, Any] = {}
    """Further facts; no secrets."""


class Health(TypedDict):
    """The process is alive."""

    status: Literal["ok"]


class DependencyState(TypedDict):
    """The state of a dependency, with further facts."""

    status: Status


class Readiness(TypedDict):
    """The state of the service: that of its worst dependency."""

    status: Status
    dependencies: dict[str, DependencyState]


Check = Callable[[], Dependency | None]
"""Returns the state of a dependency from data in memory, without I/O; None if it is not used."""


def health_router(
    dependencies: Mapping[str, Check],
    running: Callable[[], bool] = lambda: True,
    may_read: Callable[[AnyRequest], bool] = lambda _: True,
    *,
    paths: Sequence[str] = PROBES,
) -> Router:
    """Make ``/healthz`` and ``/readyz``. Neither makes spans; both are measured.

    Args:
        dependencies: The checks by name.
        running: Whether the service has started and has not begun to stop.
        may_read: Whether the caller may see more than the status of each dependency.
        paths: Which of the two to make.
    """

    @route(
        "/healthz",
        http_method=_METHODS,
        summary="Whether the process is alive",
        sync_to_thread=False,
    )
    def get_health() -> Health:
        """Answer, which is all that a liveness probe wants."""
        return {"status": "ok"}

    unready = ResponseSpec(Readiness, description="Not started yet, or about to stop.")

    @route(
        "/readyz",
        http_method=_METHODS,
        summary="Whether the service takes requests",
        responses={HTTP_503_SERVICE_UNAVAILABLE: unready},
        sync_to_thread=False,
    )
    def get_readiness(request: AnyRequest) -> Response[Readiness]:
        """Return the state of each dependency, and of the service: that of the worst of them."""
        details = may_read(request)
        asked = {name: _state(name, check) for name, check in dependencies.items()}
        states = {name: state for name, state in asked.items() if state is not None}
        status = max((s.status for s in states.values()), key=_ORDER.index, default=_ORDER[0])
        if not running():
            status = "unready"
        answer = {
            "status": status,
            "dependencies": {
                name: {**(state.details if details else {}), "status": state.status}
                for name, state in states.items()
            },
        }
        return Response(
            cast("Readiness", answer),
            status_code=HTTP_503_SERVICE_UNAVAILABLE if status == "unready" else HTTP_200_OK,
        )

    return Router(
        "/",
        route_handlers=[each for each in (get_health, get_readiness) if each.paths <= {*paths}],
        opt={UNTRACED: True},
        tags=["health"],
    )


def consumer_check(consumer: Consumer) -> Callable[[], Dependency]:
    """Return the check of a consumer: the service works without it, so a failing one degrades."""
    begun = time.monotonic()

    def check() -> Dependency:
        details = {"since": _moment(consumer.since or begun), "holder": consumer.holds}
        return _dependency(details, consumer.trouble)

    return check


def collector_check() -> Dependency | None:
    """Return the state of the Collector: without it the service works unseen, so it degrades."""
    state = LINK.state
    if state is None:
        return None
    return _dependency({"since": _moment(state.since)}, state.error)


def event_stream_check(
    get_stream: Callable[[], EventStream | None],
) -> Callable[[], Dependency]:
    """Make the check of the event stream: the service works without it, so a lost one degrades."""

    def check() -> Dependency:
        stream = get_stream()
        if stream is None:
            return Dependency("ready", {"system": "none"})
        statistics = stream.statistics()
        losses = _losses(statistics)
        error = statistics.error or losses
        details = {
            **{n: value for n, value in statistics._asdict().items() if n not in _NOT_AS_IT_IS},
            "since": _moment(statistics.since),
            "restarted_at": _moment(statistics.restarted_at),
            "trimmed": sum(each.trimmed for each in statistics.subscribers),
            **({"error": error} if error else {}),
        }
        return Dependency("ready" if statistics.connected and not losses else "degraded", details)

    return check


_NOT_AS_IT_IS = frozenset({"error", "restarted_at", "since", "subscribers"})
"""Statistics of the stream that readiness shows in another form."""


def _dependency(details: Mapping[str, Any], error: str | None) -> Dependency:
    if error is None:
        return Dependency("ready", details)
    return Dependency("degraded", {**details, "error": error})


def _losses(statistics: Statistics) -> str | None:
    """Return what the stream has just lost, which no reconnection brings back."""
    at = statistics.restarted_at
    if at is None or time.monotonic() - at > LOSS_SAID:
        return None
    return (
        "the event stream began anew, at restarted_at: events that were not handled before are "
        "lost; find out why its Redis came back without its data"
    )


def _moment(since: float | None) -> str | None:
    """Return a time of the monotonic clock as RFC 3339."""
    return None if since is None else timestamp(time.time() - (time.monotonic() - since))


def _state(name: str, check: Check) -> Dependency | None:
    """Return the check's result; a check that raises must not take the service out of rotation."""
    try:
        return check()
    except Exception:
        log.exception("readiness check failed", dependency=name)
        return Dependency("degraded", {"error": "the check failed; the log says why"})
