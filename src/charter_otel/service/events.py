"""The REST routes of the events: the latest ones, and the live stream."""

import asyncio
from collections.abc import Callable, Coroutine, Sequence
from typing import Annotated, Any
from weakref import WeakSet

from litestar import Request, Router, get
from litestar.exceptions import ServiceUnavailableException, ValidationException
from litestar.openapi.datastructures import ResponseSpec
from litestar.openapi.spec import OpenAPIType, Schema
from litestar.params import HeaderParameter, QueryParameter
from litestar.status_codes import (
    HTTP_200_OK,
    HTTP_400_BAD_REQUEST,
    HTTP_503_SERVICE_UNAVAILABLE,
)

from charter_otel.aio import cancel
from charter_otel.charter import Event
from charter_otel.charter.ids import EVENT_ID_PATTERN, milliseconds
from charter_otel.methods import with_methods
from charter_otel.service import sse
from charter_otel.service.guards import seconds_left
from charter_otel.service.problems import problem_responses
from charter_otel.service.shutdown import ShutdownSignal
from charter_otel.service.sse import FollowResponse
from charter_otel.streams import EventStream, EventTypes, resolve

READ_WITHIN = 10.0
"""Most seconds that a query for events may take, however rare the requested events are."""

MAX_FOLLOWERS = 1_000
"""Most responses of `/api/events/stream` that one instance holds open."""

AnyRequest = Request[Any, Any, Any]

_EVENT_ID = {"pattern": EVENT_ID_PATTERN}
_TYPE = r"(\*|[a-z][a-z0-9_]*\.(\*|[a-z][a-z0-9_]*))"
_TYPES = rf"^ *({_TYPE} *(, *|$))*$"

Types = Annotated[
    list[str] | None,
    QueryParameter(
        name="type",
        description="Event types, repeated or separated by commas; `telemetry.*` stands for all "
        "of the module. Without it, all types.",
        schema_extra={"items": Schema(type=OpenAPIType.STRING, pattern=_TYPES)},
    ),
]
After = Annotated[
    str | None,
    QueryParameter(description="Id of the event after which to begin.", schema_extra=_EVENT_ID),
]
Limit = Annotated[int, QueryParameter(description="How many at most.", ge=1, le=1000)]
LastEventId = Annotated[
    str | None,
    HeaderParameter(
        name="Last-Event-ID",
        description="What a browser sends when it comes back; goes before `after`.",
        schema_extra=_EVENT_ID,
    ),
]


def events_router(
    get_stream: Callable[[], EventStream | None],
    stopping: ShutdownSignal,
    *,
    heartbeat: float = sse.HEARTBEAT,
) -> Router:
    """Make the routes under ``/api/events``.

    Args:
        get_stream: Returns the event stream, or None if there is none.
        stopping: Ends the open responses when the service is about to stop.
        heartbeat: Seconds between two comments on an open response.
    """

    def stream_or_problem() -> EventStream:
        stream = get_stream()
        if stream is None:
            raise ServiceUnavailableException(
                "There is no event stream; set CHARTER_EVENT_STREAM to memory:// or "
                "redis://host:port/0 and start again."
            )
        return stream

    followers: WeakSet[FollowResponse] = WeakSet()
    """The responses that are open, or about to be."""

    @get(
        "/",
        summary="The latest events",
        operation_id="get_events",
        responses=problem_responses(HTTP_400_BAD_REQUEST, HTTP_503_SERVICE_UNAVAILABLE),
    )
    async def get_events(
        request: AnyRequest, types: Types = None, after: After = None, limit: Limit = 100
    ) -> Sequence[Event]:
        """Return events, oldest first: the latest ones, or those after a given one."""
        begin, wanted = _event_id("after", after), _types(types)
        reading = stream_or_problem().read(after=begin, types=wanted, limit=limit)
        return await _bounded(request, reading)

    @get(
        "/stream",
        summary="Events as they come",
        operation_id="follow_events",
        responses={
            HTTP_200_OK: ResponseSpec(str, media_type=sse.MEDIA_TYPE, generate_examples=False),
            **problem_responses(HTTP_400_BAD_REQUEST, HTTP_503_SERVICE_UNAVAILABLE),
        },
    )
    async def follow_events(
        request: AnyRequest,
        types: Types = None,
        after: After = None,
        last_event_id: LastEventId = None,
    ) -> FollowResponse:
        """Return events as Server-Sent Events, from now on, or from the event after a given one.

        Each has the event's id as `id`, its type as `event` and the envelope as `data`. The
        response ends when the token expires. A browser's EventSource sends no token: read the
        response of `fetch` with an Authorization header instead.
        """
        begin = _event_id("Last-Event-ID", last_event_id or None) or _event_id("after", after)
        wanted = _types(types)
        stream = stream_or_problem()
        # An unreachable stream is a plain 503 only until the response has begun.
        await stream.read(limit=1)
        if len(followers) >= MAX_FOLLOWERS:
            raise ServiceUnavailableException(
                f"All {MAX_FOLLOWERS} places for followers are taken; try again later."
            )
        response = FollowResponse(
            stream,
            stopping,
            after=begin,
            types=wanted,
            heartbeat=heartbeat,
            lasting=seconds_left(request),
            is_head=request.method == "HEAD",
        )
        # Taken at the moment of the check, and freed when the response ends or is collected.
        followers.add(response)
        response.on_end = followers.discard
        return response

    handlers = with_methods([get_events, follow_events])
    return Router("/api/events", route_handlers=handlers, tags=["events"])


async def _bounded(
    request: AnyRequest, reading: Coroutine[Any, Any, Sequence[Event]]
) -> Sequence[Event]:
    """Read within a time limit, and only until the client disconnects.

    Raises:
        ServiceUnavailableException: It takes too long.
    """
    task = asyncio.create_task(reading, name="charter events read")
    gone = asyncio.create_task(_hung_up(request), name="charter events client")
    try:
        await asyncio.wait({task, gone}, timeout=READ_WITHIN, return_when=asyncio.FIRST_COMPLETED)
        if task.done():
            return task.result()
        raise ServiceUnavailableException(
            f"The events cannot be found within {READ_WITHIN:g} s: they are few among many. "
            "Ask for more types, or begin after a later event."
        )
    finally:
        await cancel(task, gone)


async def _hung_up(request: AnyRequest) -> None:
    while (await request.receive())["type"] != "http.disconnect":
        pass


def _types(patterns: list[str] | None) -> EventTypes:
    wanted = [part.strip() for pattern in patterns or [] for part in pattern.split(",")]
    try:
        return resolve([part for part in wanted if part], undeclared=True)
    except ValueError as error:
        raise _invalid("type", error) from error


def _event_id(field: str, text: str | None) -> str | None:
    if text is None:
        return None
    try:
        milliseconds(text)
    except ValueError as error:
        raise _invalid(field, error) from error
    return text


def _invalid(field: str, error: ValueError) -> ValidationException:
    return ValidationException(extra=[{"message": str(error), "key": field}])
