"""Settings that a program makes are checked as those of the environment are."""

from pathlib import Path
from typing import Any

import pytest

from charter_otel import SettingError, Settings
from charter_otel.service.settings import load


@pytest.mark.parametrize(
    "options",
    [
        {},
        {"event_stream": "none"},
        {"event_stream": "redis://127.0.0.1:6379/0", "stream_partitions": 4},
        {"aggregation_interval": 5},
        {"allowed_origins": ("https://fleet.example",), "grafana_url": "http://grafana"},
        {"state_dir": Path("here"), "consumers": ("status",), "log_format": "json"},
    ],
)
def test_right_settings_are_taken(options: dict[str, Any]) -> None:
    """Values of the fields' types within their bounds are right, a whole number of seconds too."""
    Settings(**options)


@pytest.mark.parametrize(
    ("options", "right"),
    [
        ({"aggregation_interval": -1}, "a number above 0"),
        ({"aggregation_interval": "30"}, "a number above 0"),
        ({"max_connections": 0}, "a whole number from 1"),
        ({"metrics_published": "yes"}, "true or false"),
        ({"consumers": ("fortune",)}, "status, analytics, audit, alerts"),
        ({"log_format": "xml"}, "console or json"),
        ({"allowed_origins": ("fleet.example",)}, "https://fleet.example"),
        ({"pagerduty_url": "http://pages"}, "https://"),
        ({"event_stream": "kafka://broker"}, "memory://"),
    ],
)
def test_a_wrong_setting_is_named(options: dict[str, Any], right: str) -> None:
    """The text names the setting, the value and what would be right."""
    with pytest.raises(SettingError, match="is wrong") as raised:
        Settings(**options)
    assert right in str(raised.value)
    assert f"Settings({next(iter(options))}=" in str(raised.value)


def test_a_secret_is_not_repeated() -> None:
    """Neither a wrong secret nor a stream's password is in the text."""
    wrong: list[dict[str, Any]] = [
        {"auth_secret": 12345},
        {"event_stream": "redis://:12345@"},
    ]
    for options in wrong:
        with pytest.raises(SettingError) as raised:
            Settings(**options)
        assert "12345" not in str(raised.value)


@pytest.mark.parametrize(
    ("name", "meant"),
    [
        ("CHARTER_AGREGATION_INTERVAL", "CHARTER_AGGREGATION_INTERVAL"),
        ("CHARTER_MAX_CONNECTION", "CHARTER_MAX_CONNECTIONS"),
        ("CHARTER_AUTH_SECRETS", "CHARTER_AUTH_SECRET"),
        ("CHARTER_EVENTSTREAM", "CHARTER_EVENT_STREAM"),
    ],
)
def test_a_misspelt_variable_is_named(name: str, meant: str) -> None:
    """A variable that is nearly a setting would be ignored in silence: it is refused."""
    with pytest.raises(SettingError, match=f"{name} is not a setting: use {meant},"):
        load({name: "1"})


@pytest.mark.parametrize(
    "name", ["CHARTER_TOKEN", "CHARTER_OTEL_SERVICE_PORT", "CHARTER_OTLP_ENDPOINT", "CHARTER_X"]
)
def test_variables_of_others_are_left_alone(name: str) -> None:
    """The prefix is nobody's own: Kubernetes, the Collector's file and commands have some, too."""
    load({name: "1"})
