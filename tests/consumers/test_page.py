"""A page, as it is sent to PagerDuty."""

import pytest

from charter_otel.consumers.alerts.page import Page


def test_a_page_is_made_by_names_alone() -> None:
    """Nine texts in a row would be mistaken for each other."""
    with pytest.raises(TypeError, match="positional"):
        Page("trigger", "job/nightly")  # type: ignore[call-arg]


def test_a_page_does_not_change() -> None:
    """A page that waits for PagerDuty is sent as it was when it came."""
    page = Page(action="trigger", key="job/nightly")
    with pytest.raises(AttributeError, match="immutable"):
        page.action = "resolve"  # type: ignore[misc]
