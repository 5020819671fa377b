"""A simulated fleet: robots that are real WebSocket clients, and the missions they carry out."""

from charter_otel.cli.fleet.address import Address, parse
from charter_otel.cli.fleet.fleet import CONNECTS_PER_SECOND, Fleet
from charter_otel.cli.fleet.missions import Missions
from charter_otel.cli.fleet.session import Habits
from charter_otel.cli.fleet.tally import Result, Tally, in_words, refused

__all__ = [
    "CONNECTS_PER_SECOND",
    "Address",
    "Fleet",
    "Habits",
    "Missions",
    "Result",
    "Tally",
    "in_words",
    "parse",
    "refused",
]
