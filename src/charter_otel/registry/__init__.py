"""The registry: every event, attribute, metric and span of this project, declared once.

``charter.yaml`` is the one place; `python -m charter_otel.registry` generates files from it.
Reading it needs PyYAML, for development only: the service imports the generated modules.
"""
