"""Attributes of all records and metrics that are emitted in a context."""

from collections.abc import Mapping
from typing import Any, cast

from opentelemetry.context import Context, create_key, get_value, set_value

_KEY = create_key("charter-attributes")
_NONE: Mapping[str, str] = {}


def with_attributes(context: Context, attributes: Mapping[str, str]) -> Context:
    """Return the context with the attributes."""
    return set_value(_KEY, attributes, context) if attributes else context


def current_attributes() -> Mapping[str, str]:
    """Return the attributes of the current context."""
    return cast("Mapping[str, str]", get_value(_KEY) or _NONE)


def of_payload(payload: Mapping[str, Any]) -> Mapping[str, str]:
    """Return the current context's attributes if the payload is of a robot's event."""
    return current_attributes() if "robot_id" in payload else _NONE
