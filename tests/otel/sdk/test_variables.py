"""The standard variables are checked before the service starts."""

import re

import opentelemetry.environment_variables
import opentelemetry.sdk.environment_variables
import pytest

from charter_otel.otel import build
from charter_otel.otel.sdk import exporters
from charter_otel.otel.sdk.rules import UNUSED
from charter_otel.otel.sdk.sessions import CertifiedSession
from charter_otel.otel.sdk.variables import check
from charter_otel.testing import Capture


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


CERTIFICATE = __file__
"""A file that can be read; nothing is connected to."""

TABLE: dict[str, tuple[str, str, str]] = {
    # variable: a right value, an edge, a wrong one
    "OTEL_SDK_DISABLED": ("true", "FALSE", "yes"),
    "OTEL_SERVICE_NAME": ("fleet", " a name, with = and 🤖", ""),
    "OTEL_RESOURCE_ATTRIBUTES": ("site=a,line=2", "site=", "site"),
    "OTEL_EXPERIMENTAL_RESOURCE_DETECTORS": ("host,process", "*", "crystal_ball"),
    "OTEL_TRACES_SAMPLER": ("always_on", "ALWAYS_OFF", "never"),
    "OTEL_TRACES_SAMPLER_ARG": ("0.5", "0", "-1"),
    "OTEL_PROPAGATORS": ("tracecontext", "none", "carrier-pigeon"),
    "OTEL_BSP_SCHEDULE_DELAY": ("5000", "1", "0"),
    "OTEL_BSP_EXPORT_TIMEOUT": ("30000", "1", "-5"),
    "OTEL_BSP_MAX_QUEUE_SIZE": ("2048", "1", "1e3"),
    "OTEL_BSP_MAX_EXPORT_BATCH_SIZE": ("512", "2048", "2049"),
    "OTEL_BLRP_SCHEDULE_DELAY": ("1000", "1", "0.5"),
    "OTEL_BLRP_EXPORT_TIMEOUT": ("30000", "1", "x"),
    "OTEL_BLRP_MAX_QUEUE_SIZE": ("2048", "1", "0"),
    "OTEL_BLRP_MAX_EXPORT_BATCH_SIZE": ("512", "1", "4096"),
    "OTEL_ATTRIBUTE_COUNT_LIMIT": ("128", "0", "-1"),
    "OTEL_ATTRIBUTE_VALUE_LENGTH_LIMIT": ("1024", "unset", "long"),
    "OTEL_EVENT_ATTRIBUTE_COUNT_LIMIT": ("128", "0", "many"),
    "OTEL_LINK_ATTRIBUTE_COUNT_LIMIT": ("128", "0", "many"),
    "OTEL_LOGRECORD_ATTRIBUTE_COUNT_LIMIT": ("128", "0", "many"),
    "OTEL_LOGRECORD_ATTRIBUTE_VALUE_LENGTH_LIMIT": ("128", "unset", "1.5"),
    "OTEL_SPAN_ATTRIBUTE_COUNT_LIMIT": ("128", "0", "many"),
    "OTEL_SPAN_ATTRIBUTE_VALUE_LENGTH_LIMIT": ("128", "unset", "many"),
    "OTEL_SPAN_EVENT_COUNT_LIMIT": ("128", "0", "many"),
    "OTEL_SPAN_LINK_COUNT_LIMIT": ("128", "0", "many"),
    "OTEL_METRIC_EXPORT_INTERVAL": ("60000", "0.5", "0"),
    "OTEL_METRIC_EXPORT_TIMEOUT": ("30000", "1", "nan"),
    "OTEL_METRICS_EXEMPLAR_FILTER": ("trace_based", "always_off", "TRACE_BASED"),
    "OTEL_TRACES_EXPORTER": ("otlp", "NONE", "zipkin"),
    "OTEL_METRICS_EXPORTER": ("console", "none", "prometheus"),
    "OTEL_LOGS_EXPORTER": ("otlp", " none ", "paper"),
    "OTEL_EXPORTER_OTLP_METRICS_TEMPORALITY_PREFERENCE": ("delta", "LOWMEMORY", "both"),
    "OTEL_EXPORTER_OTLP_METRICS_DEFAULT_HISTOGRAM_AGGREGATION": (
        "explicit_bucket_histogram",
        "base2_exponential_bucket_histogram",
        "summary",
    ),
    "OTEL_CONFIG_FILE": ("", " ", "/etc/otel/nowhere.yaml"),
    "OTEL_EXPERIMENTAL_CONFIG_FILE": ("", " ", "/etc/otel/config.yaml"),
    "OTEL_PYTHON_CONTEXT": ("contextvars_context", "", "globals"),
    "OTEL_PYTHON_TRACER_PROVIDER": ("sdk_tracer_provider", "", "own"),
    "OTEL_PYTHON_METER_PROVIDER": ("sdk_meter_provider", "", "own"),
    "OTEL_PYTHON_LOGGER_PROVIDER": ("sdk_logger_provider", "", "own"),
    "OTEL_PYTHON_SDK_INTERNAL_METRICS_ENABLED": ("true", "False", "on"),
    "OTEL_PYTHON_EXPORTER_OTLP_GRPC_RETRYABLE_ERROR_CODES": (
        "UNAVAILABLE,ABORTED",
        "unavailable",
        "503",
    ),
}
"""The variables of the API's and the SDK's own lists, one by one."""

OF_EXPORTERS: dict[str, tuple[str, str, str]] = {
    "ENDPOINT": ("http://127.0.0.1:4318", "https://[::1]:4318", "ftp://collector"),
    "PROTOCOL": ("grpc", "http/protobuf", "http/json"),
    "HEADERS": ("api-key=a%20b", "a=,b=c", "hunter2"),
    "TIMEOUT": ("10000", "2.5", "10s"),
    "COMPRESSION": ("gzip", "GZIP", "brotli"),
    "INSECURE": ("true", "False", "1"),
    "CERTIFICATE": (CERTIFICATE, CERTIFICATE, "/nowhere/ca.pem"),
    "CLIENT_CERTIFICATE": (CERTIFICATE, CERTIFICATE, "/nowhere/client.pem"),
    "CLIENT_KEY": ("", "", CERTIFICATE),
}
"""Each stands for all signals, or, with a signal in its name, for that one."""

for part in ("", "TRACES_", "METRICS_", "LOGS_"):
    TABLE |= {f"OTEL_EXPORTER_OTLP_{part}{name}": row for name, row in OF_EXPORTERS.items()}
    for transport in ("HTTP", "GRPC"):
        name = f"OTEL_PYTHON_EXPORTER_OTLP_{transport}_{part}CREDENTIAL_PROVIDER"
        TABLE[name] = ("", " ", "no_such_provider")


def test_no_variable_is_missing() -> None:
    """The table and the variables without effect are all those that the SDK's lists name."""
    known = {
        value
        for module in (opentelemetry.environment_variables, opentelemetry.sdk.environment_variables)
        for value in vars(module).values()
        if isinstance(value, str) and value.startswith("OTEL_")
    }
    assert len(known) > 90
    assert known - TABLE.keys() - UNUSED == set()
    assert TABLE.keys() & UNUSED == set()


@pytest.mark.parametrize("protocol", ["http/protobuf", "grpc"])
@pytest.mark.parametrize("variable", TABLE)
def test_each_variable_of_the_standard(
    variable: str, protocol: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A right value and an edge start the service, over both protocols; a wrong one is named."""
    for signal in ("TRACES", "METRICS", "LOGS"):
        monkeypatch.setenv(f"OTEL_{signal}_EXPORTER", "otlp")
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_PROTOCOL", protocol)
    right, edge, wrong = TABLE[variable]
    for value in (right, edge):
        monkeypatch.setenv(variable, value)
        check()
    if not wrong:
        return  # any text is right
    monkeypatch.setenv(variable, wrong)
    with pytest.raises(ValueError, match=f"^{variable}=") as raised:
        check()
    assert ("***" if variable.endswith("HEADERS") else repr(wrong)) in str(raised.value)
    assert re.search(r"\buse\b|pip install", str(raised.value))


@pytest.mark.parametrize("compression", ["deflate", "none"])
def test_compression_goes_by_the_protocol(
    compression: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The exporter over gRPC knows gzip only, that over HTTP more."""
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_COMPRESSION", compression)
    check()
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_PROTOCOL", "grpc")
    with pytest.raises(ValueError, match="over grpc: use gzip"):
        check()


@pytest.mark.parametrize(
    ("given", "seconds"), [("", 3.0), ("2.5", 2.5), ("99", 99.0), ("100", 0.1), ("10000", 10.0)]
)
def test_a_timeout_is_in_the_standard_s_unit(
    given: str, seconds: float, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Milliseconds; a number below a hundred is the seconds that the SDK documents."""
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_TIMEOUT", given)
    assert exporters._timeout("traces") == seconds


@pytest.mark.parametrize("queue", ["256", "1", "2048"])
async def test_a_small_queue_starts(queue: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """A queue smaller than the SDK's batch is a queue with smaller batches."""
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", "http://127.0.0.1:9")
    for processor in ("BSP", "BLRP"):
        monkeypatch.setenv(f"OTEL_{processor}_MAX_QUEUE_SIZE", queue)
    providers = build()
    await providers.shutdown(0.1)


async def test_a_variable_without_effect_is_reported(
    charter_capture: Capture, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A variable of the standard that the SDK for Python leaves alone is named at the start."""
    monkeypatch.setenv("OTEL_LOG_LEVEL", "debug")
    await build().shutdown(0.1)
    assert [line["variable"] for line in charter_capture.lines if "variable" in line] == [
        "OTEL_LOG_LEVEL"
    ]


def test_the_exporter_s_certificate_goes_before_the_environment_s(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """`REQUESTS_CA_BUNDLE` does not replace what the standard's variable names."""
    monkeypatch.setenv("REQUESTS_CA_BUNDLE", "/somewhere/else.pem")
    session = CertifiedSession()
    session.verify = CERTIFICATE
    merged = session.merge_environment_settings("https://collector.example", {}, None, None, None)
    assert merged["verify"] == CERTIFICATE
