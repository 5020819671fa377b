"""Every REST error is a problem document (RFC 9457) that leads to its trace."""

from collections.abc import Iterator
from typing import Annotated, Any

import httpx
import msgspec
import pytest
from litestar import Litestar, get, post
from litestar.exceptions import (
    ClientException,
    HTTPException,
    ImproperlyConfiguredException,
    NotFoundException,
)
from litestar.params import FromPath, FromQuery, JSONBody, QueryParameter
from msgspec import Struct

from charter_otel.service.http import RequestTelemetry
from charter_otel.service.problems import MEDIA_TYPE, exception_handlers, problem_responses
from charter_otel.streams import StreamUnavailable
from charter_otel.testing import Capture
from support.apps import make_app
from support.requests import requesting


class Robot(Struct):
    """A body with a field that has a type."""

    speed: int


@get("/robots/{robot_id:str}")
async def get_robot(robot_id: FromPath[str]) -> None:
    """Know no robot."""
    raise NotFoundException(f"there is no robot {robot_id!r}")


@get("/robots")
async def get_robots(
    limit: Annotated[int, QueryParameter(ge=1, le=1000)] = 1, *, online: FromQuery[bool] = True
) -> dict[str, Any]:
    """Take parameters that have types."""
    return {"limit": limit, "online": online}


@post("/robots")
async def add_robot(data: JSONBody[Robot]) -> Robot:
    """Take a body."""
    return data


@get("/broken")
async def broken() -> None:
    """Raise what nobody expects."""
    raise LookupError("password=hunter2")


@get("/misconfigured")
async def misconfigured() -> None:
    """Raise Litestar's own 500, whose detail is of the inside too."""
    raise ImproperlyConfiguredException("password=hunter2")


@get("/lost")
async def lost() -> None:
    """Lose the event stream."""
    raise StreamUnavailable("the event stream cannot be read; check that Redis runs")


@get("/plain")
async def plain() -> None:
    """Raise what a browser's form would."""
    raise ClientException("send JSON", status_code=415)


@get("/odd")
async def odd() -> None:
    """Raise a status that no standard names."""
    raise HTTPException("the teapot is empty", status_code=499)


@pytest.fixture
def app(charter_capture: Capture) -> Litestar:
    """Make an app whose errors are problems."""
    telemetry = RequestTelemetry(charter_capture.instrumentation)
    return make_app(
        [get_robot, get_robots, add_robot, broken, misconfigured, lost, plain, odd],
        middleware=[telemetry],
        after_exception=[telemetry.after_exception],
        exception_handlers=exception_handlers(),
        openapi_config=None,
        request_max_body_size=100,
    )


async def request(app: Litestar, path: str, method: str = "GET", **options: Any) -> httpx.Response:
    """Make a request that ends in a problem."""
    async with requesting(app) as client:
        response = await client.request(method, path, **options)
    assert response.headers["content-type"] == MEDIA_TYPE
    return response


async def test_problem_has_the_standards_members(app: Litestar, charter_capture: Capture) -> None:
    """A problem tells type, title, status, detail, instance and the request's trace id."""
    response = await request(app, "/robots/r%20%C3%BC")
    assert response.status_code == 404
    assert response.json() == {
        "type": "about:blank",
        "title": "Not Found",
        "status": 404,
        "detail": "there is no robot 'r ü'",
        "instance": "/robots/r%20%C3%BC",
        "trace_id": charter_capture.spans[0].trace_id,
    }


@pytest.mark.parametrize(
    ("call", "options", "status", "detail"),
    [
        ("GET /nowhere", {}, 404, "There is nothing at /nowhere."),
        ("DELETE /robots", {}, 405, "DELETE is not possible here; use GET"),
        ("GET /robots?limit=x", {}, 400, "limit: Expected `int`"),
        ("GET /robots?limit=0", {}, 400, "limit: Expected `int` >= 1"),
        ("POST /robots", {"content": b"{x"}, 400, "JSON is malformed"),
        ("POST /robots", {"json": {}}, 400, "body: Object missing required field `speed`"),
        ("POST /robots", {"json": {"speed": "fast"}}, 400, "speed: Expected `int`"),
        ("POST /robots", {"content": b"[" + b" " * 200}, 413, "send less"),
        ("GET /plain", {}, 415, "send JSON"),
        ("GET /lost", {}, 503, "check that Redis runs"),
        ("GET /odd", {}, 499, "the teapot is empty"),
    ],
)
async def test_errors_say_what_is_wrong(
    app: Litestar, call: str, options: dict[str, Any], status: int, detail: str
) -> None:
    """Each error has its status, and a detail that names what is wrong."""
    method, path = call.split()
    response = await request(app, path, method, **options)
    problem = response.json()
    assert (response.status_code, problem["status"]) == (status, status)
    assert detail in problem["detail"]
    assert len(problem["trace_id"]) == 32


async def test_every_invalid_field_is_named(app: Litestar) -> None:
    """`errors` lists all fields that are wrong, not only the first."""
    problem = (await request(app, "/robots?limit=x&online=perhaps")).json()
    assert [error["field"] for error in problem["errors"]] == ["limit", "online"]


async def test_wrong_method_says_what_is_allowed(app: Litestar) -> None:
    """405 keeps the `Allow` header."""
    response = await request(app, "/robots", "DELETE")
    assert set(response.headers["allow"].split(", ")) >= {"GET", "POST"}


async def test_lost_stream_says_when_to_try_again(app: Litestar) -> None:
    """503 of an unreachable event stream has `Retry-After`."""
    assert (await request(app, "/lost")).headers["retry-after"] == "5"


@pytest.mark.parametrize("path", ["/broken", "/misconfigured"])
async def test_internal_error_reveals_nothing_and_is_logged_once(
    app: Litestar, charter_capture: Capture, path: str
) -> None:
    """A 500 leaks nothing; one log line has the exception, under the trace id of the problem."""
    response = await request(app, path)
    problem = response.json()
    assert response.status_code == 500
    assert "hunter2" not in response.text
    [line] = [line for line in charter_capture.lines if line["level"] == "error"]
    assert line["trace_id"] == problem["trace_id"]
    assert "hunter2" in line["exception.message"]
    assert line["route"] == path


async def test_a_client_that_hangs_up_is_no_failure_of_the_service(
    app: Litestar, charter_capture: Capture
) -> None:
    """Half a body is a 400 of the client's own, and nothing is logged as an error."""
    messages: Iterator[Any] = iter(
        [
            {"type": "http.request", "body": b'{"speed"', "more_body": True},
            {"type": "http.disconnect"},
        ]
    )
    sent: list[Any] = []

    async def receive() -> Any:
        return next(messages)

    async def send(message: Any) -> None:
        sent.append(message)

    scope: Any = {
        "type": "http",
        "method": "POST",
        "path": "/robots",
        "raw_path": b"/robots",
        "query_string": b"",
        "headers": [(b"content-type", b"application/json")],
        "scheme": "http",
        "http_version": "1.1",
    }
    await app(scope, receive, send)
    [start, body] = sent
    assert start["status"] == 400
    assert msgspec.json.decode(body["body"])["detail"] == "The body ended early."
    assert [line for line in charter_capture.lines if line["level"] == "error"] == []


async def test_trace_id_is_null_without_telemetry() -> None:
    """Without request telemetry the document is the same, and the trace id is null."""
    app = make_app([broken], exception_handlers=exception_handlers())
    async with requesting(app) as client:
        assert (await client.get("/broken")).json()["trace_id"] is None


def test_routes_describe_their_problems() -> None:
    """The OpenAPI document shows problems with the media type that they have."""
    handler = get("/robots", responses=problem_responses(400, 404))(get_robots.fn)
    document = Litestar([handler]).openapi_schema.to_schema()
    responses = document["paths"]["/robots"]["get"]["responses"]
    assert list(responses["404"]["content"]) == [MEDIA_TYPE]
    assert list(responses["400"]["content"]) == [MEDIA_TYPE]
    properties = document["components"]["schemas"]["Problem"]["properties"]
    assert {"type", "title", "status", "detail", "instance", "trace_id"} <= set(properties)
