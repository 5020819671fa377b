"""The REST routes of missions and jobs."""

import re
import time
from dataclasses import dataclass
from typing import Annotated, Any

import msgspec
from litestar import Request, Router, get, post
from litestar.exceptions import ServiceUnavailableException, ValidationException
from litestar.openapi.spec import OpenAPIMediaType, Operation, RequestBody, Schema
from litestar.status_codes import HTTP_202_ACCEPTED
from msgspec import Meta, Struct

from charter_otel.charter import portable
from charter_otel.methods import with_methods
from charter_otel.metrics.board import JobState, get_job_board
from charter_otel.metrics.jobs import get_mission_store
from charter_otel.metrics.missions import MissionEntry, MissionsUnavailable
from charter_otel.metrics.missions.entries import encode_entry
from charter_otel.metrics.missions.report import MissionReport, report

MAX_ENTRIES = 10_000
"""Entries that a request adds at most."""
RETRY_AFTER = 30
"""Seconds after which a client that was refused may try again."""


class Accepted(Struct):
    """The entries that a request added."""

    accepted: int
    """Entries that the job will count."""


async def add_mission_entries(request: Request[Any, Any, Any]) -> Accepted:
    """Add mission entries for the job: one object, or a list of them, all or none.

    An entry without a timestamp gets the present one. A client that got no reply may send again,
    which may add its entries twice; each entry that was added counts once.

    Raises:
        ValidationException: An entry is wrong; the detail names its index and field.
        ServiceUnavailableException: The store cannot be reached, or is full.
    """
    entries = _parse(await request.body())
    now = time.time()
    for entry in entries:
        if entry.timestamp is None:
            entry.timestamp = now
    try:
        await get_mission_store().append([encode_entry(entry) for entry in entries])
    except MissionsUnavailable as error:
        raise _unavailable(error) from error
    return Accepted(len(entries))


async def get_mission_report() -> MissionReport:
    """Return the aggregates of all entries that the job has counted.

    Raises:
        ServiceUnavailableException: The store cannot be reached.
    """
    try:
        return report(await get_mission_store().aggregates())
    except MissionsUnavailable as error:
        raise _unavailable(error) from error


async def get_jobs() -> list[JobState]:
    """Return each job's last start, end, outcome, duration and next run on this instance.

    The runs of all instances are on the board of the consumer *status*.
    """
    return get_job_board().jobs()


def metrics_router() -> Router:
    """Return the routes under ``/api/metrics``; the handlers themselves stay plain functions."""
    return Router(
        "/api/metrics",
        route_handlers=with_methods(
            [
                post(
                    "/missions", status_code=HTTP_202_ACCEPTED, operation_class=_AddMissionEntries
                )(add_mission_entries),
                get("/missions")(get_mission_report),
                get("/jobs")(get_jobs),
            ]
        ),
        tags=["metrics"],
    )


def entry_schema() -> dict[str, Any]:
    """Return the schema of a mission entry, for the components of a document."""
    _, components = msgspec.json.schema_components([MissionEntry])
    schema: dict[str, Any] = portable(components["MissionEntry"])
    for optional in schema["properties"].values():
        # A generated client treats a field with a default as one that is always there.
        optional.pop("default", None)
    return schema


class _BodySchema(Schema):
    """The schema of the body; Litestar sees bytes only."""

    def to_schema(self) -> dict[str, Any]:
        one = {"$ref": "#/components/schemas/MissionEntry"}
        return {"oneOf": [one, {"type": "array", "items": one, "maxItems": MAX_ENTRIES}]}


@dataclass
class _AddMissionEntries(Operation):
    """Describes the body for OpenAPI."""

    def __post_init__(self) -> None:
        content = {"application/json": OpenAPIMediaType(schema=_BodySchema())}
        self.request_body = RequestBody(content=content, required=True)


def _parse(body: bytes) -> list[MissionEntry]:
    try:
        if body.count(b"{") > MAX_ENTRIES and body.lstrip()[:1] == b"[":
            _count(body)
        parsed = _BODY.decode(body)
    except msgspec.ValidationError as error:
        raise ValidationException(_in_words(str(error))) from error
    except (ValueError, OverflowError, RecursionError) as error:
        raise ValidationException(
            "the body is not JSON; send a mission entry or a list of them"
        ) from error
    return parsed if isinstance(parsed, list) else [parsed]


def _count(body: bytes) -> None:
    """Refuse a list that is too long before it is decoded, which takes far longer."""
    if len(_RAW.decode(body)) > MAX_ENTRIES:
        raise msgspec.ValidationError(f"Expected `array` of length <= {MAX_ENTRIES}")


def _in_words(message: str) -> str:
    """Return msgspec's message with the entry's index and the field first."""
    text, _, path = message.partition(" - at `$")
    index = re.match(r"\[(\d+)\]", path)
    field = re.search(r"\.(\w+)", path)
    where = [f"entry {index[1]}"] if index else []
    where += [f"field `{field[1]}`"] if field else []
    return f"{', '.join(where) or 'the body'}: {text[0].lower()}{text[1:]}"


def _unavailable(error: MissionsUnavailable) -> ServiceUnavailableException:
    return ServiceUnavailableException(str(error), headers={"Retry-After": str(RETRY_AFTER)})


_Entries = Annotated[list[MissionEntry], Meta(max_length=MAX_ENTRIES)]
_BODY = msgspec.json.Decoder(MissionEntry | _Entries)
_RAW = msgspec.json.Decoder(list[msgspec.Raw])
