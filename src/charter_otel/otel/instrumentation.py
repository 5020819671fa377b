"""One scope, three signals: the tracer, logger and instruments that the rooms share."""

from functools import cached_property
from importlib.metadata import version

from opentelemetry import metrics, trace
from opentelemetry._logs import Logger, LoggerProvider, get_logger_provider
from opentelemetry.metrics import MeterProvider
from opentelemetry.trace import Tracer, TracerProvider

from charter_otel.otel import semconv
from charter_otel.otel.instruments import Instruments

SCOPE = "charter_otel"
"""Name of the instrumentation scope of everything that this package records."""

VERSION = version("charter-otel")
"""Version of that scope."""


class Instrumentation:
    """The tracer, the logger and the instruments of this package.

    Args:
        tracer_provider: By default the global one, also if it is set later.
        meter_provider: By default the global one.
        logger_provider: By default the global one.
    """

    def __init__(
        self,
        tracer_provider: TracerProvider | None = None,
        meter_provider: MeterProvider | None = None,
        logger_provider: LoggerProvider | None = None,
    ) -> None:
        self.use(tracer_provider, meter_provider, logger_provider)

    def use(
        self,
        tracer_provider: TracerProvider | None,
        meter_provider: MeterProvider | None,
        logger_provider: LoggerProvider | None,
    ) -> None:
        """Switch to other providers; a worker has its own only once it has started."""
        self.tracer_provider = tracer_provider
        self.meter_provider = meter_provider
        self.logger_provider = logger_provider
        for made in ("tracer", "logger", "instruments"):
            self.__dict__.pop(made, None)

    @property
    def providers(
        self,
    ) -> tuple[TracerProvider | None, MeterProvider | None, LoggerProvider | None]:
        """The providers, as `use` takes them; None stands for the global one."""
        return self.tracer_provider, self.meter_provider, self.logger_provider

    @cached_property
    def tracer(self) -> Tracer:
        """The tracer of this package's spans."""
        provider = self.tracer_provider or trace.get_tracer_provider()
        return provider.get_tracer(SCOPE, VERSION, schema_url=semconv.SCHEMA_URL)

    @cached_property
    def logger(self) -> Logger:
        """The logger of this package's event records."""
        provider = self.logger_provider or get_logger_provider()
        return provider.get_logger(SCOPE, VERSION, schema_url=semconv.SCHEMA_URL)

    @cached_property
    def instruments(self) -> Instruments:
        """The instruments of this package's metrics."""
        provider = self.meter_provider or metrics.get_meter_provider()
        return Instruments(provider.get_meter(SCOPE, VERSION, schema_url=semconv.SCHEMA_URL))
