"""schemathesis over the OpenAPI document: what the service does is what the document says."""

import os
from collections.abc import Iterator
from http import HTTPStatus
from typing import Any

import pytest
import requests

from charter_otel.service.app import create_app
from charter_otel.service.openapi import openapi
from charter_otel.service.settings import Settings
from support.service import ServiceProcess, service

schemathesis = pytest.importorskip("schemathesis", reason="pip install --group fuzz")
if "PYTEST_XDIST_WORKER" in os.environ:
    # schemathesis gives the tests of all operations one id, of which pytest-xdist runs one.
    pytest.skip("`make fuzz` runs it, in one process", allow_module_level=True)

STREAM = "/api/events/stream"
whole = schemathesis.openapi.from_dict(openapi(create_app(Settings())))
schema = whole.exclude(path=STREAM)
stream = whole.include(path=STREAM)


@pytest.fixture(scope="module")
def running() -> Iterator[ServiceProcess]:
    """Yield a service."""
    with service(CHARTER_CONSUMERS="status,analytics") as running:
        yield running


CHECKS = [
    "not_a_server_error",
    "status_code_conformance",
    "content_type_conformance",
    "response_schema_conformance",
]


@schema.parametrize()  # type: ignore[untyped-decorator]  # it has no types
def test_the_service_keeps_to_its_document(case: Any, running: ServiceProcess) -> None:
    """No request makes a server error; status, media type and body are as documented."""
    checks = schemathesis.checks.CHECKS.get_by_names(CHECKS)
    case.call_and_validate(base_url=running.http, timeout=10, checks=checks)


@stream.parametrize()  # type: ignore[untyped-decorator]
def test_the_stream_keeps_to_it_too(case: Any, running: ServiceProcess) -> None:
    """It never ends, so it is judged by how it begins; where it does not begin, as all others."""
    asked = case.as_transport_kwargs(base_url=running.http)
    with requests.request(**asked, timeout=10, stream=True) as response:
        if response.status_code == HTTPStatus.OK:
            assert response.headers["content-type"].startswith("text/event-stream")
            assert next(response.iter_content(len(b"retry:"))) == b"retry:"
        else:
            case.validate_response(response, checks=schemathesis.checks.CHECKS.get_by_names(CHECKS))
