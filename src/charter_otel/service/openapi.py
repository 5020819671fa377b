"""The REST API as an OpenAPI document; Litestar makes it from the routes."""

from collections.abc import Sequence
from copy import copy
from dataclasses import fields
from importlib.metadata import version
from inspect import getdoc
from typing import Any

from litestar import Litestar, Router
from litestar.handlers import HTTPRouteHandler
from litestar.openapi import OpenAPIConfig
from litestar.openapi.plugins import JsonRenderPlugin, YamlRenderPlugin
from litestar.openapi.spec import Components, License, SecurityScheme, Tag
from litestar.status_codes import (
    HTTP_400_BAD_REQUEST,
    HTTP_401_UNAUTHORIZED,
    HTTP_403_FORBIDDEN,
    HTTP_404_NOT_FOUND,
    HTTP_503_SERVICE_UNAVAILABLE,
)
from litestar.types import Guard

from charter_otel.methods import handlers_of
from charter_otel.metrics.router import entry_schema
from charter_otel.service.problems import problem_responses

_PROBLEMS = (
    HTTP_400_BAD_REQUEST,
    HTTP_401_UNAUTHORIZED,
    HTTP_403_FORBIDDEN,
    HTTP_503_SERVICE_UNAVAILABLE,
)

TOKEN = "token"  # noqa: S105 - the name of a scheme
"""Name of the security scheme in the documents."""

PATH = "/schema"
"""Path of the document."""

TAGS = {
    "telemetry": "The robots: their last readings and their presence.",
    "metrics": "The missions: entries, aggregates, and the job that counts them.",
    "events": "The Charter events, as they were and as they come.",
    "consumers": "What the consumers *status* and *analytics* know, where they run.",
    "board": "How everything stands, for the board at `/` and `charter-otel top`.",
    "traces": "One trace out of the spans that the service keeps.",
    "health": "Whether the service is alive and ready.",
}
"""Tag of the routes → their subject."""


def openapi_config(guards: Sequence[Guard] = ()) -> OpenAPIConfig:
    """Return the configuration of the document: its parts beside the routes.

    Args:
        guards: Decide who may read the document under ``/schema``.
    """
    return OpenAPIConfig(
        title="charter-otel",
        version=version("charter-otel"),
        summary="Observability of a robot fleet",
        description="Errors are problem details (RFC 9457); `trace_id` leads to trace and log. "
        "The WebSocket of the robots and the event stream are in the AsyncAPI document.",
        license=License(name="Apache-2.0", identifier="Apache-2.0"),
        use_handler_docstrings=True,
        # Litestar's pages load their scripts from other hosts; ours is at /api.
        render_plugins=[JsonRenderPlugin(), YamlRenderPlugin()],
        openapi_router=Router(
            PATH,
            route_handlers=[],
            include_in_schema=False,
            dto=None,
            return_dto=None,
            guards=guards,
        ),
        tags=[Tag(name=name, description=description) for name, description in TAGS.items()],
    )


def with_components(config: OpenAPIConfig) -> OpenAPIConfig:
    """Return a program's configuration with the components of our routes beside its own."""
    token = SecurityScheme(
        type="http",
        scheme="bearer",
        bearer_format="JWT",
        description="A token with the scope that the route names; `charter-otel token` signs one. "
        "Without CHARTER_AUTH_SECRET the service asks for none.",
    )
    given = config.components if isinstance(config.components, list) else [config.components]
    merged = _Components(security_schemes={TOKEN: token})
    for components in given:
        for field in fields(components):
            if value := getattr(components, field.name):
                setattr(merged, field.name, {**(getattr(merged, field.name) or {}), **value})
    # Not `dataclasses.replace`, which reads deprecated fields.
    changed = copy(config)
    changed.components = merged
    return changed


class _Components(Components):
    """Adds the schema of a mission entry at the end: Litestar overwrites those that it is given."""

    def to_schema(self) -> dict[str, Any]:
        document = super().to_schema()
        document.setdefault("schemas", {})["MissionEntry"] = entry_schema()
        return document


def document(router: Router, *, is_open: bool = False) -> Router:
    """Describe each route's purpose, credentials and answers; return the router."""
    for handler in handlers_of(router):
        if not isinstance(handler, HTTPRouteHandler):
            continue
        # Exceptions concern Python; a client sees them as the problems below.
        handler.description = (getdoc(handler.fn) or "").partition("\n\nRaises:")[0]
        is_found = any("{" in path for path in handler.paths)
        statuses = (*_PROBLEMS, HTTP_404_NOT_FOUND) if is_found else _PROBLEMS
        scope = "read" if handler.http_methods <= {"GET", "HEAD"} else "write"
        handler.security = ({TOKEN: [scope]}, *([{}] if is_open else []))
        handler.responses = {**problem_responses(*statuses), **(handler.responses or {})}
    return router


def openapi(app: Litestar) -> dict[str, Any]:
    """Return the application's document, without starting the application."""
    return app.openapi_schema.to_schema()
