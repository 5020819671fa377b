"""schemathesis over the OpenAPI document: what the service does is what the document says."""

from collections.abc import Iterator
from typing import Any

import pytest

from charter_otel.service.app import create_app
from charter_otel.service.openapi import openapi
from charter_otel.service.settings import Settings
from support.service import ServiceProcess, service

schemathesis = pytest.importorskip("schemathesis", reason="pip install --group fuzz")

schema = schemathesis.openapi.from_dict(openapi(create_app(Settings()))).exclude(
    path="/api/events/stream"  # it never ends
)


@pytest.fixture(scope="module")
def running() -> Iterator[ServiceProcess]:
    """Give a service."""
    with service() as running:
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
