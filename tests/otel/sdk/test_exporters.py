"""Which exporter the standard variables ask for, for each signal."""

from collections.abc import Callable

import pytest
from opentelemetry.exporter.otlp.proto.grpc.trace_exporter import OTLPSpanExporter as GrpcExporter
from opentelemetry.exporter.otlp.proto.http._log_exporter import OTLPLogExporter
from opentelemetry.exporter.otlp.proto.http.metric_exporter import OTLPMetricExporter
from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
from opentelemetry.sdk.trace.export import ConsoleSpanExporter

from charter_otel.otel.sdk import exporters

ENDPOINT = "http://127.0.0.1:9"
SIGNALS: dict[str, tuple[Callable[[], object], type]] = {
    "TRACES": (exporters.span_exporter, OTLPSpanExporter),
    "METRICS": (exporters.metric_exporter, OTLPMetricExporter),
    "LOGS": (exporters.log_exporter, OTLPLogExporter),
}


@pytest.mark.parametrize("signal", SIGNALS)
def test_no_variable_no_exporter(signal: str) -> None:
    """Without an endpoint or an exporter's name, nothing is exported."""
    assert SIGNALS[signal][0]() is None


@pytest.mark.parametrize("signal", SIGNALS)
def test_endpoint_asks_for_otlp_over_http(signal: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """One endpoint asks for all three signals, in protobuf over HTTP."""
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", ENDPOINT)
    make, kind = SIGNALS[signal]
    assert type(make()) is kind


@pytest.mark.parametrize("signal", SIGNALS)
def test_signal_s_endpoint_asks_for_that_signal_only(
    signal: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A signal's own endpoint leaves the other two alone."""
    monkeypatch.setenv(f"OTEL_EXPORTER_OTLP_{signal}_ENDPOINT", f"{ENDPOINT}/v1/x")
    made = {name for name, (make, _) in SIGNALS.items() if make() is not None}
    assert made == {signal}


@pytest.mark.parametrize("signal", SIGNALS)
def test_none_overrides_the_endpoint(signal: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """A signal can be switched off although there is an endpoint."""
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", ENDPOINT)
    monkeypatch.setenv(f"OTEL_{signal}_EXPORTER", "none")
    assert SIGNALS[signal][0]() is None


def test_disabled_sdk_overrides_everything(monkeypatch: pytest.MonkeyPatch) -> None:
    """With the SDK disabled there is no exporter, whatever else is set."""
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", ENDPOINT)
    monkeypatch.setenv("OTEL_TRACES_EXPORTER", "otlp")
    monkeypatch.setenv("OTEL_SDK_DISABLED", "TRUE")
    assert [make() for make, _ in SIGNALS.values()] == [None, None, None]


def test_console(monkeypatch: pytest.MonkeyPatch) -> None:
    """The standard's `console` exporter is there too."""
    monkeypatch.setenv("OTEL_TRACES_EXPORTER", "console")
    assert type(exporters.span_exporter()) is ConsoleSpanExporter


def test_grpc(monkeypatch: pytest.MonkeyPatch) -> None:
    """The other transport is asked for by its protocol, for one signal or for all."""
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", ENDPOINT)
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_TRACES_PROTOCOL", "grpc")
    exporter = exporters.span_exporter()
    assert type(exporter) is GrpcExporter
    exporter.shutdown()
    assert type(exporters.log_exporter()) is OTLPLogExporter


@pytest.mark.parametrize(
    ("variable", "timeout"),
    [
        (None, 3.0),
        ("OTEL_EXPORTER_OTLP_TIMEOUT", 7.0),
        ("OTEL_EXPORTER_OTLP_TRACES_TIMEOUT", 7.0),
    ],
)
def test_timeout(
    variable: str | None, timeout: float | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    """An export takes 3 s at most, unless a variable says otherwise."""
    given: list[object] = []

    def made(_: object, *, timeout: float | None, **__: object) -> None:
        given.append(timeout)

    monkeypatch.setattr(OTLPSpanExporter, "__init__", made)
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", ENDPOINT)
    if variable:
        monkeypatch.setenv(variable, "7")
    exporters.span_exporter()
    assert given == [timeout]


@pytest.mark.parametrize(
    ("variable", "value", "error"),
    [
        ("OTEL_EXPORTER_OTLP_PROTOCOL", "http/xml", "PROTOCOL='http/xml' .* http/protobuf or grpc"),
        (
            "OTEL_TRACES_EXPORTER",
            "jaeger",
            "OTEL_TRACES_EXPORTER='jaeger' .* otlp, console or none",
        ),
    ],
)
def test_wrong_value(
    variable: str, value: str, error: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A wrong value is an error that names variable, value and what would be right."""
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", ENDPOINT)
    monkeypatch.setenv(variable, value)
    with pytest.raises(ValueError, match=error):
        exporters.span_exporter()
