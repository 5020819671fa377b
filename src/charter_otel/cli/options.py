"""Options that commands share."""

import click

DEFAULT_URL = "http://127.0.0.1:8000"
"""Address at which `charter-otel serve` listens by default."""

url_option = click.option(
    "--url", default=DEFAULT_URL, show_default=True, help="Address of the service."
)
