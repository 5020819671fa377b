"""The service as an application, for any server that takes a factory."""

from litestar import Litestar
from litestar.config.app import AppConfig

from charter_otel.service.openapi import openapi_config
from charter_otel.service.plugin import MAX_BODY_BYTES, CharterPlugin
from charter_otel.service.problems import exception_handlers
from charter_otel.service.settings import Settings
from charter_otel.streams import EventStream


def create_app(settings: Settings | None = None, *, stream: EventStream | None = None) -> Litestar:
    """Return the service's application; each worker makes its own.

    Args:
        settings: The settings; by default those of the environment.
        stream: An event stream of the caller's, instead of the one that the settings name.

    Raises:
        SettingError: A variable has a wrong value.
    """
    plugin = CharterPlugin(settings, stream=stream)
    return Litestar.from_config(
        # It has no logging configuration, where `Litestar()` makes one: the plugin sends every
        # line through one renderer. Litestar 3 has none at all.
        AppConfig(
            plugins=[plugin],
            # Also of a path that no route has.
            exception_handlers=exception_handlers(),
            openapi_config=openapi_config(plugin.read_guards()),
            request_max_body_size=MAX_BODY_BYTES,
        )
    )
