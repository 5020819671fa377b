"""Gauges of connections and robots: read from the registry itself, so they cannot drift."""

import math
from collections.abc import Callable
from itertools import islice

from charter_otel.otel import semconv
from charter_otel.otel.instruments import Instruments, Observed
from charter_otel.otel.sdk.providers import ROBOT_SERIES
from charter_otel.otel.semconv import Metric
from charter_otel.telemetry.conditions import Conditions
from charter_otel.telemetry.fleet import Robot
from charter_otel.telemetry.frames import Frame
from charter_otel.telemetry.gateway import Gateway
from charter_otel.telemetry.labels import by_labels

_READINGS: tuple[tuple[Metric, str, Callable[[Frame], float]], ...] = (
    (semconv.CHARTER_ROBOT_CPU_UTILIZATION, "high_cpu", lambda r: r.cpu_usage / 100),
    (semconv.CHARTER_ROBOT_MEMORY_UTILIZATION, "high_cpu", lambda r: r.memory_usage / 100),
    (semconv.CHARTER_ROBOT_BATTERY_CHARGE, "low_battery", lambda r: r.battery_percentage / 100),
    (semconv.CHARTER_ROBOT_NETWORK_LATENCY, "high_cpu", lambda r: r.network_latency_ms / 1000),
)
"""Each metric of a reading, the condition whose robots have its series first, and its value."""


QUANTILES = (0.5, 0.9, 0.99, 1.0)


def observe(instruments: Instruments, gateway: Gateway) -> None:
    """Register the metrics of the gateway, which are read at each collection."""

    def robots() -> Observed:
        if gateway.labels.names:
            return _robots_by_labels(gateway)
        offline = gateway.fleet.offline
        return [
            (len(gateway.fleet) - offline, _status("online")),
            (offline, _status("offline")),
        ]

    def online() -> Observed:
        shown = islice(conditions.worst_first("flapping", "offline"), ROBOT_SERIES)
        return [(int(robot.online), _id(robot)) for robot in shown]

    def counts() -> Observed:
        if gateway.labels.names:
            return _conditions_by_labels(gateway, conditions)
        return [(len(robots), _condition(name)) for name, robots in conditions.look().items()]

    def omitted() -> Observed:
        for name, robots in conditions.look().items():
            yield max(0, len(robots) - ROBOT_SERIES), _condition(name)

    conditions = Conditions(gateway.fleet)
    _observe_traffic(instruments, gateway)
    instruments.observe(semconv.CHARTER_ROBOT_COUNT, robots)
    instruments.observe(semconv.CHARTER_ROBOT_CONDITION_COUNT, counts)
    instruments.observe(semconv.CHARTER_ROBOT_OMITTED, omitted)
    instruments.observe(semconv.CHARTER_ROBOT_ONLINE, online, most=ROBOT_SERIES)
    for metric, condition, value in _READINGS:
        instruments.observe(metric, _reading(conditions, condition, value), most=ROBOT_SERIES)


def _observe_traffic(instruments: Instruments, gateway: Gateway) -> None:
    connections = gateway.connections

    def active() -> Observed:
        if not gateway.labels.names:
            return [(len(connections), {})]
        counts = by_labels((c.labels for c in connections), gateway.labels)
        return [(count, {**labels}) for labels, count in counts]

    def frames() -> Observed:
        for outcome, count in list(connections.frames.items()):
            yield count, {semconv.CHARTER_FRAME_OUTCOME: outcome}

    def readings() -> Observed:
        for outcome, count in list(connections.readings.items()):
            yield count, {semconv.CHARTER_READING_OUTCOME: outcome}

    instruments.observe(semconv.CHARTER_CONNECTION_ACTIVE, active)
    instruments.observe(semconv.CHARTER_FRAME_RECEIVED, frames)
    instruments.observe(semconv.CHARTER_READING_RECEIVED, readings)
    instruments.observe(semconv.CHARTER_READING_AGE, lambda: _ages(gateway))


def _robots_by_labels(gateway: Gateway) -> Observed:
    for status, online in (("online", True), ("offline", False)):
        found = (robot.labels for robot in gateway.fleet if robot.online is online)
        for labels, count in by_labels(found, gateway.labels):
            yield count, {**_status(status), **labels}


def _conditions_by_labels(gateway: Gateway, conditions: Conditions) -> Observed:
    for name, robots in conditions.look().items():
        found = (robot.labels for robot in robots.values())
        for labels, count in by_labels(found, gateway.labels):
            yield count, {**_condition(name), **labels}


def _ages(gateway: Gateway) -> Observed:
    """Read the age of the newest readings at their arrival."""
    ages = sorted(
        max(0.0, robot.arrived_at - robot.updated_at)
        for robot in gateway.fleet
        if robot.connection is not None and robot.talked_on(robot.connection)
    )
    for share in QUANTILES if ages else ():
        yield ages[math.ceil(share * len(ages)) - 1], {semconv.CHARTER_QUANTILE: share}


def _reading(
    conditions: Conditions, condition: str, value: Callable[[Frame], float]
) -> Callable[[], Observed]:
    """Read a value of the robots that are online; an old reading would look like a live one."""

    def read() -> Observed:
        talking = (r for r in conditions.worst_first(condition) if r.online and r.reading)
        return [(value(r.reading), _id(r)) for r in islice(talking, ROBOT_SERIES) if r.reading]

    return read


def _status(name: str) -> dict[str, str]:
    return {semconv.CHARTER_ROBOT_STATUS: name}


def _condition(name: str) -> dict[str, str]:
    return {semconv.CHARTER_ROBOT_CONDITION: name}


def _id(robot: Robot) -> dict[str, str | bool]:
    simulated = {semconv.CHARTER_ROBOT_SIMULATED: True} if robot.simulated else {}
    return {semconv.CHARTER_ROBOT_ID: robot.robot_id, **simulated}
