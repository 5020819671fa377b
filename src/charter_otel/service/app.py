"""The service as an application, for any server that takes a factory."""

from litestar import Litestar

from charter_otel.service.openapi import openapi_config
from charter_otel.service.plugin import CharterPlugin
from charter_otel.service.settings import Settings


def create_app(settings: Settings | None = None) -> Litestar:
    """Return the service's application; each worker makes its own.

    Args:
        settings: The settings; by default those of the environment.

    Raises:
        SettingError: A variable has a wrong value.
    """
    plugin = CharterPlugin(settings)
    return Litestar(
        plugins=[plugin],
        openapi_config=openapi_config(plugin.read_guards()),
        # The plugin sends every line through one renderer; Litestar's own set-up would add another.
        logging_config=None,
    )
