"""A simulated fleet: robots that are real WebSocket clients, and the missions they carry out."""

from charter_otel.simulator.address import Address, parse
from charter_otel.simulator.fleet import CONNECTS_PER_SECOND, Fleet
from charter_otel.simulator.missions import Missions
from charter_otel.simulator.session import RobotBehaviour
from charter_otel.simulator.tally import FleetStats, Result, in_words, refused

__all__ = [
    "CONNECTS_PER_SECOND",
    "Address",
    "Fleet",
    "FleetStats",
    "Missions",
    "Result",
    "RobotBehaviour",
    "in_words",
    "parse",
    "refused",
]
