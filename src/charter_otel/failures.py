"""Failures of a command: a text that says what happened and what to do next, and an exit code."""

import click


class _Said(click.ClickException):
    def format_message(self) -> str:
        """Return the text; escape unprintable characters, so that none steers the terminal."""
        rows = self.message.split("\n")
        return "\n".join(
            "".join(c if c.isprintable() else ascii(c)[1:-1] for c in row) for row in rows
        )


class CommandFailure(_Said):
    """The command could not do its work. Exit code 1."""


class Refusal(_Said):
    """The command does not start: an option or a variable is wrong. Exit code 2, as for usage."""

    exit_code = 2
