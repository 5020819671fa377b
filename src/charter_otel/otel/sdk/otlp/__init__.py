"""OTLP bytes of log records and spans, written in one pass; the same bytes as the SDK's encoder.

Workaround: the SDK's encoder makes a protobuf message of each attribute, which costs more than
creating the record or the span did, see
https://github.com/open-telemetry/opentelemetry-python/blob/v1.45.0/exporter/opentelemetry-exporter-otlp-proto-common/src/opentelemetry/exporter/otlp/proto/common/_internal/__init__.py.
Drop it when the SDK's own encoder takes less than twice the time. `tests/otel/sdk/otlp` compares
the bytes, so it fails when a version of the SDK writes others.
"""
