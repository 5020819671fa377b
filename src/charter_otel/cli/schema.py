"""`charter-otel schema`: the contract, for other languages."""

import json
from typing import Any

import click

from charter_otel.cli.environment import settings


@click.command()
@click.argument(
    "document",
    default="json-schema",
    type=click.Choice(["json-schema", "asyncapi", "openapi"]),
)
def schema(document: str) -> None:
    """Print the contract as a JSON document.

    json-schema (the default) describes the six events, asyncapi the event stream and the robots'
    WebSocket, openapi the REST API.
    """
    click.echo(json.dumps(_DOCUMENTS[document](), indent=2, ensure_ascii=False))


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
