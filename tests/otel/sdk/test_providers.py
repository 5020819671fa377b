"""The three providers: what the standard variables make of them, and their bounded end."""

import asyncio
import os
import socket
import subprocess
import sys
import textwrap
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from types import SimpleNamespace
from typing import Any

import pytest
from opentelemetry.context import Context
from opentelemetry.metrics import CallbackOptions, NoOpHistogram, Observation
from opentelemetry.sdk._logs.export import InMemoryLogRecordExporter, SimpleLogRecordProcessor
from opentelemetry.sdk.metrics.export import InMemoryMetricReader
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter

from charter_otel.emit import Emitter
from charter_otel.otel import Providers, build
from charter_otel.otel.propagation import parent
from charter_otel.otel.sdk.providers import make_resource
from support.events import PAYLOADS
from support.otlp import Received, points, receiving
from support.polling import eventually

TRACEPARENT = b"00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"


def emit_all(providers: Providers) -> None:
    """Emit each of the six events inside of a span."""
    emitter = Emitter(providers.instrumentation())
    with emitter.instrumentation.tracer.start_as_current_span("work"):
        for event_type, payload in PAYLOADS.items():
            emitter.emit(event_type, payload)


def requests(received: Received, path: str) -> list[Any]:
    """Return the requests of one signal."""
    return [request for to, request in received.requests if to == path]


class TestWithoutVariables:
    """Without an endpoint nothing is exported, and nothing is lost in speed."""

    async def test_nothing_is_exported(self) -> None:
        """No exporter, no thread, no record; events still have trace ids."""
        providers = build()
        instrumentation = providers.instrumentation()
        event = None
        with instrumentation.tracer.start_as_current_span("work") as span:
            event = Emitter(instrumentation).emit(
                "metrics.aggregation_started", PAYLOADS["metrics.aggregation_started"]
            )
            assert not span.is_recording()
        assert not instrumentation.logger.enabled()
        assert event is not None
        assert event.meta["correlation_id"] == f"{span.get_span_context().trace_id:032x}"
        assert await providers.shutdown()

    async def test_nothing_is_measured(self) -> None:
        """Instruments take nothing where no reader asks for it."""
        providers = build()
        measured = providers.instrumentation().instruments.process_duration
        assert isinstance(measured, NoOpHistogram)
        assert await providers.shutdown()

    async def test_sampler_of_the_variable_wins(self, monkeypatch: pytest.MonkeyPatch) -> None:
        """A sampler that is set is used, with or without an exporter."""
        monkeypatch.setenv("OTEL_TRACES_SAMPLER", "always_on")
        providers = build()
        with providers.instrumentation().tracer.start_as_current_span("work") as span:
            assert span.is_recording()
        assert await providers.shutdown()

    @pytest.mark.parametrize(
        ("sampler", "ratio", "recorded"),
        [
            ("always_off", "", False),
            ("traceidratio", "0", False),
            ("traceidratio", "1", True),
            ("parentbased_always_off", "", False),
            ("parentbased_always_on", "", True),
            ("parentbased_traceidratio", "0", False),
            ("parentbased_traceidratio", "1", True),
        ],
    )
    async def test_no_flag_of_a_caller_exceeds_the_sampler(
        self, sampler: str, ratio: str, *, recorded: bool, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """A caller that sets the flag is sampled as often as all others."""
        monkeypatch.setenv("OTEL_TRACES_SAMPLER", sampler)
        monkeypatch.setenv("OTEL_TRACES_SAMPLER_ARG", ratio)
        monkeypatch.setenv("OTEL_TRACES_EXPORTER", "none")
        spans = InMemorySpanExporter()
        providers = build(span_processors=[SimpleSpanProcessor(spans)])
        sampled = parent([(b"traceparent", TRACEPARENT)], Context())
        tracer = providers.instrumentation().tracer
        with tracer.start_as_current_span("work", sampled) as span:
            assert span.get_span_context().trace_id == int(TRACEPARENT[3:35], 16)
            assert span.is_recording() is recorded
        assert await providers.shutdown()

    async def test_processors_of_the_caller(self) -> None:
        """A caller's processors get records and spans, with events on them, without a variable."""
        spans = InMemorySpanExporter()
        records = InMemoryLogRecordExporter()  # type: ignore[no-untyped-call]
        providers = build(
            span_processors=[SimpleSpanProcessor(spans)],
            log_processors=[SimpleLogRecordProcessor(records)],
        )
        emit_all(providers)
        [span] = spans.get_finished_spans()
        assert [event.name for event in span.events] == list(PAYLOADS)
        emitted = [record.log_record.event_name for record in records.get_finished_logs()]
        assert emitted == list(PAYLOADS)
        assert await providers.shutdown()


class TestResource:
    """The resource names the service."""

    def attributes(self) -> dict[str, object]:
        """Return the resource's attributes, the same for all three providers."""
        providers = build(service_name="fleet", service_version="1.2.3")
        resource = providers.tracer_provider.resource
        assert resource == providers.logger_provider.resource
        return dict(resource.attributes)

    def test_of_the_arguments(self) -> None:
        """Name and version are the arguments'."""
        attributes = self.attributes()
        assert attributes["service.name"] == "fleet"
        assert attributes["service.version"] == "1.2.3"
        assert attributes["telemetry.sdk.language"] == "python"

    @pytest.mark.parametrize(
        ("given", "name"),
        [
            ("service.name=west,a=b", "west"),
            (" service.name = west%20end ", "west end"),
            ("deployment.environment.name=test", "fleet"),
            ("my.service.name=other,my.host.name=other", "fleet"),
            ("service.name=", "fleet"),
        ],
    )
    def test_resource_attributes_are_read_as_the_sdk_does(
        self, given: str, name: str, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """Spaces around a name do not count, nor does a name at the end of another."""
        monkeypatch.setenv("OTEL_RESOURCE_ATTRIBUTES", given)
        attributes = self.attributes()
        assert (attributes["service.name"], attributes["host.name"]) == (name, socket.gethostname())

    def test_the_environment_wins(self, monkeypatch: pytest.MonkeyPatch) -> None:
        """Its attributes go before ours, and `OTEL_SERVICE_NAME` before those."""
        given = "service.name=west, service.version=canary , host.name=pod-1"
        monkeypatch.setenv("OTEL_RESOURCE_ATTRIBUTES", given)
        monkeypatch.setenv("OTEL_SERVICE_NAME", "east")
        attributes = self.attributes()
        assert attributes["service.name"] == "east"
        assert (attributes["service.version"], attributes["host.name"]) == ("canary", "pod-1")

    def test_equals_and_hashes_as_the_sdks_own(self) -> None:
        """Exporters group by resource, so one that knows its hash must not stand apart."""
        ours = make_resource("fleet")
        plain = Resource(ours.attributes, ours.schema_url)
        assert {plain: "found"}[ours] == {ours: "found"}[plain] == "found"


QUEUE_SIZE = "OTEL_BLRP_MAX_QUEUE_SIZE"


class TestExport:
    """With an endpoint, all three signals arrive."""

    async def test_six_events_arrive_as_records_and_span_events(
        self, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """A receiver gets the six records with event names, the same span events, and metrics."""
        with receiving() as received:
            monkeypatch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", received.url)
            providers = build(service_name="fleet")
            emit_all(providers)
            assert await providers.shutdown(10)
        records = received.log_records
        [request] = requests(received, "/v1/traces")
        [scope_spans] = request.resource_spans[0].scope_spans
        [span] = scope_spans.spans
        assert [record.event_name for record in records] == list(PAYLOADS)
        assert [event.name for event in span.events] == list(PAYLOADS)
        assert {record.trace_id for record in records} == {span.trace_id}
        assert all(record.body.WhichOneof("value") is None for record in records)
        assert scope_spans.scope.name == "charter_otel"
        assert scope_spans.schema_url == "https://opentelemetry.io/schemas/1.45.0"
        assert received.metrics.keys() >= {
            "charter.event.emitted",
            "otel.sdk.exporter.log.exported",
            "otel.sdk.exporter.span.exported",
            "otel.sdk.processor.log.processed",
        }
        [export, *_] = points(received.metrics["otel.sdk.exporter.operation.duration"])
        assert [*export.explicit_bounds][:3] == [0.001, 0.0025, 0.005], (
            "an export takes milliseconds"
        )

    @pytest.mark.parametrize(("variables", "size"), [({}, 8192), ({QUEUE_SIZE: "777"}, 777)])
    def test_queue_of_records(
        self, variables: dict[str, str], size: int, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """The queue of records is longer than the SDK's, unless the standard variable sizes it."""
        monkeypatch.setenv("OTEL_LOGS_EXPORTER", "console")
        for variable, value in variables.items():
            monkeypatch.setenv(variable, value)
        reader = InMemoryMetricReader()
        providers = build(metric_readers=[reader])
        data = reader.get_metrics_data()
        providers.logger_provider.shutdown()
        assert data
        metrics = [m for s in data.resource_metrics[0].scope_metrics for m in s.metrics]
        [capacity] = [m for m in metrics if m.name == "otel.sdk.processor.log.queue.capacity"]
        assert [point.value for point in capacity.data.data_points] == [size]  # type: ignore[union-attr]

    async def test_disabled_sdk(self, monkeypatch: pytest.MonkeyPatch) -> None:
        """With the SDK disabled nothing leaves the process."""
        with receiving() as received:
            monkeypatch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", received.url)
            monkeypatch.setenv("OTEL_SDK_DISABLED", "true")
            providers = build()
            emit_all(providers)
            assert await providers.shutdown()
        assert received.requests == []

    def test_wrong_protocol(self, monkeypatch: pytest.MonkeyPatch) -> None:
        """A wrong protocol is an error at start, not silence later."""
        monkeypatch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", "http://127.0.0.1:9")
        monkeypatch.setenv("OTEL_EXPORTER_OTLP_PROTOCOL", "carrier-pigeon")
        with pytest.raises(ValueError, match="carrier-pigeon"):
            build()


@contextmanager
def unanswering(*, listens: bool) -> Iterator[str]:
    """Yield an endpoint that takes connections and never answers, or refuses them."""
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        if listens:
            taken.listen()
        yield f"http://127.0.0.1:{taken.getsockname()[1]}"


def exporting() -> list[str]:
    """Return the names of the threads that export, or that wait for the last export."""
    names = (thread.name for thread in threading.enumerate())
    return [name for name in names if name.startswith(("charter-shutdown", "Otel"))]


class TestShutdown:
    """The end has a budget, whatever the Collector does."""

    async def ended(self, endpoint: str, budget: float, monkeypatch: pytest.MonkeyPatch) -> bool:
        """Shut providers with waiting telemetry down, with the loop running all the while."""
        monkeypatch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", endpoint)
        monkeypatch.setenv("OTEL_EXPORTER_OTLP_TIMEOUT", "1")
        providers = build()
        emit_all(providers)
        turns = 0

        async def turn() -> None:
            nonlocal turns
            while True:
                turns += 1
                await asyncio.sleep(0.01)

        turning = asyncio.create_task(turn())
        started = time.perf_counter()
        ended = await providers.shutdown(budget)
        took = time.perf_counter() - started
        turning.cancel()
        assert took < budget + 2
        assert turns > took / 0.01 / 10
        await eventually(lambda: not exporting(), "every thread ended")
        return ended

    async def test_black_hole(self, monkeypatch: pytest.MonkeyPatch) -> None:
        """A Collector that never answers costs the budget, and the answer says so."""
        with unanswering(listens=True) as endpoint:
            assert not await self.ended(endpoint, 0.3, monkeypatch)

    async def test_refusal(self, monkeypatch: pytest.MonkeyPatch) -> None:
        """A Collector that is not there does too."""
        with unanswering(listens=False) as endpoint:
            await self.ended(endpoint, 0.3, monkeypatch)

    async def test_twice(self) -> None:
        """A second shutdown is not an error."""
        providers = build()
        assert await providers.shutdown()
        assert await providers.shutdown()

    def test_late(self, monkeypatch: pytest.MonkeyPatch) -> None:
        """Its thread does not keep the process, and may end when the loop is closed."""
        raised: list[object] = []
        monkeypatch.setattr(threading, "excepthook", raised.append)
        release = threading.Event()
        slow: Any = SimpleNamespace(shutdown=lambda: release.wait(10))
        quick: Any = SimpleNamespace(shutdown=list)
        assert not asyncio.run(Providers(quick, slow, quick).shutdown(0.05))
        late = [each for each in threading.enumerate() if each.name == "charter-shutdown"]
        release.set()
        for thread in late:
            thread.join()
        assert {thread.daemon for thread in late} == {True}
        assert raised == []

    @pytest.mark.parametrize("end", ["pass", "asyncio.run(providers.shutdown(0.1))"])
    def test_a_process_that_ends(self, end: str) -> None:
        """It waits for no Collector, with waiting telemetry and without an end of its own."""
        program = textwrap.dedent(f"""
            import asyncio
            from charter_otel.emit import Emitter
            from charter_otel.otel import build

            providers = build()
            emitter = Emitter(providers.instrumentation())
            with emitter.instrumentation.tracer.start_as_current_span("work"):
                emitter.emit("metrics.aggregation_started", {{"job_id": "a", "started_at": 1.0}})
            {end}
        """)
        with unanswering(listens=True) as endpoint:
            variables = {
                "OTEL_EXPORTER_OTLP_ENDPOINT": endpoint,
                "OTEL_EXPORTER_OTLP_TIMEOUT": "60",
            }
            ended = subprocess.run(
                [sys.executable, "-W", "error", "-c", program],
                env=os.environ | variables,
                capture_output=True,
                text=True,
                timeout=25,
                check=False,
            )
        assert (ended.returncode, ended.stderr) == (0, "")


async def test_per_robot_series_have_a_cap() -> None:
    """Beyond the cap, robots fold into one overflow series."""
    reader = InMemoryMetricReader()
    providers = build(metric_readers=[reader])

    def observe(_: CallbackOptions) -> list[Observation]:
        return [Observation(1, {"charter.robot.id": f"r{n}"}) for n in range(1_500)]

    meter = providers.meter_provider.get_meter("test")
    meter.create_observable_gauge("charter.robot.online", [observe])
    data = reader.get_metrics_data()
    assert data is not None
    [metric] = [
        metric
        for scope in data.resource_metrics[0].scope_metrics
        for metric in scope.metrics
        if metric.name == "charter.robot.online"
    ]
    series = metric.data.data_points
    assert len(series) == 1_001
    assert sum(dict(p.attributes or {}) == {"otel.metric.overflow": True} for p in series) == 1
    assert await providers.shutdown()


def test_each_forked_worker_exports_its_own() -> None:
    """Providers built in each worker after a fork export that worker's events, and all end."""
    program = textwrap.dedent("""
        import asyncio, os
        from charter_otel.emit import Emitter
        from charter_otel.otel import build

        def work(name):
            providers = build(service_name=name)
            emitter = Emitter(providers.instrumentation())
            emitter.emit("metrics.aggregation_started", {"job_id": name, "started_at": 1.0})
            assert asyncio.run(providers.shutdown(20))

        for name in ("first", "second"):
            if os.fork() == 0:
                work(name)
                os._exit(0)
        for _ in range(2):
            assert os.wait()[1] == 0
        work("parent")
    """)
    with receiving() as received:
        environment = os.environ | {"OTEL_EXPORTER_OTLP_ENDPOINT": received.url}
        ended = subprocess.run(
            [sys.executable, "-W", "error", "-c", program],
            env=environment,
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )
    assert ended.returncode == 0, ended.stderr
    resources = [
        {a.key: a.value.string_value for a in request.resource_logs[0].resource.attributes}
        for request in requests(received, "/v1/logs")
    ]
    assert sorted(r["service.name"] for r in resources) == ["first", "parent", "second"]
    assert len({r.get("service.instance.id", r["service.name"]) for r in resources}) == 3
