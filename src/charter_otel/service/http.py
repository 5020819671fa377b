"""Each HTTP request as one SERVER span and one point of ``http.server.request.duration``.

Litestar's own plugin names spans and series after the raw path, so that every robot gets its own;
here the route's template names both. Source: semantic conventions for HTTP spans and metrics.

The trace id is not sent back in a header: ``traceresponse`` is a draft that no browser and few
proxies support. A problem document has it as ``trace_id``. A client that wants to know it
beforehand sends a ``traceparent``.
"""

import time
from collections.abc import Awaitable, Iterable
from typing import Any, NamedTuple

from litestar.enums import ScopeType
from litestar.handlers.base import BaseRouteHandler
from litestar.types import ASGIApp, Message, Receive, Scope, Send
from opentelemetry import trace
from opentelemetry.context import attach, detach
from opentelemetry.metrics import Histogram
from opentelemetry.trace import INVALID_SPAN, Span, StatusCode

from charter_otel.otel import Instrumentation, semconv
from charter_otel.otel.propagation import Parent, origin, parent_of_request
from charter_otel.otel.requests import of_request
from charter_otel.otel.trace_context import correlation_id, current

UNTRACED = "charter_otel_untraced"
"""Option of a route handler: its requests, such as probes, are measured but make no span."""

TRUSTS = "charter_otel_trusts"
"""Option of a route handler: a function of the ASGI scope that tells whether the caller may write
into the trace that it names. Without one, each caller may."""

_METHODS = frozenset(
    {"CONNECT", "DELETE", "GET", "HEAD", "OPTIONS", "PATCH", "POST", "PUT", "QUERY", "TRACE"}
)
_LONGEST_METHOD = 32
_KEY = "charter_otel.request"


class RequestTelemetry:
    """Makes the span and the measurement of each HTTP request; make it the first middleware.

    The span is current while the handler runs, so that an event emitted there becomes its span
    event and has its trace id. It ends with the last byte of the response. For an event stream,
    which stays open for hours, it ends with the first one.

    A request without a route never reaches a middleware: `after_exception`, installed as the
    application's hook, handles those.
    """

    def __init__(self, instrumentation: Instrumentation) -> None:
        self._instrumentation = instrumentation
        self._operations: dict[tuple[str, str, str], Operation] = {}

    def __call__(self, app: ASGIApp) -> ASGIApp:
        """Wrap an application; WebSockets pass, without a long-lived coroutine of ours."""

        def middleware(scope: Scope, receive: Receive, send: Send) -> Awaitable[None]:
            if scope["type"] != ScopeType.HTTP:
                return app(scope, receive, send)
            return self._handle(scope, receive, send, app)

        return middleware

    async def _handle(self, scope: Scope, receive: Receive, send: Send, app: ASGIApp) -> None:
        request = self._begin(scope)

        # Were it the request's own method, `scope` would lead to `send` and back: garbage that
        # only the collector finds.
        async def answer(message: Message) -> None:
            await send(message)
            request.answered(message)

        token = attach(trace.set_span_in_context(request.span))
        try:
            await app(scope, receive, answer)
        except BaseException as error:
            # Litestar wraps an exception that is raised after the response has started.
            request.abort(error.__cause__ or error)
            raise
        finally:
            request.end()
            detach(token)

    async def after_exception(self, error: Exception, scope: Scope) -> None:
        """Record a request's exception, and the request itself if it has no route."""
        if scope["type"] != ScopeType.HTTP:
            return
        request = scope["state"].get(_KEY)
        if request is None:
            request = self._begin(scope)
            request.status = getattr(error, "status_code", 500)
            request.fail(error)
            request.end()
        else:
            request.fail(error)

    def _begin(self, scope: Scope) -> "TracedRequest":
        operation = self._operation(scope)
        tracer, instruments = self._instrumentation.tracer, self._instrumentation.instruments
        parent = parent_of_request(scope["headers"])
        trusted = parent.context is None or _is_trusted(scope)
        span = operation.start_span(tracer, _of_request(scope), parent, trusted=trusted)
        request = TracedRequest(operation, span, instruments.request_duration)
        scope["state"][_KEY] = request
        return request

    def _operation(self, scope: Scope) -> "Operation":
        method = str(scope.get("method"))
        method = method if method in _METHODS else "_OTHER"
        scheme = "https" if scope.get("scheme") == "https" else "http"
        key = (method, scheme, scope.get("path_template", ""))
        operation = self._operations.get(key)
        if operation is None:
            operation = self._operations[key] = Operation(*key, traced=not _untraced(scope))
        return operation


class Operation:
    """The attributes that all requests of one method and route share, made once.

    Args:
        method: A known method, or ``_OTHER``.
        scheme: ``http`` or ``https``.
        route: The route's template; empty if there is no route.
        traced: Whether its requests make spans.
    """

    def __init__(self, method: str, scheme: str, route: str, *, traced: bool) -> None:
        verb = "HTTP" if method == "_OTHER" else method
        self._name = f"{verb} {route}" if route else verb
        self._traced = traced
        self._attributes: dict[str, Any] = {
            semconv.HTTP_REQUEST_METHOD: method,
            semconv.URL_SCHEME: scheme,
        }
        if route:
            self._attributes[semconv.HTTP_ROUTE] = route
        self._outcomes: dict[tuple[int | None, str | None], Outcome] = {}

    def start_span(
        self, tracer: trace.Tracer, own: dict[str, Any], parent: Parent, *, trusted: bool
    ) -> Span:
        """Start the span of a request with attributes of its own."""
        if not self._traced:
            return INVALID_SPAN
        context, links = origin(parent, trusted=trusted)
        return tracer.start_span(
            self._name,
            context,
            kind=parent.kind,
            attributes={**self._attributes, **own},
            links=links,
        )

    def outcome(self, status: int | None, error_type: str | None) -> "Outcome":
        """Return the attributes of an outcome, without those that do not apply."""
        outcome = self._outcomes.get((status, error_type))
        if outcome is None:
            known = {semconv.HTTP_RESPONSE_STATUS_CODE: status, semconv.ERROR_TYPE: error_type}
            noted = {name: value for name, value in known.items() if value is not None}
            outcome = Outcome(noted, {**self._attributes, **noted})
            self._outcomes[status, error_type] = outcome
        return outcome


class Outcome(NamedTuple):
    """Outcomes of requests, as attributes."""

    of_span: dict[str, Any]
    """Attributes that the span does not have from its start."""
    of_measurement: dict[str, Any]


class TracedRequest:
    """One request in progress: records its answer, and ends its span once."""

    __slots__ = (
        "_aborted",
        "_duration",
        "_ended",
        "_error",
        "_operation",
        "_started",
        "span",
        "status",
    )

    def __init__(self, operation: Operation, span: Span, duration: Histogram) -> None:
        self.span = span
        self.status: int | None = None
        self._operation = operation
        self._duration = duration
        self._started = time.perf_counter()
        self._error: str | None = None
        self._aborted = False
        self._ended = False

    def answered(self, message: Message) -> None:
        """Record a message of the response."""
        if message["type"] == "http.response.start":
            self.status = message["status"]
            if _is_event_stream(message["headers"]):
                self.end()
        elif message["type"] == "http.response.body" and not message.get("more_body"):
            self.end()

    def fail(self, error: BaseException) -> None:
        """Record an exception; the status decides whether it made the request fail."""
        self._error = type(error).__qualname__

    def abort(self, error: BaseException) -> None:
        """Record the exception that kept the request from being answered in full."""
        self.fail(error)
        self._aborted = True

    def end(self) -> None:
        """End the span and record the duration, the first time that it is called."""
        if self._ended:
            return
        self._ended = True
        error_type = self._error_type()
        outcome = self._operation.outcome(self.status, error_type)
        self._duration.record(time.perf_counter() - self._started, outcome.of_measurement)
        if self.span.is_recording():
            self.span.set_attributes(outcome.of_span)
            if error_type:
                self.span.set_status(StatusCode.ERROR)
        self.span.end()

    def _error_type(self) -> str | None:
        """Return the type of the failure; a client's mistake, 4xx, is not a server failure."""
        if self._aborted:
            return self._error
        if self.status is None or self.status < 500:  # noqa: PLR2004 - HTTP's own boundary
            return None
        return self._error or str(self.status)


def _of_request(scope: Scope) -> dict[str, Any]:
    """Return the attributes that no other request may share."""
    own: dict[str, Any] = of_request(scope)
    if (method := str(scope.get("method"))) not in _METHODS:
        own[semconv.HTTP_REQUEST_METHOD_ORIGINAL] = method[:_LONGEST_METHOD]
    return own


def trace_id(scope: Scope) -> str | None:
    """Return the trace id of a request, with or without a route, or None if there is none."""
    request: TracedRequest | None = scope["state"].get(_KEY)
    return correlation_id(request.span.get_span_context() if request else current())


def _is_trusted(scope: Scope) -> bool:
    """Return whether the request will pass its guards; one without a route reaches none."""
    handler: BaseRouteHandler | None = scope.get("route_handler")
    if handler is None:
        return False
    trusts = handler.opt.get(TRUSTS)
    return trusts is None or trusts(scope)


def _untraced(scope: Scope) -> bool:
    handler = scope.get("route_handler")
    return handler is not None and bool(handler.opt.get(UNTRACED))


def _is_event_stream(headers: Iterable[tuple[bytes, bytes]]) -> bool:
    for name, value in headers:
        if name == b"content-type":
            return value.startswith(b"text/event-stream")
    return False
