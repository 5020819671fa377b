"""A row of pipeline health: Redis itself, as its exporter sees it; "no data" without one."""

from charter_otel.otel.semconv import Metric
from dashboards import external, kit
from dashboards.panels import Steps, lines
from dashboards.promql import rate, select
from dashboards.queries import Query

SOME: Steps = ((0.001, "red"),)
BELOW_ONE: Steps = ((0, "red"), (1, "green"))
NUMBER = "none"
"""The unit of counts here: an empty chart of `COUNT` says "none", and this one is unknown."""


def panels() -> kit.Panels:
    """Show what a Redis that holds streams can run out of, and what it can lose."""
    alive = f"{select(external.REDIS_UPTIME)} or 0 * {select(external.REDIS_UP)}"
    cpu = " + ".join(rate(metric) for metric in external.REDIS_CPU)
    return [
        lines("Redis uptime", "A drop is a restart; 0 while Redis does not answer its exporter.",
              Query(alive, "{{instance}}"), unit="s", width=6),
        lines("Redis memory", "At its limit (`maxmemory`), if it has one, Redis takes no more"
              " events. What is resident, the system sees.",
              _now(external.REDIS_MEMORY, "used"), _now(external.REDIS_RESIDENT, "resident"),
              Query(f"{select(external.REDIS_MEMORY_LIMIT)} > 0", "{{instance}} limit"),
              unit="bytes", width=6),
        lines("Evicted and rejected", "Per second. Streams may be among evicted keys; rejected"
              " connections are more than `maxclients`.",
              _rate(external.REDIS_EVICTED, "keys"), _rate(external.REDIS_REJECTED, "connections"),
              unit="eps", steps=SOME, width=6),
        lines("Persistence", "1 is good: the append-only file is on, its last write and the last"
              " snapshot succeeded. If a write fails, Redis refuses events.",
              _now(external.REDIS_AOF, "file on"), _now(external.REDIS_AOF_WRITTEN, "written"),
              _now(external.REDIS_SNAPSHOT, "snapshot"),
              unit=NUMBER, steps=BELOW_ONE, maximum=1, width=6),
        lines("Commands", "Commands per second.",
              _rate(external.REDIS_COMMANDS), unit="reqps", width=6),
        lines("Redis CPU", "Cores that it uses; commands have one.",
              Query(cpu, "{{instance}}"), unit="percentunit", width=6),
        lines("Clients", "Connections; those that are blocked wait for events.",
              _now(external.REDIS_CLIENTS, "connected"), _now(external.REDIS_BLOCKED, "blocked"),
              unit=NUMBER, width=6),
        lines("Replicas", "Replicas that are connected.",
              _now(external.REDIS_REPLICAS), unit=NUMBER, width=6),
    ]  # fmt: skip


def _now(metric: Metric, *words: str) -> Query:
    return Query(select(metric), " ".join(("{{instance}}", *words)))


def _rate(metric: Metric, *words: str) -> Query:
    return Query(rate(metric), " ".join(("{{instance}}", *words)))
