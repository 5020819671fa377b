"""The registry: every event, attribute, metric and span of this project, declared once.

``charter.yaml`` is the one place; `python -m charter_otel.registry` writes what follows from it.
Reading it needs PyYAML, which only development does: the service imports the generated modules.
"""
