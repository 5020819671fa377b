"""The standard variables are checked before the service starts."""

import pytest

from charter_otel.otel.sdk.variables import check


def test_none_need_be_set() -> None:
    """The standard has a default for each."""
    check()


@pytest.mark.parametrize(
    ("variable", "value"),
    [
        ("OTEL_EXPORTER_OTLP_ENDPOINT", "https://collector.example:4318"),
        ("OTEL_EXPORTER_OTLP_LOGS_ENDPOINT", "http://127.0.0.1/v1/logs"),
        ("OTEL_EXPORTER_OTLP_TIMEOUT", "2.5"),
        ("OTEL_METRIC_EXPORT_INTERVAL", "2000"),
        ("OTEL_BLRP_MAX_QUEUE_SIZE", "100"),
        ("OTEL_TRACES_SAMPLER", "parentbased_traceidratio"),
        ("OTEL_TRACES_SAMPLER_ARG", "0.01"),
        ("OTEL_PROPAGATORS", "tracecontext, baggage"),
        ("OTEL_PROPAGATORS", "none"),
        ("OTEL_TRACES_SAMPLER", ""),
    ],
)
def test_a_right_value_passes(variable: str, value: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Values that the standard allows are allowed; an empty value counts as not set."""
    monkeypatch.setenv(variable, value)
    check()


@pytest.mark.parametrize(
    ("variable", "value"),
    [
        ("OTEL_EXPORTER_OTLP_ENDPOINT", "collector.example:4318"),
        ("OTEL_EXPORTER_OTLP_ENDPOINT", "http://:4318"),
        ("OTEL_EXPORTER_OTLP_METRICS_ENDPOINT", "ftp://collector.example"),
        ("OTEL_EXPORTER_OTLP_ENDPOINT", "http://collector:99999"),
        ("OTEL_EXPORTER_OTLP_TIMEOUT", "soon"),
        ("OTEL_METRIC_EXPORT_INTERVAL", "0"),
        ("OTEL_BSP_SCHEDULE_DELAY", "1.5"),
        ("OTEL_TRACES_SAMPLER", "sometimes"),
        ("OTEL_TRACES_SAMPLER_ARG", "2"),
        ("OTEL_PROPAGATORS", "tracecontext,smoke"),
        ("OTEL_LOGS_EXPORTER", "paper"),
    ],
)
def test_a_wrong_value_is_named(variable: str, value: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """The error names variable and value, and what would be right."""
    monkeypatch.setenv(variable, value)
    with pytest.raises(ValueError, match=r"; use |: use ") as raised:
        check()
    assert f"{variable}={value!r}" in str(raised.value)


def test_grpc_takes_an_endpoint_without_a_scheme(monkeypatch: pytest.MonkeyPatch) -> None:
    """Its exporter does, so the check does."""
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", "collector.example:4317")
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_PROTOCOL", "grpc")
    check()


def test_a_password_is_not_repeated(monkeypatch: pytest.MonkeyPatch) -> None:
    """An endpoint may carry one."""
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", "htp://user:hunter2@collector.example")
    with pytest.raises(ValueError, match="OTEL_EXPORTER_OTLP_ENDPOINT") as raised:
        check()
    assert "hunter2" not in str(raised.value)
