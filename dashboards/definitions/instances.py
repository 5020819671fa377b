"""A row of pipeline health: which instances there are, where, since when, and how they do."""

from charter_otel.otel import semconv as otel
from dashboards import external, kit, limits
from dashboards.panels import Steps, lines, rows, steps_of
from dashboards.promql import aggregate, living, of_living, rate, select
from dashboards.queries import Query, per_step

LATE: Steps = ((limits.FRESH, "orange"), (limits.SILENCE * 2, "red"))
NAMES = {
    "host_name": "Host",
    "service_version": "Version",
    "Value #B": "Up for",
    "Value #C": "Heartbeat",
    "Value #D": "Connections",
    "Value #E": "CPU",
    "Value #F": "Memory",
    "Value #G": "Files",
    "instance": "Instance",
}
COLUMNS: dict[str, dict[str, object]] = {
    "Host": {"custom.width": 200},
    "Version": {"custom.width": 90},
    "Up for": {"unit": "s", "decimals": 0},
    "Heartbeat": {
        "unit": "s",
        "decimals": 0,
        "thresholds": steps_of(LATE),
        "custom.cellOptions": {"type": "color-text"},
    },
    "Connections": {"unit": "locale"},
    "CPU": {"unit": "percentunit", "decimals": 1},
    "Memory": {"unit": "bytes"},
    "Files": {"unit": "locale"},
}


def panels() -> kit.Panels:
    """Show the instances."""
    beat = select(otel.CHARTER_SERVICE_HEARTBEAT)
    asked = (
        aggregate("max", select(external.TARGET_INFO), "instance", "host.name", "service.version"),
        _of_each(living(otel.PROCESS_UPTIME)),
        _of_each(f"time() - ({beat} > 0)"),
        # All of its connections, whatever labels their robots have.
        aggregate("sum", living(otel.CHARTER_CONNECTION_ACTIVE), "instance"),
        _of_each(of_living(rate(otel.PROCESS_CPU_TIME))),
        _of_each(living(otel.PROCESS_MEMORY_USAGE)),
        _of_each(living(otel.PROCESS_UNIX_FILE_DESCRIPTOR_COUNT)),
    )
    order: dict[str, object] = {
        "excludeByName": {"Time": True, "Value #A": True},
        "indexByName": {name: at for at, name in enumerate(NAMES)},
        "renameByName": NAMES,
    }
    lag = Query(_of_each(living(otel.CHARTER_SERVICE_LOOP_LAG)), "{{instance}}")
    cpu = Query(_of_each(rate(otel.PROCESS_CPU_TIME)), "{{instance}}")
    memory = Query(_of_each(living(otel.PROCESS_MEMORY_USAGE)), "{{instance}}")
    return [
        rows("Instances", "One row each: where it runs, since when, its last heartbeat, what it"
             " uses. One that is gone stays for some minutes, with nothing but its heartbeat.",
             *(Query(expression, table=True, now=True) for expression in asked),
             transformations=(("merge", {}), ("organize", order)), columns=COLUMNS,
             order=("Up for", False), width=24, height=6),
        lines("CPU of instances", "Cores that each process uses; one is all that its loop has.",
              cpu, unit="percentunit", width=6),
        lines("Memory of instances", "Physical memory of each process.", memory, unit="bytes",
              width=6),
        lines("Event loop", "Longest delay of each instance's event loop since the last export.",
              lag, unit="s", steps=((0.5, "red"),), width=6),
        lines("Connections refused", "Before they asked for anything, by reason.",
              per_step(otel.CHARTER_CONNECTION_REFUSED, otel.CHARTER_REFUSAL_REASON),
              stacked=True, width=6),
    ]  # fmt: skip


def _of_each(expression: str) -> str:
    return aggregate("max", expression, "instance")
