"""Recording rules: the alerts as dashboards ask for them.

Most alerts belong to no instance, and `instance=~".+"` of a panel hides those; here they have one.
The site, the model or the firmware that one is about is the label ``robots``.
"""

from dashboards import external
from dashboards.promql import GROUPS, metric_name

_OURS = 'severity!="none"'


def rules() -> list[dict[str, str]]:
    """Return the rules."""
    return [
        {
            "record": metric_name(external.ALERTS_FIRING),
            "expr": _everywhere(f'ALERTS{{alertstate="firing", {_OURS}}}'),
        },
        {
            "record": metric_name(external.ALERTS_SINCE),
            "expr": _everywhere(f"ALERTS_FOR_STATE{{{_OURS}}}"),
        },
    ]


def _everywhere(alerts: str) -> str:
    somewhere = f'label_replace({alerts}, "instance", "all", "instance", "")'
    groups = ", ".join(f'"{label}"' for label in GROUPS.values())
    return f'label_join({somewhere}, "robots", "", {groups})'
