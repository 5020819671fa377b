"""An event of a program's own reaches every sink, the program's own sinks and stream included."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import msgspec
import pytest

from charter_otel import Emitter, MemoryStream, emit, event_type
from charter_otel.emit import Emission
from charter_otel.testing import Capture, declarations_restored


class Money(msgspec.Struct):
    """An amount of a currency."""

    amount: float
    currency: str


@pytest.fixture(autouse=True)
def declared() -> Iterator[None]:
    """Declare a type for each test, and nothing beyond it."""
    with declarations_restored():
        yield


def order_placed() -> Any:
    """Declare `orders.order_placed` and return one order."""

    @event_type("orders.order_placed", severity="warn", attributes={"order_id": "shop.order.id"})
    @dataclass
    class OrderPlaced:
        order_id: str
        total: Money
        tags: list[str]
        lines: list[Money]
        note: str | None = None

    return OrderPlaced("o-1", Money(9.5, "EUR"), ["new", "gift"], [Money(9.5, "EUR")])


def test_it_is_a_log_record_and_a_span_event(charter_capture: Capture) -> None:
    """Fields are flat attributes: those of inner objects too, and what lies deeper is JSON."""
    tracer = charter_capture.instrumentation.tracer
    with tracer.start_as_current_span("request"):
        event = emit(order_placed())
    assert event is not None
    [record] = charter_capture.log_records
    [span] = charter_capture.spans
    assert record.event_name == "orders.order_placed"
    assert record.severity == "warn"
    assert record.trace_id == event.meta["correlation_id"]
    own = {key: record.attributes[key] for key in record.attributes if "event" not in key}
    assert own == {
        "shop.order.id": "o-1",
        "charter.orders.total.amount": 9.5,
        "charter.orders.total.currency": "EUR",
        "charter.orders.tags": ("new", "gift"),
        "charter.orders.lines": '[{"amount":9.5,"currency":"EUR"}]',
    }
    assert span.events[0].name == "orders.order_placed"


def test_it_is_a_line_and_a_measurement(charter_capture: Capture) -> None:
    """The line carries the envelope, and the count of emitted events its type."""
    event = emit(order_placed())
    [line] = [line for line in charter_capture.lines if "charter" in line]
    assert event is not None
    assert (line["event"], line["level"]) == ("orders.order_placed", "warning")
    assert line["charter"]["id"] == event.id
    [point] = charter_capture.metrics()["charter.event.emitted"]
    assert point.attributes == {"charter.event.type": "orders.order_placed"}


async def test_it_is_on_the_stream() -> None:
    """It goes to the emitter's stream, and to whoever subscribed to the module."""
    order = order_placed()
    stream = MemoryStream()
    got: list[str] = []

    @stream.subscribe("orders.*")
    async def take(event: object) -> None:
        got.append(getattr(event, "type"))  # noqa: B009

    await stream.start()
    emitter = Emitter(stream=stream)
    emitter.emit(order)
    await stream.stop()
    assert got == ["orders.order_placed"]


async def test_an_explicit_stream_wins() -> None:
    """`stream=` names another stream than the emitter's, and None names none."""
    own, other = MemoryStream(), MemoryStream()
    emitter = Emitter(stream=own)
    for stream in (own, other):
        await stream.start()
    payload = {"job_id": "nightly", "started_at": 1.0}
    first = emitter.emit("metrics.aggregation_started", payload)
    second = emitter.emit("metrics.aggregation_started", payload, stream=other)
    emitter.emit("metrics.aggregation_started", payload, stream=None)
    assert (list(await own.read()), list(await other.read())) == ([first], [second])
    for stream in (own, other):
        await stream.stop()


def test_a_sink_of_one_s_own_gets_each_event() -> None:
    """A sink is a function with a name; it gets what the other sinks get."""
    got: list[Emission] = []
    emitter = Emitter(sinks={"webhook": got.append})
    event = emitter.emit("metrics.aggregation_started", {"job_id": "nightly", "started_at": 1.0})
    assert [emission.event for emission in got] == [event]


@pytest.mark.swallows
def test_a_sink_that_fails_is_counted(charter_capture: Capture) -> None:
    """A sink's error reaches nobody: it is logged and counted under the sink's name."""

    def broken(emission: Emission) -> None:
        raise RuntimeError(emission.event.type)

    emitter = Emitter(charter_capture.instrumentation, sinks={"webhook": broken})
    assert emitter.emit("metrics.aggregation_started", {"job_id": "nightly", "started_at": 1.0})
    [point] = charter_capture.metrics()["charter.event.dropped"]
    assert point.attributes == {"charter.sink": "webhook", "charter.drop_reason": "error"}


@pytest.mark.parametrize("name", ["stream", "line", ""])
def test_a_sink_s_name_is_its_own(name: str) -> None:
    """A sink has a name, and none of those that the package's own sinks have."""
    with pytest.raises(ValueError, match="sink"):
        Emitter(sinks={name: print})
