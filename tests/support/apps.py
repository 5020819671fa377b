"""Apps of Litestar, made as both of its major versions allow."""

from collections.abc import Sequence
from typing import Any

from litestar import Litestar
from litestar.config.app import AppConfig
from litestar.types import ControllerRouterHandler

MAX_BODY_BYTES = 10_000_000


def make_app(handlers: Sequence[ControllerRouterHandler] = (), **options: Any) -> Litestar:
    """Return an app without the logging configuration that `Litestar()` of version 2 makes.

    Args:
        handlers: The app's handlers.
        options: Fields of its configuration.
    """
    options.setdefault("request_max_body_size", MAX_BODY_BYTES)
    return Litestar.from_config(AppConfig(route_handlers=[*handlers], **options))
