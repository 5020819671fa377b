"""What is observed of connections and robots: read from the registry itself, so it cannot drift."""

from collections.abc import Callable, Iterable, Iterator
from itertools import islice

from charter_otel.otel import semconv
from charter_otel.otel.instruments import Instruments, Observed
from charter_otel.otel.providers import ROBOT_SERIES
from charter_otel.otel.semconv import Metric
from charter_otel.telemetry.fleet import Robot
from charter_otel.telemetry.frames import Frame
from charter_otel.telemetry.gateway import Gateway

_READINGS: tuple[tuple[Metric, Callable[[Frame], float]], ...] = (
    (semconv.CHARTER_ROBOT_CPU_UTILIZATION, lambda reading: reading.cpu_usage / 100),
    (semconv.CHARTER_ROBOT_MEMORY_UTILIZATION, lambda reading: reading.memory_usage / 100),
    (semconv.CHARTER_ROBOT_BATTERY_CHARGE, lambda reading: reading.battery_percentage / 100),
    (semconv.CHARTER_ROBOT_NETWORK_LATENCY, lambda reading: reading.network_latency_ms / 1000),
)


def observe(instruments: Instruments, gateway: Gateway) -> None:
    """Have the metrics of the gateway read at each collection."""

    def active() -> Observed:
        yield len(gateway.connections), {}

    def frames() -> Observed:
        for outcome, count in list(gateway.connections.frames.items()):
            yield count, {semconv.CHARTER_FRAME_OUTCOME: outcome}

    def robots() -> Observed:
        offline = gateway.fleet.offline
        yield len(gateway.fleet) - offline, {semconv.CHARTER_ROBOT_STATUS: "online"}
        yield offline, {semconv.CHARTER_ROBOT_STATUS: "offline"}

    def online() -> Observed:
        return [(int(robot.online), _id(robot)) for robot in _some(gateway.fleet)]

    instruments.observe(semconv.CHARTER_CONNECTION_ACTIVE, active)
    instruments.observe(semconv.CHARTER_FRAME_RECEIVED, frames)
    instruments.observe(semconv.CHARTER_ROBOT_COUNT, robots)
    instruments.observe(semconv.CHARTER_ROBOT_ONLINE, online)
    for metric, value in _READINGS:
        instruments.observe(metric, _reading(gateway, value))


def _reading(gateway: Gateway, value: Callable[[Frame], float]) -> Callable[[], Observed]:
    """Read a value of the robots that are online; an old reading would look like a live one."""

    def read() -> Observed:
        talking = (r for r in gateway.fleet if r.online and r.reading is not None)
        return [(value(r.reading), _id(r)) for r in _some(talking) if r.reading is not None]

    return read


def _some(robots: Iterable[Robot]) -> Iterator[Robot]:
    """Give one robot more than there are series, so that the overflow series says so."""
    return islice(robots, ROBOT_SERIES + 1)


def _id(robot: Robot) -> dict[str, str]:
    return {semconv.CHARTER_ROBOT_ID: robot.robot_id}
