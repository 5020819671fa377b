"""Options that commands share."""

import click

DEFAULT_URL = "http://127.0.0.1:8000"
"""Where `charter-otel serve` listens unless told otherwise."""

url_option = click.option(
    "--url", default=DEFAULT_URL, show_default=True, help="Address of the service."
)
