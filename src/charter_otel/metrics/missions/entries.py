"""A mission entry: its fields and its JSON."""

from typing import Annotated

import msgspec
from msgspec import Meta

from charter_otel.charter import ROBOT_ID_PATTERN

_LAST_MOMENT = 253_402_300_799
"""The end of the year 9999: a time beyond it is milliseconds where seconds are meant."""


class MissionEntry(msgspec.Struct, kw_only=True, omit_defaults=True, gc=False):
    """One report about a mission. Fields that are not listed here are ignored."""

    mission_id: Annotated[
        str, Meta(min_length=1, max_length=128, description="Identifier of the mission.")
    ]
    status: Annotated[
        str,
        Meta(min_length=1, max_length=64, description="Status of the mission, e.g. completed."),
    ]
    robot_id: (
        Annotated[str, Meta(pattern=ROBOT_ID_PATTERN, description="Robot that carries it out.")]
        | None
    ) = None
    duration_ms: (
        Annotated[float, Meta(ge=0, description="How long it has taken, in milliseconds.")] | None
    ) = None
    timestamp: (
        Annotated[
            float, Meta(ge=0, le=_LAST_MOMENT, description="Time of the report, in Unix seconds.")
        ]
        | None
    ) = None


def encode_entry(entry: MissionEntry) -> bytes:
    """Return the entry as JSON."""
    return _ENCODER.encode(entry)


_ENCODER = msgspec.json.Encoder()
