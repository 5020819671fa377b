"""Authentication of robots and readers, for the AsyncAPI document."""

from typing import Any

Document = dict[str, Any]


def scheme(name: str) -> Document:
    """Return a reference to a scheme."""
    return {"$ref": f"#/components/securitySchemes/{name}"}


def security_schemes() -> Document:
    """Return the schemes by name."""
    return {
        "token": {
            "type": "http",
            "scheme": "bearer",
            "bearerFormat": "JWT",
            "description": "`charter-otel token ROBOT_ID` signs a robot's, and with `--scope read` "
            "that of a reader. Without CHARTER_AUTH_SECRET none is asked for. A browser's "
            "EventSource sends no header: read the response of `fetch` instead.",
        },
        "subprotocol": {
            "type": "httpApiKey",
            "in": "header",
            "name": "Sec-WebSocket-Protocol",
            "description": "For browsers: the subprotocol `bearer.<token>`.",
        },
    }
