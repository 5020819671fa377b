"""The Litestar plugin: all of this in anyone's application."""

from collections.abc import Sequence

from litestar import Router
from litestar.config.app import AppConfig
from litestar.plugins import InitPlugin
from litestar.types import Guard

from charter_otel.consumers import Consumer
from charter_otel.metrics.router import metrics_router
from charter_otel.service.board import (
    Source,
    board_router,
    documents_router,
    page_router,
    traces_router,
)
from charter_otel.service.consumers import consumers_router
from charter_otel.service.events import events_router
from charter_otel.service.guards import guard_writes, may, origin_guard, scope_guard
from charter_otel.service.health import event_stream_check, health_router
from charter_otel.service.http import RequestTelemetry
from charter_otel.service.openapi import document
from charter_otel.service.problems import exception_handlers
from charter_otel.service.runtime import Runtime
from charter_otel.service.settings import Settings, load
from charter_otel.streams import EventStream
from charter_otel.telemetry import telemetry_router

MAX_BODY_BYTES = 8_388_608
"""Bytes of a request: more than the longest list of the longest mission entries."""


class CharterPlugin(InitPlugin):
    """Adds the routes, the request telemetry and what runs behind them to an application.

    For example::

        app = Litestar(plugins=[CharterPlugin()])

    An OpenTelemetry SDK or a structlog configuration that the program has set up is used as it is;
    add `EventToSpanEventBridge` to a logger provider of your own for the span events.

    Args:
        settings: The settings; by default those of the environment.
        stream: An event stream of your own, which the plugin starts and stops.
        consumers: Consumers of your own, beside those that the settings name.
        pages: Whether `/` is the board and `/api` the API's page; False where your own are there.

    Raises:
        SettingError: A variable has a wrong value.
    """

    def __init__(
        self,
        settings: Settings | None = None,
        *,
        stream: EventStream | None = None,
        consumers: Sequence[Consumer] = (),
        pages: bool = True,
    ) -> None:
        self.settings = settings or load()
        self.pages = pages
        self.runtime = Runtime(self.settings, stream=stream, consumers=consumers)

    def on_app_init(self, app_config: AppConfig) -> AppConfig:
        """Add everything to the application's configuration."""
        runtime = self.runtime
        requests = RequestTelemetry(runtime.instrumentation)
        app_config.middleware.insert(0, requests)
        app_config.after_exception.append(requests.after_exception)
        app_config.exception_handlers = {**exception_handlers(), **app_config.exception_handlers}
        app_config.lifespan.append(lambda _: runtime.run())
        app_config.route_handlers.extend([self._api(), self._health()])
        if self.pages:
            app_config.route_handlers.append(page_router())
        return app_config

    def _api(self) -> Router:
        runtime = self.runtime
        routers = [
            telemetry_router(),
            metrics_router(),
            events_router(lambda: runtime.stream, runtime.stopping),
            consumers_router(runtime.consumers),
            board_router(self._board()),
            traces_router(lambda: runtime.recent_spans),
            documents_router(),
        ]
        own_pages = origin_guard(self.settings.allowed_origins)
        return Router(
            "/",
            route_handlers=[document(guard_writes(router, own_pages)) for router in routers],
            guards=self.read_guards(),
            request_max_body_size=MAX_BODY_BYTES,
        )

    def _board(self) -> Source:
        gateway = self.runtime.gateway
        return Source(
            get_robots=lambda: gateway.instances,
            get_connections=lambda: len(gateway.connections),
            thresholds=gateway.fleet.thresholds,
            grafana_url=self.settings.grafana_url,
            recent_spans=self.settings.recent_spans,
        )

    def read_guards(self) -> list[Guard]:
        """Return the guards of a route that tells something, for routes of your own."""
        secrets = self.settings.secrets
        return [scope_guard(secrets)] if secrets else []

    def _health(self) -> Router:
        runtime = self.runtime
        return health_router(
            {"event_stream": event_stream_check(lambda: runtime.stream)},
            lambda: runtime.running,
            lambda request: may("read", self.settings.secrets, request),
        )
