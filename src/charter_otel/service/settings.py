"""The service's settings: read from the environment once, typed, checked, with helpful errors."""

import os
from collections.abc import Mapping
from difflib import get_close_matches
from pathlib import Path
from typing import Annotated, Any, Literal

import msgspec
from msgspec import Meta
from platformdirs import user_state_path

from charter_otel.consumers.factory import NAMES, ConsumerName
from charter_otel.redis.address import without_secrets
from charter_otel.redis.slots import MOST_PARTITIONS
from charter_otel.service.backend import parse
from charter_otel.telemetry.gateway import MAX_HANDSHAKES_PER_SECOND, Gateway, Limits
from charter_otel.telemetry.labels import NAME
from charter_otel.telemetry.origins import is_origin
from charter_otel.thresholds import VARIABLE, Thresholds, from_environment

PREFIX = "CHARTER_"
"""Prefix of each variable's name."""


_NEARLY = 0.9
"""Similarity, as `difflib` measures it, from which a name counts as a misspelling of another."""

NO_STATE_DIR = Path("/nonexistent/charter-otel")
"""Stands for the state directory of a user without a home; code that needs one raises an error."""

_SECRETS = ("auth_secret", "auth_secret_previous", "pagerduty_routing_key")
_LISTS = ("allowed_origins", "consumers", "robot_labels")
_LABELS = 8
_RIGHT = {
    "robot_labels": "at most 8 names of a-z 0-9 _ separated by commas, e.g. site,firmware",
    "allowed_origins": "origins separated by commas, e.g. https://fleet.example",
    "pagerduty_url": "an address that starts with https://",
    "grafana_url": "an address that starts with https:// or http://",
    "consumers": f"names separated by commas: {', '.join(NAMES)}",
}


class SettingError(ValueError):
    """A variable has a wrong value; the text names the variable, the value and the right form."""


class Settings(msgspec.Struct, frozen=True, kw_only=True):
    """The settings. Each comes from the variable ``CHARTER_<NAME>``, and has a default."""

    event_stream: str = "memory://"
    """The event stream: ``memory://``, ``redis://host:port/0`` or ``none``."""
    stream_partitions: Annotated[int, Meta(ge=1, le=MOST_PARTITIONS)] = 1
    """Parts of the event stream in Redis, each in a slot of its own; the same in all instances."""
    aggregation_interval: Annotated[float, Meta(gt=0, le=86_400)] = 30.0
    """Seconds between two runs of the aggregation job."""
    metrics_published: bool = Gateway.metrics_published
    """Whether reading a robot's metrics emits ``telemetry.metrics_published``."""
    heartbeat_timeout: Annotated[float, Meta(gt=0, le=86_400)] = Limits.heartbeat_timeout
    """Seconds without any frame after which a connection is closed."""
    max_frame_bytes: Annotated[int, Meta(ge=64, le=16_777_216)] = Limits.max_frame_bytes
    """Most bytes of a robot's frame."""
    max_frames_per_second: Annotated[int, Meta(ge=1, le=1_000_000)] = Limits.max_frames_per_second
    """Most frames that a robot sends in a second."""
    max_readings_per_second: Annotated[int, Meta(ge=1_000, le=1_000_000)] = (
        Limits.max_readings_per_second
    )
    """Most readings that a robot sends in lists in a second."""
    max_connections: Annotated[int, Meta(ge=1, le=10_000_000)] = Limits.max_connections
    """Most connections that the instance holds."""
    drain_seconds: Annotated[float, Meta(ge=0, le=3_600)] = 0.0
    """Seconds over which robots are released when the service is asked to stop."""
    max_handshakes_per_second: Annotated[int, Meta(ge=1, le=1_000_000)] = MAX_HANDSHAKES_PER_SECOND
    """Most handshakes that one address may request in a second."""
    robot_labels: tuple[str, ...] = ()
    """Labels of robots, separated by commas, that become attributes: ``site,firmware``."""
    allowed_origins: tuple[str, ...] = ()
    """Origins, separated by commas, whose web pages may use the service, beside its own origin."""
    lease_seconds: Annotated[float, Meta(gt=0, le=20)] = 15.0
    """Seconds after which a silent instance counts as dead, if there are several."""
    state_dir: Path = msgspec.field(default_factory=lambda: _state_dir())  # noqa: PLW0108 - defined below
    """Directory of the spool and the audit log."""
    auth_secret: str | None = None
    """Secret with which tokens are signed; None leaves the service open, on loopback only."""
    auth_secret_previous: str | None = None
    """The former secret, still accepted while robots get tokens signed with the new one."""
    thresholds: Thresholds = Thresholds()
    """Thresholds of the conditions, e.g. ``battery_low=15,battery_recovered=20``."""
    consumers: tuple[ConsumerName, ...] = ()
    """Consumers that run in the service, separated by commas."""
    pagerduty_routing_key: str | None = None
    """Integration key for the consumer *alerts*."""
    pagerduty_url: str | None = None
    """Base address of the Events API, if not PagerDuty's own."""
    grafana_url: str | None = None
    """Base address of Grafana, for the links of pages."""
    recent_spans: Annotated[int, Meta(ge=0, le=100_000)] = 0
    """Finished spans that the service keeps for the board and `charter-otel trace`."""
    log_format: Literal["json", "console"] | None = None
    """Format of the lines on stdout; None chooses by whether stdout is a terminal."""
    log_level: Literal["DEBUG", "INFO", "WARNING", "ERROR"] = "INFO"
    """Lowest level that is written."""

    def __post_init__(self) -> None:
        """Check values from a program in the same way as those from the environment.

        Raises:
            SettingError: A value is wrong; the text names it and the right form.
        """
        for field in msgspec.structs.fields(Settings):
            _check_given(field, getattr(self, field.name))

    @property
    def secrets(self) -> tuple[str, ...]:
        """Return the secrets with which tokens may be signed, the current one first."""
        return tuple(secret for secret in (self.auth_secret, self.auth_secret_previous) if secret)

    def __repr__(self) -> str:
        """Return all settings but the secrets."""
        shown = {name: getattr(self, name) for name in self.__struct_fields__}
        for name in _SECRETS:
            shown[name] = "***" if shown[name] else None
        # The URL may hold a password.
        shown["event_stream"] = self.event_stream.partition("://")[0]
        return f"Settings({', '.join(f'{name}={value!r}' for name, value in shown.items())})"


def _state_dir() -> Path:
    """Return the user's state directory; a user without a home has none and must name one."""
    try:
        path = user_state_path("charter-otel")
    except (RuntimeError, KeyError, OSError):
        return NO_STATE_DIR
    return path if path.is_absolute() else NO_STATE_DIR


def load(environment: Mapping[str, str] | None = None) -> Settings:
    """Read the settings from the environment.

    Raises:
        SettingError: A value is wrong, or the name of a variable is misspelt.
    """
    environment = os.environ if environment is None else environment
    _refuse_misspelt(environment)
    values = {
        field.name: _convert(field, environment[variable])
        for field in msgspec.structs.fields(Settings)
        if environment.get(variable := PREFIX + field.name.upper(), "") != ""
    }
    return Settings(**values)


def _check_given(field: msgspec.structs.FieldInfo, value: Any) -> None:
    """Check a value that is no longer text."""
    try:
        if field.name == "event_stream":
            parse(value)
        else:
            # Thresholds check themselves, and every path is valid.
            if field.name not in ("thresholds", "state_dir"):
                msgspec.convert(value, field.type)
            if value:
                _check(field.name, value if isinstance(value, str) else "", value)
    except ValueError as error:
        secret = field.name in (*_SECRETS, "event_stream")
        right = _RIGHT.get(field.name) or _right(field.type)
        raise SettingError(
            f"Settings({field.name}={'***' if secret else repr(value)}) is wrong: "
            f"{error if field.name == 'event_stream' else f'use {right}'}"
        ) from error


def _refuse_misspelt(environment: Mapping[str, str]) -> None:
    """Refuse a variable whose name is almost that of a setting.

    Variables of other programs may have the prefix too, such as Kubernetes' for a service.

    Raises:
        SettingError: The text names the variable and the setting.
    """
    known = {PREFIX + field.name.upper() for field in msgspec.structs.fields(Settings)}
    for name in environment:
        if name.startswith(PREFIX) and name not in known:
            for meant in get_close_matches(name, known, n=1, cutoff=_NEARLY):
                raise SettingError(f"{name} is not a setting: use {meant}, or remove it")


def _convert(field: msgspec.structs.FieldInfo, text: str) -> Any:
    if field.name == "event_stream":
        return _event_stream(text)
    if field.name == "thresholds":
        return _thresholds(text)
    value = _items(text) if field.name in _LISTS else text
    try:
        converted = msgspec.convert(value, field.type, strict=False, dec_hook=_path)
        _check(field.name, text, converted)
    except ValueError as error:
        name = PREFIX + field.name.upper()
        shown = "***" if field.name in _SECRETS else repr(text)
        right = _RIGHT.get(field.name) or _right(field.type)
        raise SettingError(f"{name}={shown} is wrong: use {right}") from error
    return converted


def _event_stream(text: str) -> str:
    try:
        parse(text)
    except ValueError as error:
        raise SettingError(
            f"{PREFIX}EVENT_STREAM={without_secrets(text)!r} is wrong: {error}"
        ) from error
    return text


def _thresholds(text: str) -> Thresholds:
    try:
        return from_environment({VARIABLE: text})
    except ValueError as error:
        raise SettingError(f"{error}; use e.g. battery_low=15,battery_recovered=20") from error


def _items(text: str) -> list[str]:
    return [item.strip() for item in text.split(",") if item.strip()]


def _check(name: str, text: str, value: Any) -> None:
    """Check the rules that types cannot express.

    Raises:
        ValueError: The value is wrong.
    """
    # Bytes that are not UTF-8 come from the environment as lone surrogates.
    text.encode()
    if name == "pagerduty_url" and not text.startswith("https://"):
        raise ValueError(value)
    if name == "grafana_url" and not text.startswith(("https://", "http://")):
        raise ValueError(value)
    if name == "robot_labels" and not (len(value) <= _LABELS and all(map(NAME.fullmatch, value))):
        raise ValueError(value)
    if name == "allowed_origins" and not all(map(is_origin, value)):
        raise ValueError(value)


def _path(expected: type, value: Any) -> Any:
    return expected(value)


def _right(expected: Any) -> str:
    """Return a description of a valid value of the type."""
    kind = msgspec.inspect.type_info(expected)
    kinds = kind.types if isinstance(kind, msgspec.inspect.UnionType) else (kind,)
    return " or ".join(words for kind in kinds if (words := _kind(kind)))


def _kind(kind: msgspec.inspect.Type) -> str:
    match kind:
        case msgspec.inspect.BoolType():
            return "true or false"
        case msgspec.inspect.LiteralType(values=values):
            return " or ".join(str(value) for value in values)
        case msgspec.inspect.IntType(ge=low, le=high):
            return f"a whole number from {low} to {high}"
        case msgspec.inspect.FloatType(gt=above, ge=low, le=high):
            start = f"from {low:g} to" if above is None else f"above {above:g} and up to"
            return f"a number {start} {high:g}"
        case msgspec.inspect.NoneType():
            return ""
        case _:
            return "a text"
