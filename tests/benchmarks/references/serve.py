"""`python -m benchmarks.references.serve bare|traced|called PORT`, as uvicorn serves ours."""

import sys

import uvicorn
from litestar import Litestar
from litestar.plugins import PluginProtocol

from benchmarks.references import app


def main(form: str, port: int) -> None:
    """Serve until a signal comes."""
    uvicorn.run(
        {"bare": app.application, "traced": _traced, "called": _called}[form](),
        host="127.0.0.1",
        port=port,
        loop="uvloop",
        ws="websockets-sansio",
        ws_max_size=65_536,
        ws_per_message_deflate=False,
        ws_ping_interval=20,
        ws_ping_timeout=20,
        timeout_graceful_shutdown=10,
        backlog=2_048,
        log_config=None,
        log_level="warning",
        access_log=False,
        server_header=False,
    )


def _traced() -> Litestar:
    return app.application(_opentelemetry())


def _called() -> Litestar:
    from benchmarks.references import called  # noqa: PLC0415 - bare has none of it

    return called.application()


def _opentelemetry() -> PluginProtocol:
    """Return Litestar's own plugin, with the SDK's usual set-up for OTLP."""
    from litestar.plugins.opentelemetry import (  # noqa: PLC0415 - bare has none of it
        OpenTelemetryConfig,
        OpenTelemetryPlugin,
    )
    from opentelemetry.exporter.otlp.proto.http.metric_exporter import (  # noqa: PLC0415
        OTLPMetricExporter,
    )
    from opentelemetry.exporter.otlp.proto.http.trace_exporter import (  # noqa: PLC0415
        OTLPSpanExporter,
    )
    from opentelemetry.sdk.metrics import MeterProvider  # noqa: PLC0415
    from opentelemetry.sdk.metrics.export import PeriodicExportingMetricReader  # noqa: PLC0415
    from opentelemetry.sdk.trace import TracerProvider  # noqa: PLC0415
    from opentelemetry.sdk.trace.export import BatchSpanProcessor  # noqa: PLC0415

    tracers = TracerProvider()
    tracers.add_span_processor(BatchSpanProcessor(OTLPSpanExporter()))
    meters = MeterProvider([PeriodicExportingMetricReader(OTLPMetricExporter())])
    return OpenTelemetryPlugin(OpenTelemetryConfig(tracer_provider=tracers, meter_provider=meters))


if __name__ == "__main__":
    main(sys.argv[1], int(sys.argv[2]))
