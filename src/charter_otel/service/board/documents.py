"""The service's OpenAPI and AsyncAPI documents, for the API's page and for tools."""

from typing import Any

from litestar import Request, Response, Router, get
from litestar.exceptions import ImproperlyConfiguredException, NotFoundException

from charter_otel.methods import with_methods
from charter_otel.service.asyncapi import asyncapi
from charter_otel.service.http import UNTRACED
from charter_otel.service.openapi import openapi

AnyRequest = Request[Any, Any, Any]


def documents_router() -> Router:
    """Return the routes of the two documents."""

    @get("/openapi.json", sync_to_thread=False)
    def get_openapi(request: AnyRequest) -> Response[dict[str, Any]]:
        """Return the OpenAPI document of the whole application."""
        try:
            return Response(openapi(request.app))
        except ImproperlyConfiguredException as error:
            raise NotFoundException("This application has no OpenAPI document.") from error

    @get("/asyncapi.json", sync_to_thread=False)
    def get_asyncapi() -> Response[dict[str, Any]]:
        """Return the AsyncAPI document of the events and the robots' WebSocket."""
        return Response(asyncapi())

    return Router(
        "/api",
        route_handlers=with_methods([get_openapi, get_asyncapi]),
        include_in_schema=False,
        opt={UNTRACED: True},
    )
