"""The REST API of a running service, for the commands that look at one."""

import os
from contextlib import suppress
from typing import Any, Self

import httpx

from charter_otel.cli.options import DEFAULT_URL
from charter_otel.failures import CommandFailure
from charter_otel.service.settings import Settings
from charter_otel.simulator.credentials import READER_HINT, REFUSALS, Credentials

_WITHIN = 10.0


class Rest:
    """Queries a service until the context ends; its errors say what to do next.

    Args:
        url: Address of the service.
        settings: The secret that signs a token; `CHARTER_TOKEN` is presented as it is.
    """

    def __init__(self, url: str, settings: Settings) -> None:
        self.url = url
        credentials = Credentials(settings.auth_secret, os.environ.get("CHARTER_TOKEN") or None)
        try:
            self._client = httpx.Client(
                base_url=url, auth=credentials.of_client("read"), trust_env=False, timeout=_WITHIN
            )
        except httpx.InvalidURL as error:
            raise CommandFailure(
                f"{url!r} is not an address ({error}); give --url {DEFAULT_URL}"
            ) from error

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._client.close()

    def get(self, path: str, *, has: str = "", also: int | None = None, **query: Any) -> Any:
        """Return the answer of a route.

        Args:
            path: The route.
            has: A field of the answer, if it is an object.
            also: A status, beside 2xx, whose body is an answer as well.
            query: The query's parameters.

        Raises:
            CommandFailure: The service refuses, or is another one.
            httpx.TransportError: The service does not answer.
        """
        response = self._client.get(path, params=query)
        if response.is_success or response.status_code == also:
            with suppress(ValueError):
                answer = response.json()
                if not has or (isinstance(answer, dict) and has in answer):
                    return answer
            raise CommandFailure(
                f"{self.url} is not charter-otel's ({path} answers something else); "
                "give the service's address with --url"
            )
        hint = f"; {READER_HINT}" if response.status_code in REFUSALS else ""
        raise CommandFailure(f"{self.url} refuses: {_detail(response)}{hint}")

    def unreachable(self, error: Exception) -> CommandFailure:
        """Return the failure of a service that does not answer."""
        return CommandFailure(
            f"{self.url} does not answer ({error}); start the service with `charter-otel serve`, "
            "or give its address with --url"
        )


def _detail(response: httpx.Response) -> str:
    try:
        return str(response.json()["detail"])
    except (ValueError, KeyError, TypeError):
        return f"HTTP {response.status_code}"
