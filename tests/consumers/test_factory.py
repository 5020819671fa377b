"""Consumers by name."""

import sys
from pathlib import Path

import pytest

from charter_otel.consumers import NAMES, make


@pytest.mark.parametrize("name", NAMES)
def test_every_name_makes_its_consumer(name: str, tmp_path: Path) -> None:
    """Each consumer is called what it was asked for as."""
    assert make(name, state_dir=tmp_path, pagerduty_routing_key="key").name == name


def test_an_unknown_name(tmp_path: Path) -> None:
    """The text names those that there are."""
    with pytest.raises(ValueError, match="'alert' is not a consumer; there are status, analytics"):
        make("alert", state_dir=tmp_path)


def test_pages_need_a_routing_key(tmp_path: Path) -> None:
    """The text names the variable."""
    with pytest.raises(ValueError, match="CHARTER_PAGERDUTY_ROUTING_KEY"):
        make("alerts", state_dir=tmp_path)


def test_pages_need_the_extra(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The text says what to install."""
    monkeypatch.setitem(sys.modules, "pagerduty", None)
    with pytest.raises(ModuleNotFoundError, match=r"charter-otel\[pagerduty\]"):
        make("alerts", state_dir=tmp_path, pagerduty_routing_key="key")
