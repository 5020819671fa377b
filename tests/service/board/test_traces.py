"""One trace without a trace store: the last spans, as a tree that a person can read."""

from collections.abc import Iterator

import pytest
from litestar import Litestar
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.trace import Link, StatusCode, Tracer

from charter_otel.otel.sdk.recent_spans import RecentSpans
from charter_otel.service.board import traces_router
from charter_otel.service.problems import exception_handlers
from support.requests import requesting

UNKNOWN = "0af7651916cd43dd8448eb211c80319c"


@pytest.fixture
def recent() -> RecentSpans:
    """Return a place for three spans."""
    return RecentSpans(3)


@pytest.fixture
def tracer(recent: RecentSpans) -> Iterator[Tracer]:
    """Return a tracer whose spans are kept there."""
    provider = TracerProvider(shutdown_on_exit=False)
    provider.add_span_processor(recent)
    yield provider.get_tracer("test")
    provider.shutdown()


async def ask(recent: RecentSpans | None, trace_id: str) -> tuple[int, dict[str, object]]:
    """Ask for a trace."""
    app = Litestar(
        [traces_router(lambda: recent)],
        exception_handlers=exception_handlers(),
        openapi_config=None,
    )
    async with requesting(app) as client:
        response = await client.get(f"/api/traces/{trace_id}")
        return response.status_code, response.json()


async def test_a_trace_has_its_spans_and_those_that_link_to_it(
    recent: RecentSpans, tracer: Tracer
) -> None:
    """The parent, what failed below it, and a checkpoint of another trace that links to it."""
    with tracer.start_as_current_span("handshake", attributes={"n": (1, 2)}) as above:
        above.add_event("telemetry.connection_established", {"charter.robot.id": "robot_001"})
        with tracer.start_as_current_span("below") as below:
            below.set_status(StatusCode.ERROR, "no route to host")
    context = above.get_span_context()
    tracer.start_span("checkpoint", links=[Link(context)]).end()
    status, trace = await ask(recent, f"{context.trace_id:032x}")
    assert status == 200
    spans = trace["spans"]
    assert isinstance(spans, list)
    assert [span["name"] for span in spans] == ["handshake", "below", "checkpoint"]
    assert spans[0]["attributes"] == {"n": [1, 2]}
    assert spans[0]["events"][0]["name"] == "telemetry.connection_established"
    assert spans[1]["parent_span_id"] == spans[2]["links"][0] == spans[0]["span_id"]
    assert (spans[1]["status"], spans[1]["error"]) == ("error", "no route to host")
    assert spans[2]["trace_id"] != trace["trace_id"]


async def test_the_oldest_spans_go(recent: RecentSpans, tracer: Tracer) -> None:
    """Memory is bounded: what is gone is not found, and the answer says how far it looked."""
    first = tracer.start_span("first")
    for span in (first, *(tracer.start_span(str(n)) for n in range(3))):
        span.end()
    status, problem = await ask(recent, f"{first.get_span_context().trace_id:032x}")
    assert (status, "None of the last 3 spans" in str(problem["detail"])) == (404, True)


async def test_without_kept_spans_the_answer_says_how_to_get_them() -> None:
    """The setting is named."""
    status, problem = await ask(None, UNKNOWN)
    assert (status, "CHARTER_RECENT_SPANS=" in str(problem["detail"])) == (404, True)


@pytest.mark.parametrize("wrong", ["abc", UNKNOWN.upper(), f"{UNKNOWN}0", "%3Cscript%3E"])
async def test_a_wrong_trace_id_is_refused(recent: RecentSpans, wrong: str) -> None:
    """A correlation id has one form."""
    assert (await ask(recent, wrong))[0] == 400
