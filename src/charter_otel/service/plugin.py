"""The Litestar plugin: the whole service inside any application."""

from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from importlib import import_module
from typing import Any, Literal, get_args

from litestar import Router
from litestar.config.app import AppConfig
from litestar.di import Provide
from litestar.plugins import CLIPlugin, InitPlugin
from litestar.types import Guard, Middleware
from litestar.utils.path import normalize_path

from charter_otel.consumers import Consumer
from charter_otel.emit import Emitter, Sink
from charter_otel.metrics import Job, JobBoard
from charter_otel.metrics.router import metrics_router
from charter_otel.service.board import (
    Source,
    board_router,
    documents_router,
    page_router,
    traces_router,
)
from charter_otel.service.consumers import consumers_router
from charter_otel.service.cors import CrossOrigin
from charter_otel.service.embedding import AppContext, allow_methods_only, taken_paths
from charter_otel.service.events import events_router
from charter_otel.service.guards import (
    guarded,
    may,
    origin_guard,
    request_guard,
    trusts,
)
from charter_otel.service.health import (
    PROBES,
    collector_check,
    consumer_check,
    event_stream_check,
    health_router,
)
from charter_otel.service.http import TRUSTS, RequestTelemetry
from charter_otel.service.openapi import document, with_components
from charter_otel.service.problems import exception_handlers
from charter_otel.service.runtime import Runtime
from charter_otel.service.settings import Settings, load
from charter_otel.streams import EventStream
from charter_otel.telemetry import telemetry_router
from charter_otel.telemetry.cluster import LocalPresence
from charter_otel.telemetry.conditions import Conditions

Routes = Literal["robots", "missions", "events", "consumers", "board", "documents", "health"]
"""A group of the plugin's routes."""

ROUTES: tuple[Routes, ...] = get_args(Routes)
"""All groups of routes."""

_NAMESPACE = {each.__name__: each for each in (Emitter, EventStream, LocalPresence, JobBoard)}
"""Names that the annotations of a program's handlers may use without an import at run time."""

MAX_BODY_BYTES = 8_388_608
"""Most bytes of a request: more than the longest list of the longest mission entries."""


class CharterPlugin(InitPlugin, CLIPlugin):
    """Adds the routes, the request telemetry and the runtime behind them to an application.

    For example::

        app = Litestar(plugins=[CharterPlugin()])

    `emit` then reaches the app's event stream, and handlers may ask for the dependencies
    ``emitter``, ``event_stream``, ``presence`` and ``job_board``.

    The program's own set-up stays as it is: an OpenTelemetry SDK, a configuration of structlog or
    of the standard library's logging, exception handlers, an OpenAPI configuration, a handler at
    ``/healthz`` or ``/``. Add `EventToSpanEventBridge` to a logger provider of your own for the
    span events. Apps with the plugin in one process share nothing.

    Args:
        settings: The settings; by default those of the environment.
        path: Prefix of all routes, e.g. ``/fleet``.
        routes: The groups of routes to add, out of `ROUTES`.
        jobs: Jobs of your own, which run as the mission job does.
        mission_job: Whether the mission job runs.
        consumers: Consumers of your own, beside those that the settings name.
        sinks: Sinks of your own by name, beside the five built-in ones; see `Emitter`.
        stream: An event stream of your own, which the plugin starts and stops.
        emitter: An emitter of your own, with its instrumentation, such as `Capture.emitter`.
        pages: Whether `/` is the board and `/api` the API's page; False where your own are there.

    Raises:
        SettingError: A variable has a wrong value.
        ValueError: There are no such routes, two jobs or sinks have one name, or ``sinks`` come
            with an emitter.
    """

    def __init__(
        self,
        settings: Settings | None = None,
        *,
        path: str = "/",
        routes: Collection[Routes] = ROUTES,
        jobs: Sequence[Job] = (),
        mission_job: bool = True,
        consumers: Sequence[Consumer] = (),
        sinks: Mapping[str, Sink] | None = None,
        stream: EventStream | None = None,
        emitter: Emitter | None = None,
        pages: bool = True,
    ) -> None:
        if unknown := set(routes) - set(ROUTES):
            raise ValueError(f"there are no routes {sorted(unknown)}; use {', '.join(ROUTES)}")
        self.settings = settings or load()
        self.path = normalize_path(path)
        self.routes = frozenset(routes)
        self.pages = pages
        self.runtime = Runtime(
            self.settings,
            stream=stream,
            consumers=consumers,
            jobs=jobs,
            mission_job=mission_job,
            sinks=sinks,
            emitter=emitter,
        )

    def on_app_init(self, app_config: AppConfig) -> AppConfig:
        """Add everything to the application's configuration."""
        runtime = self.runtime
        runtime.logging_config = getattr(app_config, "logging_config", None)
        taken = frozenset(taken_paths(app_config.route_handlers))
        context = AppContext(lambda: runtime.scope, is_open=not self.settings.secrets)
        requests = RequestTelemetry(runtime.instrumentation)
        app_config.middleware[:0] = [context, requests]
        app_config.after_exception += [requests.after_exception, allow_methods_only]
        app_config.lifespan.append(lambda _: runtime.run())
        app_config.dependencies = {**self._dependencies(), **app_config.dependencies}
        app_config.signature_namespace = {**_NAMESPACE, **app_config.signature_namespace}
        if app_config.openapi_config is not None:
            app_config.openapi_config = with_components(app_config.openapi_config)
        app_config.route_handlers.append(
            Router(
                self.path,
                route_handlers=list(self._routers(taken)),
                middleware=self._cross_origin(app_config),
                # The app handles its own errors.
                exception_handlers=exception_handlers(),
            )
        )
        return app_config

    def on_cli_init(self, cli: Any) -> None:
        """Add `litestar charter …`, the commands with the app's own event types."""
        # Only Litestar's command line needs ours, which is a layer above the service.
        cli.add_command(import_module("charter_otel.cli").main)

    def _cross_origin(self, app_config: AppConfig) -> list[Middleware]:
        """Return the middleware for cross-origin requests, unless the app has its own."""
        origins = self.settings.allowed_origins
        return [CrossOrigin(origins)] if origins and app_config.cors_config is None else []

    def _dependencies(self) -> dict[str, Provide]:
        runtime = self.runtime
        given: dict[str, Callable[[], Any]] = {
            "emitter": lambda: runtime.emitter,
            "event_stream": lambda: runtime.stream,
            "presence": lambda: runtime.gateway.instances,
            "job_board": lambda: runtime.board,
        }
        return {name: Provide(get, sync_to_thread=False) for name, get in given.items()}

    def _routers(self, taken: frozenset[str]) -> Iterator[Router]:
        """Yield our routers, without the paths for which the program has handlers."""
        yield self._api()
        free = [path for path in PROBES if normalize_path(f"{self.path}{path}") not in taken]
        if "health" in self.routes and free:
            yield self._health(free)
        if self.pages and not {self.path, normalize_path(f"{self.path}/api")} & taken:
            yield page_router()

    def _api(self) -> Router:
        runtime = self.runtime
        routers: dict[Routes, Callable[[], Iterable[Router]]] = {
            "robots": lambda: [telemetry_router()],
            "missions": lambda: [metrics_router()],
            "events": lambda: [events_router(lambda: runtime.stream, runtime.stopping)],
            "consumers": lambda: [consumers_router(runtime.consumers)],
            "board": lambda: [
                board_router(self._board()),
                traces_router(lambda: runtime.recent_spans),
            ],
            "documents": lambda: [documents_router()],
        }
        chosen = [
            router for name, make in routers.items() if name in self.routes for router in make()
        ]
        secrets, origins = self.settings.secrets, self.settings.allowed_origins
        guards = request_guard(secrets), origin_guard(origins)
        return Router(
            "/",
            route_handlers=[
                document(guarded(router, *guards), is_open=not secrets) for router in chosen
            ],
            opt={TRUSTS: trusts(secrets, origins)},
            request_max_body_size=MAX_BODY_BYTES,
        )

    def _board(self) -> Source:
        runtime, gateway = self.runtime, self.runtime.gateway
        return Source(
            get_robots=lambda: gateway.instances,
            get_connections=lambda: len(gateway.connections),
            get_conditions=Conditions(gateway.fleet).look,
            get_emitted=lambda: runtime.emitter.statistics().emitted,
            thresholds=gateway.fleet.thresholds,
            grafana_url=self.settings.grafana_url,
            recent_spans=self.settings.recent_spans,
        )

    def read_guards(self) -> list[Guard]:
        """Return the guards of a route that only reads, for routes of your own."""
        return [request_guard(self.settings.secrets)]

    def _health(self, paths: Sequence[str]) -> Router:
        runtime = self.runtime
        return health_router(
            {
                "event_stream": event_stream_check(lambda: runtime.stream),
                "collector": collector_check,
                **{consumer.name: consumer_check(consumer) for consumer in runtime.consumers},
            },
            lambda: runtime.running,
            lambda request: may("read", self.settings.secrets, request),
            paths=paths,
        )
