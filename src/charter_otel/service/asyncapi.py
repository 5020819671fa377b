"""The events and the robots' WebSocket as an AsyncAPI 3.0 document: the API outside REST."""

from importlib.metadata import version
from typing import Any, get_args, get_type_hints

import msgspec

from charter_otel.charter import CATALOG, EXPECTED_CLOSE_REASONS, CloseReason
from charter_otel.charter.schema import definitions
from charter_otel.service.asyncapi_security import scheme, security_schemes
from charter_otel.telemetry.closing import CODES
from charter_otel.telemetry.frames import MAX_READINGS, BadFrame, Frame, NewToken, Ping

Document = dict[str, Any]

_SCHEMAS = "#/components/schemas/{name}"
_ROBOT_MESSAGES = {
    "reading": "A robot's reading.",
    "batch": "A list of readings that a robot has kept, in any order.",
    "ping": "Asks for a pong, and counts as a heartbeat.",
    "pong": "Answers a ping.",
    "token": "A new token in place of the one that the connection has.",
    "renewed": "The new token is taken; until when it is good.",
    "ack": "The service has taken the readings: they are live, or late and counted. It does not "
    "say that they are on a disk. Only where the robot asked for it with `?ack=1`.",
    "error": "Says what is wrong with a frame, which changed nothing.",
}

_ROBOT_CHANNEL = """Readings come in; nothing goes out but answers, in the order of the frames.

A robot presents its token as `Authorization: Bearer TOKEN`, or, where it cannot send headers, as
the second of the subprotocols `charter` and `bearer.TOKEN`; the answer names the first.

A reading's `timestamp` decides: one that is older than the newest changes nothing live, one from
more than a minute ahead counts as of now. A bad frame is answered with an error and changes
nothing; ten in a row close the connection. Any frame counts as a heartbeat, WebSocket pings too.

`x-close-reasons` lists how connections end, and how a robot comes back from each end."""

_COME_BACK = {
    CloseReason.CLIENT_DISCONNECT: "as the robot likes",
    CloseReason.SUPERSEDED: "never: another connection has this robot id",
    CloseReason.PROTOCOL_ERROR: "after a minute or more: the robot's program has a fault",
    CloseReason.MESSAGE_TOO_BIG: "at once, with smaller frames",
    CloseReason.RATE_LIMITED: "after a minute, with fewer frames",
    CloseReason.TOKEN_EXPIRED: "at once, with a new token",
    CloseReason.SERVER_SHUTDOWN: "after the seconds that the close frame's text states",
    CloseReason.SERVER_LOST: "after the seconds that the close frame's text states",
}


def asyncapi() -> Document:
    """Return the document."""
    return {
        "asyncapi": "3.0.0",
        "info": {
            "title": "charter-otel",
            "version": version("charter-otel"),
            "description": "Charter v1.0 events of a robot fleet, and the WebSocket of the robots.",
            "license": {"name": "Apache-2.0"},
        },
        "defaultContentType": "application/json",
        "servers": _servers(),
        "channels": {
            "eventStream": _event_stream(),
            "eventSource": _event_source(),
            "robot": _robot(),
        },
        "operations": _operations(),
        "components": {
            "messages": {**_event_messages(), **_frame_messages()},
            "schemas": {**definitions(_SCHEMAS), **_frame_schemas()},
            "securitySchemes": security_schemes(),
        },
    }


def _servers() -> Document:
    return {
        "service": {
            "host": "localhost:8000",
            "protocol": "ws",
            "description": "The service, for robots.",
            "security": [scheme("token"), scheme("subprotocol")],
        },
        "api": {
            "host": "localhost:8000",
            "protocol": "http",
            "description": "The service, for readers of events.",
            "security": [scheme("token")],
        },
        "redis": {
            "host": "localhost:6379",
            "protocol": "redis",
            "description": "The event stream where CHARTER_EVENT_STREAM is redis://.",
        },
    }


def _event_stream() -> Document:
    return {
        "title": "The event stream",
        "description": "A Redis stream. Each entry has the field `event`, the envelope as JSON, "
        "and `traceparent` where the publisher had a trace. Consumer groups read it at least once.",
        "address": "{charter}:events",
        "servers": [{"$ref": "#/servers/redis"}],
        "parameters": {
            "charter": {
                "description": "The hash tag, written with its braces, that holds all keys in one "
                "slot of a cluster; with CHARTER_STREAM_PARTITIONS=N, `{charter:0}` and so on, one "
                "for each partition.",
                "default": "{charter}",
            }
        },
        "messages": _references(CATALOG),
    }


def _event_source() -> Document:
    return {
        "title": "The events as Server-Sent Events",
        "description": "`id` is the event's id, `event` its type, `data` the envelope. "
        "`Last-Event-ID` or `after` resumes after an event; `type` chooses types. A comment every "
        "15 s keeps the connection open.",
        "address": "/api/events/stream",
        "servers": [{"$ref": "#/servers/api"}],
        "messages": _references(CATALOG),
    }


def _robot() -> Document:
    return {
        "title": "A robot's connection",
        "description": _ROBOT_CHANNEL,
        "address": "/api/telemetry/ws/{robot_id}",
        "servers": [{"$ref": "#/servers/service"}],
        "parameters": {
            "robot_id": {
                "description": "1 to 64 of A-Z a-z 0-9 . _ : - beginning with a letter or a digit.",
                "examples": ["robot_001"],
            }
        },
        "messages": _references(_ROBOT_MESSAGES),
        "bindings": {"ws": {"method": "GET", "query": _robot_query(), "bindingVersion": "0.1.0"}},
        "x-close-reasons": _close_reasons(),
    }


def _robot_query() -> Document:
    switches = {
        "ack": "Asks for acknowledgements.",
        "simulated": "Says that this is not a real robot: no alert is about it.",
    }
    return {
        "type": "object",
        "properties": {
            name: {
                "type": "string",
                "enum": ["1", "true", "yes", "on", "0", "false", "no", "off"],
                "description": f"{description} Another value is refused with 400.",
            }
            for name, description in switches.items()
        },
    }


def _close_reasons() -> list[Document]:
    return [
        {
            "reason": reason.value,
            "code": CODES.get(reason),
            "expected": reason in EXPECTED_CLOSE_REASONS,
            "come_back": _COME_BACK.get(reason, "with exponential back-off and jitter"),
        }
        for reason in CloseReason
    ]


def _operations() -> Document:
    return {
        "publishEvents": _operation("send", "eventStream", "Publish each event.", CATALOG),
        "sendEvents": {
            **_operation("send", "eventSource", "Send each event to readers.", CATALOG),
            "bindings": {"http": {"method": "GET", "bindingVersion": "0.3.0"}},
        },
        "receiveReading": {
            **_operation("receive", "robot", "Take readings.", ["reading", "batch"]),
            "reply": _reply("ack", "error"),
        },
        "receiveToken": {
            **_operation("receive", "robot", "Take a robot's new token.", ["token"]),
            "reply": _reply("renewed", "error"),
        },
        "receivePing": {
            **_operation("receive", "robot", "Answer a robot's ping.", ["ping"]),
            "reply": _reply("pong"),
        },
    }


def _operation(action: str, channel: str, summary: str, messages: Any) -> Document:
    return {
        "action": action,
        "channel": {"$ref": f"#/channels/{channel}"},
        "summary": summary,
        "messages": [{"$ref": f"#/channels/{channel}/messages/{name}"} for name in messages],
    }


def _reply(*messages: str) -> Document:
    return {
        "channel": {"$ref": "#/channels/robot"},
        "messages": [{"$ref": f"#/channels/robot/messages/{name}"} for name in messages],
    }


def _references(names: Any) -> Document:
    return {str(name): {"$ref": f"#/components/messages/{name}"} for name in names}


def _event_messages() -> Document:
    return {
        event_type: {
            "name": event_type,
            "title": event_type,
            "summary": entry.brief,
            "correlationId": {
                "description": "Trace id of the unit of work.",
                "location": "$message.payload#/meta/correlation_id",
            },
            "payload": {"$ref": _SCHEMAS.format(name=event_type)},
        }
        for event_type, entry in CATALOG.items()
    }


def _frame_messages() -> Document:
    return {
        name: {
            "name": name,
            "summary": summary,
            "payload": {"$ref": _SCHEMAS.format(name=name.capitalize())},
        }
        for name, summary in _ROBOT_MESSAGES.items()
    }


def _frame_schemas() -> Document:
    kinds = [Frame, Ping, NewToken]
    _, schemas = msgspec.json.schema_components(kinds, ref_template=_SCHEMAS)
    count = {"type": "integer", "minimum": 0}
    ack = _object(type={"const": "ack"}, n=count)
    ack["properties"] |= {
        "new": count | {"description": "Of a list: readings that are newer than all before."},
        "late": count | {"description": "Of a list: readings that changed nothing live."},
        "refused": count,
        "refused_at": {"type": "array", "items": count, "description": "Their places, from 0."},
        "detail": {"type": "string", "description": "Why the first one is refused."},
    }
    code = {"enum": list(get_args(get_type_hints(BadFrame)["code"]))}
    return {
        "Reading": schemas["Frame"],
        "Batch": {
            "type": "array",
            "items": {"$ref": _SCHEMAS.format(name="Reading")},
            "minItems": 1,
            "maxItems": MAX_READINGS,
        },
        "Ping": schemas["Ping"] | {"required": ["type"]},
        "Token": schemas["NewToken"],
        "Renewed": _object(
            type={"const": "token"},
            expires_at={"type": ["number", "null"], "description": "Unix seconds."},
        ),
        "Pong": _object(type={"const": "pong"}),
        "Ack": ack,
        "Error": _object(error=_object(code=code, detail={"type": "string"})),
    }


def _object(**properties: Document) -> Document:
    return {"type": "object", "properties": properties, "required": list(properties)}
