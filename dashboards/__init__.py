"""Grafana dashboards of the charter-otel service, generated from the registry's names."""
