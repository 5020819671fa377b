"""A simulated fleet: robots that are real WebSocket clients, and the missions they carry out."""

from charter_otel.simulator.address import FleetAddress, parse
from charter_otel.simulator.fleet import CONNECTS_PER_SECOND, SimulatedFleet
from charter_otel.simulator.missions import Missions
from charter_otel.simulator.session import RobotBehaviour
from charter_otel.simulator.stats import FleetStats, Result, in_words, refused

__all__ = [
    "CONNECTS_PER_SECOND",
    "FleetAddress",
    "FleetStats",
    "Missions",
    "Result",
    "RobotBehaviour",
    "SimulatedFleet",
    "in_words",
    "parse",
    "refused",
]
