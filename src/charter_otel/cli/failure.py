"""How a command fails: a text that says what happened and what to do next, and an exit code."""

from typing import TYPE_CHECKING

import click

if TYPE_CHECKING:
    from charter_otel.service.settings import Settings


class Failure(click.ClickException):
    """The command could not do its work. Exit code 1."""


class Refusal(click.ClickException):
    """The command does not start: an option or a variable is wrong. Exit code 2, as for usage."""

    exit_code = 2


def check_otel_variables() -> None:
    """Check the standard variables, before anything imports what would stumble over them.

    Raises:
        Refusal: A variable is wrong.
    """
    from charter_otel.otel.variables import check

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
