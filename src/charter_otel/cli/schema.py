"""`charter-otel schema`: the contract, for other languages."""

import json
import sys
from importlib import import_module
from pathlib import Path
from typing import Any

import click

from charter_otel.cli.environment import settings


@click.command()
@click.argument(
    "document",
    default="json-schema",
    type=click.Choice(["json-schema", "asyncapi", "openapi"]),
)
@click.option(
    "--import",
    "modules",
    multiple=True,
    metavar="MODULE",
    help="Import this module first: its event types are in the document, too; repeatable.",
)
def schema(document: str, modules: tuple[str, ...]) -> None:
    """Print the contract as a JSON document.

    json-schema (the default) describes the events, asyncapi the event stream and the robots'
    WebSocket, openapi the REST API.
    """
    _declare(modules)
    click.echo(json.dumps(_DOCUMENTS[document](), indent=2, ensure_ascii=False))


def _declare(modules: tuple[str, ...]) -> None:
    """Import modules that declare event types, from the working directory too."""
    sys.path.insert(0, str(Path.cwd()))
    for module in modules:
        try:
            import_module(module)
        except ImportError as error:
            raise click.BadParameter(
                f"cannot import {module}: {error}", param_hint="--import"
            ) from error


def _json_schema() -> dict[str, Any]:
    from charter_otel.charter import json_schema

    return json_schema()


def _asyncapi() -> dict[str, Any]:
    from charter_otel.service.asyncapi import asyncapi

    return asyncapi()


def _openapi() -> dict[str, Any]:
    from charter_otel.service.app import create_app
    from charter_otel.service.openapi import openapi

    return openapi(create_app(settings()))


_DOCUMENTS = {"json-schema": _json_schema, "asyncapi": _asyncapi, "openapi": _openapi}
