"""Errors as problem details (RFC 9457), with the trace id under which the log has them."""

from collections.abc import Mapping
from http import HTTPStatus
from typing import Any
from urllib.parse import quote

import msgspec
import structlog
from litestar import Request, Response
from litestar.exceptions import HTTPException
from litestar.openapi.datastructures import ResponseSpec
from litestar.status_codes import (
    HTTP_400_BAD_REQUEST,
    HTTP_500_INTERNAL_SERVER_ERROR,
    HTTP_503_SERVICE_UNAVAILABLE,
)
from litestar.types import ExceptionHandlersMap
from msgspec import UNSET, Struct, UnsetType

from charter_otel.methods import allow
from charter_otel.service.http import trace_id
from charter_otel.streams import StreamUnavailable

MEDIA_TYPE = "application/problem+json"
"""Media type of a problem document."""

RETRY_AFTER = "5"
"""Seconds after which a client that found the event stream unreachable may try again."""

_HUNG_UP = "client disconnected prematurely"
"""Litestar's words for an incomplete request body; Litestar treats it as a 500."""
_INTERNAL = "The service failed to handle the request; its log says why, under this trace id."

log = structlog.get_logger(__name__)

AnyRequest = Request[Any, Any, Any]


class InvalidField(Struct, frozen=True, kw_only=True):
    """An error in one field of a request."""

    field: str
    """Name of the parameter, or path of the field in the body."""
    detail: str
    """The error, in words."""


class Problem(Struct, frozen=True, kw_only=True):
    """A problem document (RFC 9457) with two members of our own: ``trace_id`` and ``errors``."""

    type: str = "about:blank"
    """Always ``about:blank``: the status alone names the problem."""
    title: str
    """Phrase of the status."""
    status: int
    """HTTP status code."""
    detail: str
    """The error, and what to do next."""
    instance: str
    """Path of the request."""
    trace_id: str | None = None
    """Trace id of the request: finds the trace and the log lines."""
    errors: list[InvalidField] | UnsetType = UNSET
    """The fields that are wrong, if the request was understood that far."""


def exception_handlers() -> ExceptionHandlersMap:
    """Return the handlers that turn every exception into a problem document."""
    return {
        HTTPException: _http_exception,
        StreamUnavailable: _stream_unavailable,
        Exception: _internal_error,
    }


def problem_responses(*statuses: int) -> dict[int, ResponseSpec]:
    """Return what a route's OpenAPI description says of its errors."""
    return {
        status: ResponseSpec(
            Problem,
            description=HTTPStatus(status).phrase,
            media_type=MEDIA_TYPE,
            generate_examples=False,
        )
        for status in statuses
    }


def _http_exception(request: AnyRequest, error: HTTPException) -> Response[bytes]:
    if error.detail == _HUNG_UP:
        return _response(request, HTTP_400_BAD_REQUEST, "The body ended early.")
    if error.status_code == HTTP_500_INTERNAL_SERVER_ERROR:
        return _internal_error(request, error)
    errors = _invalid_fields(error.extra)
    detail = "; ".join(f"{e.field}: {e.detail}" for e in errors) or _detail(request, error)
    headers = error.headers
    if error.status_code == HTTPStatus.METHOD_NOT_ALLOWED:
        headers = {"Allow": _allowed(error)}
    return _response(request, error.status_code, detail, errors=errors or UNSET, headers=headers)


def _stream_unavailable(request: AnyRequest, error: StreamUnavailable) -> Response[bytes]:
    headers = {"Retry-After": RETRY_AFTER}
    return _response(request, HTTP_503_SERVICE_UNAVAILABLE, str(error), headers=headers)


def _internal_error(request: AnyRequest, error: Exception) -> Response[bytes]:
    """Log the error once, and reveal nothing of it to the client."""
    log.error(
        "request failed",
        method=request.method,
        route=request.scope.get("path_template"),
        exc_info=error,
    )
    return _response(request, HTTP_500_INTERNAL_SERVER_ERROR, _INTERNAL)


def _response(
    request: AnyRequest,
    status: int,
    detail: str,
    *,
    errors: list[InvalidField] | UnsetType = UNSET,
    headers: Mapping[str, str] | None = None,
) -> Response[bytes]:
    problem = Problem(
        title=_phrase(status),
        status=status,
        detail=detail,
        instance=quote(request.scope["path"]),
        trace_id=trace_id(request.scope),
        errors=errors,
    )
    return Response(
        msgspec.json.encode(problem),
        status_code=status,
        media_type=MEDIA_TYPE,
        headers=dict(headers or {}),
    )


def _invalid_fields(extra: Any) -> list[InvalidField]:
    """Return the findings of Litestar's validation, from ``message`` and ``key`` of each entry."""
    found = extra if isinstance(extra, list) else []
    return [
        InvalidField(field=_field(entry.get("key")), detail=str(entry["message"]))
        for entry in found
        if isinstance(entry, Mapping) and "message" in entry
    ]


def _field(key: Any) -> str:
    """Return the field's name; ``data`` is the handler's name for the body, not the client's."""
    return str(key) if key and key != "data" else "body"


def _detail(request: AnyRequest, error: HTTPException) -> str:
    """Return the exception's own text, or a better one if it has only a generic text."""
    # Litestar's own words for a status, and Python's, which change with its version.
    if error.detail not in (getattr(type(error), "detail", None), _phrase(error.status_code)):
        return error.detail
    if error.status_code == HTTPStatus.NOT_FOUND:
        return f"There is nothing at {request.scope['path']}."
    if error.status_code == HTTPStatus.REQUEST_ENTITY_TOO_LARGE:
        return "The body is too large; send less of it at once."
    if error.status_code == HTTPStatus.METHOD_NOT_ALLOWED:
        return f"{request.method} is not possible here; use {_allowed(error)}."
    return error.detail


def _allowed(error: HTTPException) -> str:
    """Return the methods that are possible; Litestar lists WebSockets among them."""
    return allow(*(error.headers or {}).get("allow", "").split(", "))


def _phrase(status: int) -> str:
    try:
        return HTTPStatus(status).phrase
    except ValueError:
        return f"Status {status}"
