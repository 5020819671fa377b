"""A session of requests in which the exporter's CA file takes precedence over the environment's."""

from typing import Any

import requests


class CertifiedSession(requests.Session):
    """Keeps the CA file that the exporter was given.

    requests lets ``REQUESTS_CA_BUNDLE`` replace the session's setting, so that
    ``OTEL_EXPORTER_OTLP_CERTIFICATE`` would have no effect on a machine that has both.
    """

    def merge_environment_settings(
        self,
        url: str,
        proxies: dict[str, str] | None,
        stream: bool | None,
        verify: bool | str | None,
        cert: str | tuple[str, str] | None,
    ) -> dict[str, Any]:
        """Return the settings of a request, with the session's own CA file if it has one."""
        merged = super().merge_environment_settings(url, proxies, stream, verify, cert)
        if isinstance(self.verify, str):
            merged["verify"] = self.verify
        return merged
