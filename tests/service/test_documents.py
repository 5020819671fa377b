"""The documents' promises hold, and clients that tools generate from them work."""

import importlib
import json
import re
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from charter_otel import CharterPlugin, Settings
from charter_otel.charter import json_schema
from charter_otel.service.app import create_app
from charter_otel.service.asyncapi import asyncapi
from charter_otel.service.openapi import openapi
from support.node import installed
from support.polling import wait_until
from support.service import service

OPENAPI = openapi(create_app(Settings()))
ASYNCAPI = asyncapi()
SECRET = "s" * 32
REASONS = [
    "client_disconnect", "connection_lost", "heartbeat_timeout", "superseded", "protocol_error",
    "message_too_big", "rate_limited", "token_expired", "server_shutdown", "server_error",
    "server_lost",
]  # fmt: skip
OPEN = {"/healthz", "/readyz"}
OPERATIONS = [
    (path, method, operation)
    for path, methods in OPENAPI["paths"].items()
    for method, operation in methods.items()
    if isinstance(operation, dict) and "responses" in operation
]


@pytest.mark.parametrize(("path", "method", "operation"), OPERATIONS)
def test_each_operation_says_which_token_it_wants(
    path: str, method: str, operation: dict[str, Any]
) -> None:
    """All but the probes name the scheme and the scope; without a secret a token is optional."""
    wanted = [] if path in OPEN else [{"token": ["read" if method == "get" else "write"]}, {}]
    assert operation.get("security", []) == wanted
    assert OPENAPI["components"]["securitySchemes"]["token"]["scheme"] == "bearer"


def test_with_a_secret_a_token_is_a_must() -> None:
    """Then no alternative without one is declared."""
    document = openapi(create_app(Settings(auth_secret=SECRET)))
    assert document["paths"]["/api/events"]["get"]["security"] == [{"token": ["read"]}]


@pytest.mark.parametrize(("path", "method", "operation"), OPERATIONS)
def test_each_answer_has_a_type(path: str, method: str, operation: dict[str, Any]) -> None:
    """No operation answers an object of which nothing is said."""
    del path, method
    for status, response in operation["responses"].items():
        for content in response.get("content", {}).values():
            schema = content["schema"]
            several = schema.get("oneOf", [schema.get("items", schema)])
            named = all("$ref" in each for each in several)
            assert named or schema.get("type") == "string", status


def test_there_is_one_mission_entry() -> None:
    """The body refers to it, alone and in a list."""
    body = OPENAPI["paths"]["/api/metrics/missions"]["post"]["requestBody"]
    one, several = body["content"]["application/json"]["schema"]["oneOf"]
    assert one == several["items"] == {"$ref": "#/components/schemas/MissionEntry"}
    assert "mission_id" in OPENAPI["components"]["schemas"]["MissionEntry"]["properties"]


def test_parameters_say_what_they_obey() -> None:
    """A robot's id and an event's id have the patterns that the routes hold them against."""
    [robot_id] = OPENAPI["paths"]["/api/telemetry/robots/{robot_id}/metrics"]["get"]["parameters"]
    assert robot_id["schema"]["pattern"] == "^[A-Za-z0-9][A-Za-z0-9._:-]{0,63}$"
    parameters = OPENAPI["paths"]["/api/events"]["get"]["parameters"]
    [after] = [each for each in parameters if each["name"] == "after"]
    assert "evt_" in json.dumps(after["schema"])
    [types] = [each for each in parameters if each["name"] == "type"]
    pattern = types["schema"]["items"]["pattern"]
    for right in ("*", "telemetry.*", "orders.order_placed", "telemetry.*, metrics.*"):
        assert re.search(pattern, right)
    for wrong in ("telemetry", "telemetry.", ".x", "Orders.x", "a.b c.d"):
        assert not re.search(pattern, wrong)


def test_asyncapi_says_how_to_authenticate() -> None:
    """Robots present a header or a subprotocol, readers a header, and Redis is another matter."""
    servers = ASYNCAPI["servers"]
    schemes = ASYNCAPI["components"]["securitySchemes"]
    assert schemes["token"]["scheme"] == "bearer"
    assert "bearer.<token>" in schemes["subprotocol"]["description"]
    assert [len(servers[name].get("security", [])) for name in ("service", "api", "redis")] == [
        2,
        1,
        0,
    ]
    assert "bindings" not in ASYNCAPI["channels"]["eventSource"]
    assert ASYNCAPI["operations"]["sendEvents"]["bindings"]["http"]["method"] == "GET"


@pytest.mark.parametrize("schemas", [ASYNCAPI["components"]["schemas"], json_schema()["$defs"]])
def test_the_close_reasons_are_a_closed_list(schemas: dict[str, Any]) -> None:
    """A writer uses one of eleven; a reader of ours takes those of a newer version, too."""
    assert schemas["ConnectionClosed"]["properties"]["reason"]["enum"] == REASONS


@pytest.mark.parametrize("schema", ["RobotPresence", "RobotState", "RobotStatus"])
def test_a_robot_names_the_close_reasons(schema: str) -> None:
    """Its last one is one of the list, or null."""
    schemas = OPENAPI["components"]["schemas"]
    reason = schemas[schema]["properties"]["last_reason"]
    assert reason == {"oneOf": [{"$ref": "#/components/schemas/CloseReason"}, {"type": "null"}]}
    assert schemas["CloseReason"]["enum"] == REASONS


def test_a_program_s_document_keeps_its_components() -> None:
    """Ours stand beside those of the program."""
    from litestar import Litestar  # noqa: PLC0415 - only here
    from litestar.openapi import OpenAPIConfig  # noqa: PLC0415
    from litestar.openapi.spec import Components, SecurityScheme  # noqa: PLC0415

    own = Components(security_schemes={"own": SecurityScheme(type="http", scheme="basic")})
    config = OpenAPIConfig(title="own", version="1", components=[own])
    app = Litestar(plugins=[CharterPlugin(Settings())], openapi_config=config)
    document = openapi(app)
    assert set(document["components"]["securitySchemes"]) == {"own", "token"}
    assert document["info"]["title"] == "own"


def test_a_generated_python_client_works(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The client of openapi-python-client adds a mission entry, and reads what answers."""
    generate = shutil.which("openapi-python-client", path=Path(sys.executable).parent)
    if generate is None:
        pytest.skip("there is no openapi-python-client, which `make fuzz` installs")
    (tmp_path / "openapi.json").write_text(json.dumps(OPENAPI))
    arguments = ("generate", "--path", "openapi.json", "--output-path", "client", "--meta", "none")
    done = subprocess.run(
        [generate, *arguments], cwd=tmp_path, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert "WARNING" not in done.stdout, done.stdout
    pytest.importorskip("attrs")
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.setitem(sys.modules, "client", None)
    monkeypatch.delitem(sys.modules, "client")
    package = importlib.import_module("client")
    add = importlib.import_module("client.api.metrics.api_metrics_missions_add_mission_entries")
    metrics = importlib.import_module("client.api.telemetry.api_telemetry_info_get_info")
    entry = importlib.import_module("client.models.mission_entry").MissionEntry
    with service() as running, package.Client(base_url=running.http) as client:
        answer = add.sync(client=client, body=entry(mission_id="m-1", status="completed"))
        assert answer.accepted == 1
        assert metrics.sync(client=client).name == "charter-otel"


TYPESCRIPT = ("openapi-typescript@7.13.0", "openapi-fetch@0.17.0", "typescript@5.9.3")
"""A generator of clients, what a client uses, and the newest compiler that both know."""

PROGRAM = """
import createClient from "openapi-fetch";
import type { paths } from "./schema.mjs";
const client = createClient<paths>({ baseUrl: "{address}" });
const added = await client.POST("/api/metrics/missions", {
  body: { mission_id: "m-1", status: "completed" },
});
const accepted: number | undefined = added.data?.accepted;
const { error, response } = await client.GET("/api/telemetry/robots/{robot_id}/metrics", {
  params: { path: { robot_id: "robot_001" } },
});
const detail: string | undefined = error?.detail;
const { data } = await client.GET("/api/events", {
  params: { query: { type: ["metrics.*"], limit: 1 } },
});
const type: string | undefined = data?.[0]?.type;
console.log(JSON.stringify([accepted, response.status, detail, type]));
"""


def test_a_generated_typescript_client_works(tmp_path: Path) -> None:
    """The client of openapi-typescript is typed; it adds an entry, and reads answer and error."""
    modules = installed("typescript", *TYPESCRIPT) / "node_modules"
    generate, compiler = (modules / ".bin" / name for name in ("openapi-typescript", "tsc"))
    (tmp_path / "openapi.json").write_text(json.dumps(OPENAPI))
    (tmp_path / "node_modules").symlink_to(modules, target_is_directory=True)
    with service() as running:
        (tmp_path / "program.mts").write_text(PROGRAM.replace("{address}", running.http))
        wait_until(lambda: running.events("metrics.aggregation_started"), "the first run")
        for command in (
            [str(generate), "openapi.json", "-o", "schema.d.mts"],
            [str(compiler), "--strict", "--module", "nodenext", "--skipLibCheck", "program.mts"],
            ["node", "program.mjs"],
        ):
            done = subprocess.run(
                command, cwd=tmp_path, capture_output=True, text=True, check=False
            )
            assert done.returncode == 0, done.stdout + done.stderr
    accepted, status, detail, event_type = json.loads(done.stdout)
    assert (accepted, status) == (1, 404)
    assert "robot_001" in detail
    assert event_type.startswith("metrics.")
