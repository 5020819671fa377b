"""Two rows of pipeline health: what the SDK exports, what the Collector makes of it."""

from charter_otel.otel import semconv as otel
from charter_otel.otel.semconv import Metric
from dashboards import external, kit
from dashboards.panels import Steps, lines
from dashboards.promql import or_zero, rate, select, total
from dashboards.queries import Query, fraction, per_second, percentile

ERROR, COMPONENT = otel.ERROR_TYPE, external.COMPONENT
FILLING: Steps = ((0.5, "orange"), (0.8, "red"))
SOME: Steps = ((0.001, "red"),)


def service() -> kit.Panels:
    """Show the SDK's queues and exports."""
    return [
        lines("Queues of the SDK", "Fill level; items that find a queue full are lost.",
              fraction(external.LOG_QUEUE_SIZE, external.LOG_QUEUE_CAPACITY, COMPONENT),
              fraction(external.SPAN_QUEUE_SIZE, external.SPAN_QUEUE_CAPACITY, COMPONENT),
              unit="percentunit", steps=FILLING, maximum=1, width=6),
        lines("Processed", "Records and spans per second; those with an error type are lost.",
              per_second(external.LOG_PROCESSED, COMPONENT, ERROR),
              per_second(external.SPAN_PROCESSED, COMPONENT, ERROR), unit="recps", width=6),
        lines("Exported", "Records and spans per second; those with an error type never arrived.",
              per_second(external.LOG_EXPORTED, COMPONENT, ERROR),
              per_second(external.SPAN_EXPORTED, COMPONENT, ERROR), unit="recps", width=6),
        lines("Exports", "95th percentile of the time that the Collector takes to answer.",
              percentile(0.95, external.EXPORT_DURATION, COMPONENT), unit="s",
              steps=((3, "red"),), width=6),
    ]  # fmt: skip


def collector() -> kit.Panels:
    """Show what goes through the Collector."""
    return [
        lines("Received", "Items per second that the Collector accepted.",
              *_signals(external.ACCEPTED), unit="recps", logarithmic=True, width=6),
        lines("Refused", "Items per second that it refused; senders try again, then lose them.",
              *_signals(external.REFUSED), unit="recps", steps=SOME, width=6),
        lines("Sent", "Items per second that its exporters passed on.",
              *_signals(external.SENT), unit="recps", logarithmic=True, width=6),
        lines("Not sent", "Items per second that an exporter gave up: refused for good.",
              *_signals(external.SEND_FAILED), unit="recps", steps=SOME, width=6),
        lines("Queues on disk", "Fill level; 0 while every back end takes its data.",
              fraction(external.COLLECTOR_QUEUE_SIZE, external.COLLECTOR_QUEUE_CAPACITY,
                       external.EXPORTER, external.DATA_TYPE),
              unit="percentunit", steps=FILLING, maximum=1),
        lines("Memory", "Resident memory of each Collector.",
              Query(select(external.COLLECTOR_MEMORY), "{{instance}}"), unit="bytes"),
        lines("Collector starts", "Restarts of each Collector.",
              Query(f"sum by (instance) (resets({select(external.COLLECTOR_UPTIME)}"
                    "[$__interval])) > 0", "{{instance}}", bars=True), stacked=True),
    ]  # fmt: skip


def _signals(metrics: tuple[Metric, ...]) -> list[Query]:
    return [
        Query(or_zero(total(rate(metric)), metric), metric.name.partition("_")[2].replace("_", " "))
        for metric in metrics
    ]
