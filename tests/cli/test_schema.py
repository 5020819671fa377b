"""`charter-otel schema`."""

import json

import pytest
from jsonschema import Draft202012Validator

from cli.commands import called
from support.events import EXAMPLES


def document(*arguments: str) -> dict[str, object]:
    """Return what the command prints."""
    ended = called("schema", *arguments)
    assert ended.returncode == 0, ended.stderr
    printed: dict[str, object] = json.loads(ended.stdout)
    return printed


def test_the_json_schema_takes_the_events() -> None:
    """Without an argument it is the schema of the six events."""
    validator = Draft202012Validator(document())
    for example in EXAMPLES.values():
        validator.validate(example)


@pytest.mark.parametrize(("name", "version"), [("asyncapi", "3."), ("openapi", "3.")])
def test_the_apis_are_described(name: str, version: str) -> None:
    """Each document says which specification it follows."""
    assert str(document(name)[name]).startswith(version)


def test_the_rest_routes_are_in_the_openapi_document() -> None:
    """A generator of clients finds the service's routes."""
    paths = document("openapi")["paths"]
    assert isinstance(paths, dict)
    assert "/api/metrics/missions" in paths


@pytest.mark.parametrize("name", ["json-schema", "asyncapi", "openapi"])
def test_patterns_are_in_the_dialect_of_json_schema(name: str) -> None:
    """Python's end of text would be the letter Z there, and refuse each robot."""
    printed = json.dumps(document(name))
    assert "A-Za-z0-9._:-" in printed
    assert json.dumps("\\Z")[1:-1] not in printed


def test_an_unknown_document_is_a_usage_error() -> None:
    """The text names those that there are."""
    ended = called("schema", "xsd")
    assert ended.returncode == 2
    assert "asyncapi" in ended.stderr
