"""Event types of a program's own: declared in a few lines, and then events as the six are."""

import json
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Annotated, Any

import msgspec
import pytest
from jsonschema import Draft202012Validator
from msgspec import Meta

from charter_otel import CATALOG, Event, InvalidEvent, decode, encode, event_type
from charter_otel import create_event as create
from charter_otel import validate_event as validate
from charter_otel.charter import json_schema, payloads, type_of
from charter_otel.charter.event_types import declarations_restored
from charter_otel.charter.ids import milliseconds
from charter_otel.charter.patterns import resolve

ID = "0" * 32


class Customer(msgspec.Struct):
    """The customer of an order."""

    name: str


class OrderPlaced(msgspec.Struct):
    """A customer placed an order.

    Nothing is paid yet.
    """

    order_id: str
    total: Annotated[float, Meta(ge=0)]
    customer: Customer
    lines: list[Customer] = []
    placed_at: datetime | None = None


@dataclass
class OrderCancelled:
    """A customer cancelled an order."""

    order_id: str
    why: str | None = None


PAYLOAD: dict[str, Any] = {"order_id": "o-1", "total": 9.5, "customer": {"name": "Ada"}}


@pytest.fixture(autouse=True)
def declared() -> Iterator[None]:
    """Declare the two types for each test, and nothing beyond it."""
    with declarations_restored():
        event_type("orders.order_placed", priority="medium", units={"total": "EUR"})(OrderPlaced)
        event_type("orders.order_cancelled", severity="warn")(OrderCancelled)
        yield


def envelope(**changes: Any) -> dict[str, Any]:
    """Return an envelope of a type that no process here declared."""
    whole = {
        "id": "evt_stock_1703001234567_a1b2c3",
        "type": "stock.pallet_moved",
        "source": "stock_service",
        "target": None,
        "timestamp": 1703001234.567,
        "payload": {"pallet": [1, {"to": "B7"}]},
        "meta": {"correlation_id": None, "version": "1.0"},
    }
    return whole | changes


def test_the_catalog_knows_a_declared_type() -> None:
    """Priority, severity, source and the docstring's first line are in the catalog."""
    entry = CATALOG["orders.order_placed"]
    assert (entry.priority, entry.severity, entry.source) == ("medium", "info", "orders_service")
    assert entry.brief == "A customer placed an order."
    assert CATALOG["orders.order_cancelled"].severity == "warn"


def test_an_event_has_the_envelope_of_the_six() -> None:
    """Id, source and meta follow from the type, and the event survives its JSON."""
    event = create("orders.order_placed", PAYLOAD, correlation_id=ID, timestamp_ns=10**18)
    assert event.id.startswith("evt_orders_1000000000000_")
    assert milliseconds(event.id) == 10**12
    assert event.source == "orders_service"
    assert event.payload == {**PAYLOAD, "lines": [], "placed_at": None}
    assert decode(encode(event)) == event


@pytest.mark.parametrize(
    "payload",
    [
        PAYLOAD,
        OrderPlaced("o-1", 9.5, Customer("Ada")),
        {**PAYLOAD, "customer": Customer("Ada")},
    ],
)
def test_mapping_and_object_are_the_same(payload: object) -> None:
    """A payload may be a mapping, an object of its class, or a mix of both."""
    assert create("orders.order_placed", payload).payload["customer"] == {"name": "Ada"}


def test_a_dataclass_will_do() -> None:
    """A dataclass declares a type as a Struct does."""
    cancelled = OrderCancelled("o-1", why="late")
    assert type_of(cancelled) == "orders.order_cancelled"
    assert create(type_of(cancelled), cancelled).payload == {"order_id": "o-1", "why": "late"}


def test_a_struct_of_the_six_says_its_type() -> None:
    """The payload classes of the six declare their types, too."""
    assert type_of(payloads.AggregationStarted(job_id="j", started_at=1)) == (
        "metrics.aggregation_started"
    )


def test_the_tag_of_a_struct_is_one_of_its_fields() -> None:
    """It may be given, and another field beside it is still refused."""

    class Card(msgspec.Struct, tag_field="by", tag="card"):
        number: str

    @event_type("orders.order_paid")
    class OrderPaid(msgspec.Struct):
        payment: Card

    payment = {"by": "card", "number": "1"}
    assert create("orders.order_paid", {"payment": payment}).payload == {"payment": payment}
    with pytest.raises(InvalidEvent, match=r"payload\.payment\.on"):
        create("orders.order_paid", {"payment": {**payment, "on": 1}})


def test_values_that_json_lacks_become_text() -> None:
    """A time in a payload is written as JSON Schema's date-time."""
    at = datetime(2026, 11, 30, tzinfo=UTC)
    event = create("orders.order_placed", {**PAYLOAD, "placed_at": at})
    assert event.payload["placed_at"] == "2026-11-30T00:00:00Z"
    assert decode(encode(event)) == event


@pytest.mark.parametrize(
    ("payload", "message"),
    [
        ({**PAYLOAD, "total": -1}, r"payload\.total"),
        (OrderPlaced("o-1", -1.0, Customer("Ada")), r"payload\.total"),
        (OrderPlaced("o-1", float("nan"), Customer("Ada")), r"payload\.total"),
        ({"order_id": "o-1"}, "missing required field"),
        ({**PAYLOAD, "colour": 1}, r"payload\.colour"),
        ({**PAYLOAD, "customer": {"name": "A", "age": 1}}, r"payload\.customer\.age"),
        ({**PAYLOAD, "lines": [{"name": "A", "age": 1}]}, r"payload\.lines\.age"),
        (OrderCancelled("o-1"), "give a mapping or a OrderPlaced"),
        (None, "give a mapping"),
    ],
)
def test_a_wrong_payload_is_refused(payload: object, message: str) -> None:
    """A payload that breaks its class is refused as those of the six are; the field is named."""
    with pytest.raises(InvalidEvent, match=message):
        create("orders.order_placed", payload)


def test_text_is_made_encodable_in_lists_too() -> None:
    """A lone surrogate becomes U+FFFD, however deep it lies."""
    event = create("orders.order_placed", {**PAYLOAD, "lines": [{"name": "\ud800"}]})
    assert event.payload["lines"] == [{"name": "\ufffd"}]


def test_an_object_of_no_declared_class_is_refused() -> None:
    """Only a declared class stands for an event type; the text shows how to declare one."""
    with pytest.raises(InvalidEvent, match="Customer declares no event type"):
        type_of(Customer("Ada"))


def test_an_undeclared_type_is_carried() -> None:
    """Any valid envelope is read and written, whoever declared its type."""
    event = decode(json.dumps(envelope()))
    assert event.payload == {"pallet": [1, {"to": "B7"}]}
    assert decode(encode(event)) == event
    with pytest.raises(InvalidEvent, match="none that this program declares"):
        create("stock.pallet_moved", {})


@pytest.mark.parametrize(
    ("field", "changes"),
    [
        ("id", {"id": "evt_orders_1703001234567_a1b2c3"}),
        ("source", {"source": "orders_service"}),
        ("type", {"type": "stock", "source": "stock_service"}),
        ("type", {"type": "stock.a.b", "source": "stock_service"}),
        ("type", {"type": "Stock.moved"}),
        ("type", {"type": "metrics.moved", "source": "metrics_service"}),
        ("timestamp", {"timestamp": -1.0}),
        ("meta", {"meta": {"version": "1.0"}}),
    ],
)
def test_an_undeclared_type_obeys_the_envelope(field: str, changes: dict[str, Any]) -> None:
    """An unknown type's id and source name its module, and the Charter's modules are closed."""
    with pytest.raises(InvalidEvent, match=f"^{field}"):
        decode(json.dumps(envelope(**changes)))


def test_the_same_declaration_twice_is_one() -> None:
    """A module that is loaded twice declares its types twice, which changes nothing."""
    event_type("orders.order_cancelled", severity="warn")(OrderCancelled)
    assert create("orders.order_cancelled", OrderCancelled("o-1")).payload["order_id"] == "o-1"


def test_another_declaration_of_a_type_names_both_places() -> None:
    """Two classes with different fields for one type are an error that says where both are."""

    @dataclass
    class Other:
        order: int

    with pytest.raises(ValueError, match=r"OrderCancelled \(.*test_event_types.*Other \(.*\.py:"):
        event_type("orders.order_cancelled", severity="warn")(Other)


@pytest.mark.parametrize(
    "name", ["orders", "orders.", ".x", "Orders.placed", "a.b.c", "o-x.y", "a" * 65 + ".b", ""]
)
def test_a_wrong_name_is_refused(name: str) -> None:
    """A type is named `<module>.<event>`."""
    with pytest.raises(ValueError, match="is not an event type"):
        event_type(name)


@pytest.mark.parametrize("name", ["metrics.shipped", "telemetry.connection_closed"])
def test_the_charter_s_modules_are_closed(name: str) -> None:
    """No program adds a type to the six, or replaces one."""
    with pytest.raises(ValueError, match="belong to Charter"):
        event_type(name)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"attributes": {"nothing": "shop.nothing"}}, "no field 'nothing'"),
        ({"units": {"customer.age": "a"}}, r"no field 'customer\.age'"),
        ({"attributes": {"total": "Total"}}, "not an attribute's name"),
    ],
)
def test_wrong_attributes_and_units_are_refused(options: dict[str, Any], message: str) -> None:
    """The declaration of a field is checked when the type is declared."""
    with pytest.raises(ValueError, match=message):
        event_type("orders.other", **options)(OrderPlaced)


@pytest.mark.parametrize("payload", [int, dict, object])
def test_another_class_is_refused(payload: type[Any]) -> None:
    """A payload has fields: it is a Struct or a dataclass."""
    with pytest.raises(TypeError):
        event_type("orders.other")(payload)


def test_json_schema_has_the_declared_types() -> None:
    """The schema accepts what `create` makes, refuses a wrong payload, and names units."""
    schema = json_schema()
    Draft202012Validator.check_schema(schema)
    validator = Draft202012Validator(schema)
    event = json.loads(encode(create("orders.order_placed", PAYLOAD)))
    validator.validate(event)
    assert not validator.is_valid(event | {"payload": {**PAYLOAD, "total": -1}})
    placed = schema["$defs"]["orders.payloads.OrderPlaced"]
    assert placed["properties"]["total"]["x-unit"] == "EUR"


def test_patterns_know_declared_types() -> None:
    """A pattern takes in a program's own types, and `*` those that nobody here declared."""
    assert "orders.order_placed" in resolve(["orders.*"])
    assert "stock.pallet_moved" in resolve(["*"])
    assert "stock.pallet_moved" in resolve(["stock.*"], undeclared=True)
    assert "orders.order_placed" not in resolve(["metrics.*"])
    with pytest.raises(ValueError, match="matches no event type"):
        resolve(["stock.*"])
    with pytest.raises(ValueError, match="matches no event type"):
        resolve(["telemetry.moved"], undeclared=True)


def test_validate_checks_an_undeclared_payload() -> None:
    """A value that JSON has no form for is found in a payload of any type."""
    event = Event(**envelope(payload={"weight": [float("inf")]}))
    with pytest.raises(InvalidEvent, match=r"payload\.weight\.0"):
        validate(event)
