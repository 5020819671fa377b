"""The environment of a command: its settings and the standard variables, checked at the start."""

from typing import TYPE_CHECKING

from charter_otel.failures import Refusal

if TYPE_CHECKING:
    from charter_otel.service.settings import Settings


def check_otel_variables() -> None:
    """Check the standard variables before an import fails on them.

    Raises:
        Refusal: A variable is wrong.
    """
    from charter_otel.otel.sdk.variables import check

    try:
        check()
    except ValueError as error:
        raise Refusal(str(error)) from error


def settings() -> "Settings":
    """Read the settings.

    Raises:
        Refusal: A variable is wrong.
    """
    from charter_otel.service.settings import SettingError, load

    try:
        return load()
    except SettingError as error:
        raise Refusal(str(error)) from error
