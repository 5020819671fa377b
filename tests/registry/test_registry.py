"""The registry: well formed, without loose ends, and what follows from it is up to date."""

import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml

from charter_otel.charter import CATALOG, CloseReason
from charter_otel.otel import semconv
from charter_otel.otel.instruments import Instruments
from charter_otel.registry import model
from charter_otel.registry.__main__ import OUTPUTS, PACKAGE, generate
from support.events import EXAMPLES

REGISTRY = model.load()
DOCUMENT: dict[str, Any] = yaml.safe_load(model.REGISTRY.read_text(encoding="utf-8"))
SIGNALS: tuple[model.Signal, ...] = (*REGISTRY.events, *REGISTRY.metrics, *REGISTRY.spans)

NAME = re.compile(r"[a-z][a-z0-9]*([._][a-z0-9]+)*")
INSTRUMENTS = {"counter", "updowncounter", "gauge", "histogram"}
STABILITIES = {"development", "stable"}
LEVELS = {"required", "conditionally_required", "recommended", "opt_in"}


@pytest.fixture(scope="module")
def generated() -> dict[Path, str]:
    """Return what the registry makes of the files."""
    return generate()


@pytest.mark.parametrize("path", OUTPUTS, ids=lambda path: path.name)
def test_generated_file_is_up_to_date(path: Path, generated: dict[Path, str]) -> None:
    """A generated file is what the registry gives; `make generate` writes it anew."""
    assert path.read_text(encoding="utf-8") == generated[path]


def test_check_command_fails_on_a_difference(tmp_path: Path) -> None:
    """The command tells by its exit code and its text which file is out of date."""
    program = (
        "import sys; from charter_otel.registry import __main__ as m; from pathlib import Path; "
        f"m.PACKAGE = Path({str(tmp_path)!r}); "
        "m.OUTPUTS = {m.PACKAGE / 'README.md': m.render.tables}; "
        "sys.argv = ['registry', *sys.argv[1:]]; sys.exit(m.main())"
    )

    def run(*arguments: str) -> subprocess.CompletedProcess[str]:
        command = [sys.executable, "-c", program, *arguments]
        return subprocess.run(command, capture_output=True, text=True, check=False)

    missing = run("--check")
    assert (missing.returncode, "out of date: README.md" in missing.stdout) == (1, True)
    assert run().returncode == 0
    assert run("--check").returncode == 0


class TestForm:
    """The rules of Weaver's format, checked without Weaver."""

    def test_top_level(self) -> None:
        """The file names its format, and has nothing that the format does not know."""
        assert DOCUMENT["file_format"] == "definition/2"
        assert DOCUMENT.keys() == {
            "file_format",
            "attributes",
            "events",
            "metrics",
            "metric_refinements",
            "spans",
            "span_refinements",
        }

    @pytest.mark.parametrize("kind", ["attributes", "events", "metrics", "spans"])
    def test_own_definitions(self, kind: str) -> None:
        """A definition has a valid name of its own, a brief sentence and a stability."""
        names = [item.get("key") or item.get("name") for item in DOCUMENT[kind]]
        names = [item["type"] for item in DOCUMENT[kind]] if kind == "spans" else names
        assert len(names) == len(set(names))
        for item, name in zip(DOCUMENT[kind], names, strict=True):
            assert NAME.fullmatch(name), name
            assert item["brief"].strip().endswith("."), name
            assert item["stability"] in STABILITIES, name

    def test_own_names_start_with_charter(self) -> None:
        """Attributes, metrics and spans of our own are `charter.*`; the events are Charter's."""
        own = [*DOCUMENT["attributes"], *DOCUMENT["metrics"]]
        assert all((i.get("key") or i["name"]).startswith("charter.") for i in own)
        assert all(item["type"].startswith("charter.") for item in DOCUMENT["spans"])
        assert {event.name for event in REGISTRY.events} == CATALOG.keys()

    def test_attribute_types(self) -> None:
        """An attribute is text, a number or one of a closed list, and has examples or members."""
        for item in DOCUMENT["attributes"]:
            if isinstance(item["type"], dict):
                members = item["type"]["members"]
                values = [member["value"] for member in members]
                assert len(values) == len(set(values)) > 1, item["key"]
                assert all(m["brief"].endswith(".") and m["stability"] for m in members)
            else:
                types = {"string", "int", "double", "boolean", "template[string]"}
                assert item["type"] in types, item["key"]
                assert item["examples"], item["key"]

    @pytest.mark.parametrize("signal", SIGNALS, ids=lambda signal: signal.name)
    def test_references(self, signal: model.Signal) -> None:
        """A signal names each attribute once."""
        keys = [reference.key for reference in signal.attributes]
        assert len(keys) == len(set(keys))

    def test_requirement_levels(self) -> None:
        """A reference says how much the attribute is needed, in the format's words."""
        for kind in ("events", "metrics", "metric_refinements", "spans", "span_refinements"):
            for item in DOCUMENT[kind]:
                for reference in item.get("attributes", []):
                    level = reference["requirement_level"]
                    word = next(iter(level)) if isinstance(level, dict) else level
                    assert word in LEVELS

    @pytest.mark.parametrize("metric", REGISTRY.metrics, ids=lambda metric: metric.name)
    def test_metric(self, metric: model.MetricDefinition) -> None:
        """A metric has an instrument, a unit of UCUM, and boundaries if it is a histogram."""
        assert metric.instrument in INSTRUMENTS
        assert re.fullmatch(r"s|By|1|\{[a-z_]+\}", metric.unit)
        boundaries = metric.hints.get("boundaries", [])
        assert bool(boundaries) == (metric.instrument == "histogram")
        assert boundaries == sorted(set(boundaries))

    @pytest.mark.parametrize(
        "broken",
        [
            ("ref: charter.job.id,", "ref: charter.job.identity,"),
            ("key: charter.job.id\n", "key: charter.job.never_used\n"),
        ],
    )
    def test_loose_ends(self, broken: tuple[str, str], tmp_path: Path) -> None:
        """A reference without a definition, or a definition without a reference, is an error."""
        path = tmp_path / "charter.yaml"
        path.write_text(model.REGISTRY.read_text(encoding="utf-8").replace(*broken))
        with pytest.raises(ValueError, match=r"charter\.yaml .*charter\.job"):
            model.load(path)


class TestContract:
    """The contract's rules for names."""

    @pytest.mark.parametrize("event", REGISTRY.events, ids=lambda event: event.name)
    def test_event_covers_its_payload(self, event: model.Signal) -> None:
        """Every payload field of the specification's example has an attribute, and no other."""
        example = EXAMPLES[event.name]["payload"]
        fields = {
            f"{name}.{inner}" if isinstance(value, dict) else name
            for name, value in example.items()
            for inner in (value if isinstance(value, dict) else [""])
        }
        assert {reference.field for reference in event.attributes if reference.field} == fields

    def test_robot_id_is_on_five_metrics_only(self) -> None:
        """No id is a metric attribute, but on the four gauges and on `charter.robot.online`."""
        ids = {"charter.robot.id", "charter.connection.id", "charter.event.id"}
        with_id = {m.name for m in REGISTRY.metrics if ids & {r.key for r in m.attributes}}
        assert with_id == {
            "charter.robot.online",
            "charter.robot.cpu.utilization",
            "charter.robot.memory.utilization",
            "charter.robot.battery.charge",
            "charter.robot.network.latency",
        }

    def test_metrics_are_in_base_units(self) -> None:
        """Durations are in seconds, and what is a share is 0 to 1."""
        for metric in REGISTRY.metrics:
            if "duration" in metric.name or "time" in metric.name:
                assert metric.unit == "s", metric.name
            if metric.name.endswith(("utilization", "charge")):
                assert metric.unit == "1", metric.name

    def test_counters_carry_no_suffix(self) -> None:
        """No `_total`, no plural of our own: Prometheus adds what it needs."""
        assert not any(metric.name.endswith("total") for metric in REGISTRY.metrics)

    def test_close_reasons_are_the_payload_s(self) -> None:
        """The attribute's members are the enumeration's."""
        members = REGISTRY.attributes["charter.connection.close_reason"].members
        closed = [member.value for member in members if not member.metric_only]
        assert closed == list(CloseReason)


def test_every_metric_has_an_instrument_or_is_observed() -> None:
    """Each metric that is recorded as things happen has its instrument, once."""
    made: list[str] = []

    class Meter:
        def __getattr__(self, _: str) -> Any:
            return lambda name, *_, **__: made.append(name)

    meter: Any = Meter()
    Instruments(meter)
    assert sorted(made) == sorted(m.name for m in semconv.METRICS if not m.observable)


def test_generated_files_lie_in_the_package() -> None:
    """Generated files are installed with the package, so that nobody needs the registry."""
    assert all(path.is_relative_to(PACKAGE) for path in OUTPUTS)
