"""A shop of somebody else's: its own event, its own job, and the plugin."""

from typing import Annotated

from litestar import Litestar, post
from litestar.params import FromPath
from msgspec import Meta, Struct

from charter_otel import CharterPlugin, Job, emit, event_type


@event_type("orders.order_placed", priority="medium", attributes={"order_id": "shop.order.id"})
class OrderPlaced(Struct):
    """A customer placed an order."""

    order_id: str
    total: Annotated[float, Meta(ge=0)]


@post("/orders/{order_id:str}")
async def place(order_id: FromPath[str]) -> None:
    """Take an order."""
    emit(OrderPlaced(order_id=order_id, total=9.5))


@post("/robots/{robot_id:str}/visits")
async def visited(robot_id: FromPath[str]) -> None:
    """Emit an event of the Charter's own for a robot."""
    emit("metrics.aggregation_started", {"job_id": robot_id, "started_at": 1.5})


async def nightly() -> int:
    """Count what is left in stock."""
    return 3


app = Litestar(
    [place, visited],
    plugins=[CharterPlugin(path="/fleet", jobs=[Job("nightly", nightly, every=1)])],
)
