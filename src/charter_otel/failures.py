"""Failures of a command: a text that says what happened and what to do next, and an exit code."""

import click


class Failure(click.ClickException):
    """The command could not do its work. Exit code 1."""


class Refusal(click.ClickException):
    """The command does not start: an option or a variable is wrong. Exit code 2, as for usage."""

    exit_code = 2
