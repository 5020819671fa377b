"""The plugin in somebody else's app: it adds what it is for, and leaves the rest as it was."""

from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import msgspec
import pytest
import redis
from litestar import Controller, Litestar, Response, Router, WebSocket, get, post, websocket
from litestar.di import NamedDependency
from litestar.openapi import OpenAPIConfig
from litestar.params import FromPath
from litestar.testing import TestClient
from litestar.types import ASGIApp, Receive, Scope, Send
from opentelemetry.trace import SpanKind

from charter_otel import CharterPlugin, Emitter, Event, EventStream, Job, Settings, emit, event_type
from charter_otel.metrics import JobBoard
from charter_otel.otel import propagation
from charter_otel.telemetry.cluster import LocalPresence
from charter_otel.testing import Capture, declarations_restored
from support.apps import make_app
from support.polling import wait_until

SECRET = "s" * 32
SLOW = 86_400


class OrderPlaced(msgspec.Struct):
    """A customer placed an order."""

    order_id: str


@pytest.fixture(autouse=True)
def declared() -> Iterator[None]:
    """Declare a type of the app's own."""
    with declarations_restored():
        event_type("orders.order_placed")(OrderPlaced)
        yield


@post("/orders/{order_id:str}")
async def place(order_id: FromPath[str]) -> None:
    """Emit an event of the app's own."""
    emit(OrderPlaced(order_id))


@get("/healthz")
async def own_health() -> str:
    """Answer a probe as the app does."""
    return "the app's own"


def client(*handlers: Any, **options: Any) -> TestClient[Litestar]:
    """Return a client of an app with the plugin."""
    options.setdefault("settings", Settings(aggregation_interval=SLOW))
    app = make_app([*handlers], plugins=[CharterPlugin(**options)])
    return TestClient(app)


def orders(app: TestClient[Litestar], prefix: str = "") -> list[str]:
    """Return the orders whose events are on the app's stream."""
    answer = app.get(f"{prefix}/api/events", params={"type": "orders.*"}).json()
    return [event["payload"]["order_id"] for event in answer]


def test_an_event_of_a_handler_is_on_the_app_s_stream() -> None:
    """`emit` finds the stream of the app whose request runs."""
    with client(place) as app:
        app.post("/orders/o-1")
        assert orders(app) == ["o-1"]


def test_an_event_at_the_app_s_start_is_on_its_stream() -> None:
    """So does what the app does at its start, outside of any request."""

    async def begin() -> None:
        emit(OrderPlaced("first"))

    app = make_app(
        plugins=[CharterPlugin(Settings(aggregation_interval=SLOW))],
        on_startup=[begin],
    )
    with TestClient(app) as running:
        assert orders(running) == ["first"]


def test_a_handler_gets_what_it_asks_for() -> None:
    """Emitter, stream, presence and job board come by dependency injection."""

    @get("/given")
    async def given(
        emitter: NamedDependency[Emitter],
        event_stream: NamedDependency[EventStream],
        presence: NamedDependency[LocalPresence],
        job_board: NamedDependency[JobBoard],
    ) -> dict[str, Any]:
        emitter.emit(OrderPlaced("o-1"))
        events = await event_stream.read(types=frozenset({"orders.order_placed"}))
        return {
            "events": len(events),
            "robots": await presence.robots(),
            "jobs": [job.job_id for job in job_board.jobs()],
        }

    with client(given) as app:
        assert app.get("/given").json() == {
            "events": 1,
            "robots": [],
            "jobs": ["aggregate_mission_metrics"],
        }


def test_two_apps_share_nothing() -> None:
    """Streams, secrets, presence and boards are each app's own, whichever started first."""
    with ExitStack() as stack:
        first = stack.enter_context(client(place, path="/a"))
        second = stack.enter_context(
            client(place, settings=Settings(auth_secret=SECRET, aggregation_interval=SLOW))
        )
        third = stack.enter_context(client(place, mission_job=False))
        first.post("/orders/one")
        third.post("/orders/three")
        assert (orders(first, "/a"), orders(third)) == (["one"], ["three"])
        assert second.get("/api/events").status_code == 401
        with first.websocket_connect("/a/api/telemetry/ws/robot_1") as robot:
            robot.send_json({"type": "ping"})
            assert robot.receive_json() == {"type": "pong"}
            assert len(first.get("/a/api/telemetry/robots").json()) == 1
            assert third.get("/api/telemetry/robots").json() == []
        assert third.get("/api/metrics/jobs").json() == []
        assert len(first.get("/a/api/metrics/jobs").json()) == 1


def test_an_event_of_a_handler_of_events_is_on_its_app_s_stream() -> None:
    """`emit` in a subscriber and in a job reaches the app that runs it, not the first one."""
    plugin = CharterPlugin(Settings(aggregation_interval=SLOW), jobs=[Job("stock", _stock)])

    async def begin() -> None:
        assert plugin.runtime.stream is not None

        @plugin.runtime.stream.subscribe("orders.order_placed", group="answers")
        async def answer(event: Event) -> None:
            if event.payload["order_id"] == "asked":
                emit(OrderPlaced("answered"))

    other = make_app([place], plugins=[plugin], on_startup=[begin])
    with client(place) as first, TestClient(other) as second:
        second.post("/orders/asked")
        wait_until(
            lambda: sorted(orders(second)) == ["answered", "asked", "counted"], "all three events"
        )
        assert orders(first) == []


async def _stock() -> None:
    """Emit an event in a job."""
    emit(OrderPlaced("counted"))


def test_the_next_app_has_the_module_s_functions() -> None:
    """When the first app has stopped, one that starts later takes its place."""
    for _ in range(2):
        plugin = CharterPlugin(Settings(aggregation_interval=SLOW))
        with TestClient(make_app(plugins=[plugin])):
            assert plugin.runtime.scope is None


def test_a_job_of_one_s_own_runs_as_the_mission_job_does() -> None:
    """It emits the three events, and is on the board; the mission job can be turned off."""
    runs: list[int] = []

    async def nightly() -> int:
        runs.append(1)
        if len(runs) == 2:
            raise OSError("the disk is full")
        return 7

    with client(jobs=[Job("nightly", nightly, every=0.2)], mission_job=False) as app:
        wait_until(lambda: len(runs) > 2, "the job runs")
        events = app.get("/api/events", params={"type": "metrics.*"}).json()
        [job] = app.get("/api/metrics/jobs").json()
    kinds = [event["type"].partition("aggregation_")[2] for event in events]
    assert kinds[:4] == ["started", "completed", "started", "failed"]
    assert {event["payload"]["job_id"] for event in events} == {"nightly"}
    assert events[1]["payload"]["entries_processed"] == 7
    assert events[3]["payload"]["error_message"] == "the disk is full"
    assert (job["job_id"], job["failed_runs"]) == ("nightly", 1)


def test_of_several_instances_one_runs_a_slot_of_it(redis_url: str, tmp_path: Path) -> None:
    """A job of one's own runs once a slot over all instances."""
    runs: list[int] = []

    async def nightly() -> int:
        runs.append(1)
        return 1

    settings = Settings(event_stream=redis_url, state_dir=tmp_path)
    options: dict[str, Any] = {"mission_job": False, "settings": settings}
    job = Job("nightly", nightly, every=0.2)
    with client(jobs=[job], **options), client(jobs=[job], **options):
        wait_until(lambda: len(runs) > 3, "the job runs")
    with redis.Redis.from_url(redis_url) as server:
        slots = server.keys("{charter}:jobs:nightly:*")
    # The last slot may have been taken for a run that the end prevented.
    assert len(runs) <= len(slots)


@pytest.mark.parametrize(
    ("name", "every", "message"),
    [
        ("", 1.0, "not a job's name"),
        ("a\n", 1.0, "not a job's name"),
        ("x" * 129, 1.0, "not a job's name"),
        ("aggregate_mission_metrics", 1.0, "another name"),
        ("nightly", 0.0, "not a number of seconds"),
        ("nightly", float("nan"), "not a number of seconds"),
        ("nightly", float("inf"), "not a number of seconds"),
    ],
)
def test_a_wrong_job_is_refused(name: str, every: float, message: str) -> None:
    """A job is checked where it is made, not when it first runs."""

    async def run() -> None: ...

    with pytest.raises(ValueError, match=message):
        Job(name, run, every=every)


def test_a_job_is_a_coroutine_function() -> None:
    """A function that would block the event loop is refused, and so is a name given twice."""

    async def run() -> None: ...

    with pytest.raises(TypeError, match="not a coroutine function"):
        Job("nightly", lambda: None)  # type: ignore[arg-type, return-value]
    with pytest.raises(ValueError, match="nightly"):
        CharterPlugin(jobs=[Job("nightly", run), Job("nightly", run)])


class Probes(Controller):
    """Probes below a prefix."""

    path = "/"

    @get("/readyz")
    async def ready(self) -> str:
        """Answer as the app does."""
        return "the app's own"


def test_the_app_s_own_probes_and_pages_stay() -> None:
    """A handler of the app's, in a router or a controller too, is left alone; ours are beside."""

    @get("/")
    async def home() -> str:
        return "the app's own"

    with client(Router("/", route_handlers=[own_health]), Probes, home) as app:
        for path in ("/healthz", "/readyz", "/"):
            assert app.get(path).text == "the app's own"
        assert app.get("/api/telemetry/info").status_code == 200
    with client(own_health, path="fleet") as app:
        assert app.get("/healthz").text == "the app's own"
        assert app.get("/fleet/healthz").json() == {"status": "ok"}
        assert "<title>" in app.get("/fleet/").text


def test_routes_may_be_chosen() -> None:
    """Only the routes that were asked for are there; a group that there is none of is refused."""
    with client(routes=["events"], pages=False) as app:
        assert app.get("/api/events").status_code == 200
        for path in ("/api/telemetry/info", "/api/metrics/jobs", "/healthz", "/"):
            assert app.get(path).status_code == 404
    with pytest.raises(ValueError, match="use robots, missions"):
        CharterPlugin(routes=["nothing"])  # type: ignore[list-item]


def test_only_our_errors_become_problem_details() -> None:
    """The app's errors are answered as the app has it, ours as problem details."""

    @get("/broken")
    async def broken() -> None:
        raise ValueError

    def own(_: object, __: Exception) -> Response[str]:
        return Response("the app's own", status_code=409)

    plugin = CharterPlugin(Settings(aggregation_interval=SLOW))
    with TestClient(
        make_app([broken], plugins=[plugin], exception_handlers={ValueError: own})
    ) as app:
        assert app.get("/nothing").headers["content-type"] == "application/json"
        assert app.get("/broken").text == "the app's own"
        unknown = app.get("/api/telemetry/robots/robot_1/metrics")
        assert unknown.headers["content-type"] == "application/problem+json"


def from_address(host: str) -> Any:
    """Return middleware that has requests come from an address."""

    def factory(app: ASGIApp) -> ASGIApp:
        async def middleware(scope: Scope, receive: Receive, send: Send) -> None:
            scope["client"] = (host, 1)
            await app(scope, receive, send)

        return middleware

    return factory


@pytest.mark.parametrize(
    ("host", "secret", "warnings"),
    [("10.0.0.7", None, 1), ("10.0.0.7", SECRET, 0), ("127.0.0.2", None, 0), ("::1", None, 0)],
)
def test_an_open_app_that_is_reached_from_afar_says_so_once(
    charter_capture: Capture, host: str, secret: str | None, warnings: int
) -> None:
    """Without a secret, the first request from beyond loopback makes a loud line, and no other."""
    plugin = CharterPlugin(Settings(auth_secret=secret, aggregation_interval=SLOW))
    app = make_app(plugins=[plugin])
    outer = from_address(host)(app)
    with TestClient(outer) as running:
        for _ in range(2):
            running.get("/healthz")
    told = [line for line in charter_capture.lines if "CHARTER_AUTH_SECRET," in line["event"]]
    assert [line["level"] for line in told] == ["warning"] * warnings


def test_spans_name_the_route_with_its_prefix(charter_capture: Capture) -> None:
    """The app's prefix is in `http.route`, of requests and of handshakes."""
    with client(path="/fleet", emitter=charter_capture.emitter) as app:
        app.get("/fleet/api/telemetry/robots/robot_1/metrics")
        with app.websocket_connect("/fleet/api/telemetry/ws/robot_1"):
            pass
    routes = {span.attributes.get("http.route") for span in charter_capture.spans}
    assert "/fleet/api/telemetry/robots/{robot_id}/metrics" in routes
    assert "/fleet/api/telemetry/ws/{robot_id}" in routes


@websocket("/own/{name:str}")
async def own_socket(socket: WebSocket[Any, Any, Any], name: FromPath[str]) -> None:
    """Accept, as a WebSocket of the app's own."""
    del name
    await socket.accept()


@pytest.mark.parametrize("path", ["/", "/fleet"])
def test_websocket_is_not_a_method_of_the_robots_path(path: str) -> None:
    """The app answers a method that is not possible; `Allow` lists methods, and HTTP's only."""
    with client(own_socket, path=path) as app:
        for method in ("POST", "DELETE", "PROPFIND"):
            answer = app.request(method, f"{path}/api/telemetry/ws/robot_1".replace("//", "/"))
            assert (answer.status_code, answer.headers["allow"]) == (405, "GET, HEAD, OPTIONS")
            assert answer.headers["content-type"] == "application/json"
        assert app.post("/own/1").headers["allow"] == "websocket"


@pytest.mark.parametrize(("kind", "ours"), [("internal", "server"), ("server", "internal")])
def test_the_app_s_own_span_is_the_parent(charter_capture: Capture, kind: str, ours: str) -> None:
    """With a span current our span is its child; a second SERVER span is said once."""
    propagation._say_once.cache_clear()
    tracer = charter_capture.instrumentation.tracer

    def factory(app: ASGIApp) -> ASGIApp:
        async def middleware(scope: Scope, receive: Receive, send: Send) -> None:
            if scope["type"] == "lifespan":  # type: ignore[comparison-overlap]
                await app(scope, receive, send)
                return
            with tracer.start_as_current_span("outer", kind=SpanKind[kind.upper()]):
                await app(scope, receive, send)

        return middleware

    plugin = CharterPlugin(
        Settings(aggregation_interval=SLOW), emitter=charter_capture.emitter, mission_job=False
    )
    app = make_app([place], plugins=[plugin])
    with TestClient(factory(app)) as running:
        for _ in range(2):
            running.post("/orders/o-1", headers={"traceparent": f"00-{'1' * 32}-{'2' * 16}-01"})
    inner = [span for span in charter_capture.spans if span.name == "POST /orders/{order_id}"]
    outer = [span for span in charter_capture.spans if span.name == "outer"]
    assert [span.parent_id for span in inner] == [span.span_id for span in outer]
    assert {span.kind for span in inner} == {ours}
    said = [line for line in charter_capture.lines if "two instrumentations" in line["event"]]
    assert len(said) == (kind == "server")


def test_the_app_s_openapi_and_dependencies_stay() -> None:
    """The configuration of the app wins over what the plugin brings."""

    async def emitter() -> str:
        return "the app's own"

    @get("/own")
    async def own(emitter: NamedDependency[str]) -> str:
        return emitter

    app = make_app(
        [own],
        plugins=[CharterPlugin(Settings(aggregation_interval=SLOW))],
        dependencies={"emitter": emitter},
        openapi_config=OpenAPIConfig("The app's own", "1.0"),
    )
    with TestClient(app) as running:
        assert running.get("/own").text == "the app's own"
        document = running.get("/schema/openapi.json").json()
    assert document["info"]["title"] == "The app's own"
    assert "/own" in document["paths"]


def test_a_sink_of_the_app_s_own_gets_the_events() -> None:
    """Sinks are given to the plugin by name."""
    got: list[Event] = []
    with client(place, sinks={"list": lambda emission: got.append(emission.event)}) as app:
        app.post("/orders/o-1")
    assert "orders.order_placed" in [event.type for event in got]


def test_an_emitter_of_the_app_s_own_brings_its_own_sinks() -> None:
    """Sinks beside it would never get an event; the plugin refuses them."""
    with pytest.raises(ValueError, match="leave out sinks="):
        CharterPlugin(Settings(), emitter=Emitter(), sinks={"list": print})


PAGE = "https://fleet.example"
PREFLIGHT = {"Origin": PAGE, "Access-Control-Request-Method": "GET"}


@pytest.fixture
def shared() -> Iterator[TestClient[Litestar]]:
    """Run an app with a secret whose answers the pages of one origin may read."""
    settings = Settings(
        auth_secret=SECRET, allowed_origins=(PAGE,), aggregation_interval=SLOW, event_stream="none"
    )
    with client(own_health, settings=settings) as app:
        yield app


@pytest.mark.parametrize("path", ["/api/events", "/api/events/stream", "/api/metrics/missions"])
def test_a_preflight_comes_before_the_guards(shared: TestClient[Litestar], path: str) -> None:
    """A browser asks without a token whether a page may ask with one."""
    answer = shared.options(path, headers=PREFLIGHT)
    assert answer.status_code == 204
    assert answer.headers["access-control-allow-origin"] == PAGE
    assert "authorization" in answer.headers["access-control-allow-headers"].lower()
    assert "POST" in answer.headers["access-control-allow-methods"]


def test_an_allowed_page_reads_answers_and_errors(shared: TestClient[Litestar]) -> None:
    """The answer says whose pages may read it; it is that origin, and no other's."""
    answer = shared.get("/api/telemetry/info", headers={"Origin": PAGE})
    assert answer.status_code == 401
    assert answer.headers["access-control-allow-origin"] == PAGE
    assert answer.headers["vary"] == "Origin"
    foreign = shared.get("/api/telemetry/info", headers={"Origin": "https://evil.example"})
    assert "access-control-allow-origin" not in foreign.headers
    refused = shared.options("/api/events", headers={**PREFLIGHT, "Origin": "https://evil.example"})
    assert "access-control-allow-origin" not in refused.headers


def test_the_app_s_own_routes_are_not_opened(shared: TestClient[Litestar]) -> None:
    """The setting is about the plugin's routes."""
    answer = shared.get("/healthz", headers={"Origin": PAGE})
    assert "access-control-allow-origin" not in answer.headers
