"""The five dashboards, one a file; each answers one question."""

from dashboards.definitions import analytics, audit, fleet, incidents, pipeline
from dashboards.kit import Dashboard


def all_dashboards() -> dict[str, Dashboard]:
    """Return every dashboard under its file name below ``json/``."""
    return {
        "fleet.json": fleet.dashboard(),
        "incidents.json": incidents.dashboard(),
        "analytics.json": analytics.dashboard(),
        "audit.json": audit.dashboard(),
        "pipeline.json": pipeline.dashboard(),
    }
