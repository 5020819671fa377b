"""Tallies: counters in dictionaries, told by observable instruments."""

import json
from collections.abc import Callable
from typing import Any

import pytest
from opentelemetry.metrics import Meter
from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.metrics.export import InMemoryMetricReader

from charter_otel.otel.sdk.tallies import SCOPES, Tally, TallyingMeterProvider


def count(meter: Meter) -> None:
    """Count up, count up and down, under several attribute sets; ask for one counter twice."""
    counter = meter.create_counter("a.counter", "{event}", "Events.")
    counter.add(1)
    counter.add(2, {"kind": "x", "late": False})
    meter.create_counter(name="a.counter", description="Events.", unit="{event}").add(
        0.5, {"late": False, "kind": "x"}
    )
    live = meter.create_up_down_counter("a.gauge", "{span}", "Spans.")
    live.add(3, {"kind": "x"})
    live.add(-2, {"kind": "x"})
    live.add(-1, {"kind": "y"})


def told(provider: Callable[..., MeterProvider], scope: str, collections: int = 1) -> Any:
    """Return the metrics of a provider after the counts, as JSON without the times."""
    reader = InMemoryMetricReader()
    meters = provider([reader], shutdown_on_exit=False)
    for _ in range(collections):
        count(meters.get_meter(scope))
        data = reader.get_metrics_data()
    assert data is not None
    scopes = json.loads(data.to_json())["resource_metrics"][0]["scope_metrics"]
    metrics = [m for s in scopes for m in s["metrics"] if m["name"].startswith("a.")]
    for metric in metrics:
        for point in metric["data"]["data_points"]:
            del point["start_time_unix_nano"], point["time_unix_nano"]
    return sorted(metrics, key=lambda metric: str(metric["name"]))


@pytest.mark.parametrize("collections", [1, 3])
@pytest.mark.parametrize("scope", sorted(SCOPES))
def test_tallies_are_told_as_the_sdk_s_counters_are(scope: str, collections: int) -> None:
    """Name, unit, description, kind, attributes in their order, and values are the same."""
    ours = told(TallyingMeterProvider, scope, collections)
    assert ours == told(MeterProvider, scope, collections)
    assert len(ours) == 2


def test_counters_of_other_scopes_are_the_sdk_s() -> None:
    """A program's own may have any number of attribute sets, which the SDK bounds."""
    meters = TallyingMeterProvider(shutdown_on_exit=False)
    assert not isinstance(meters.get_meter("a program").create_counter("a"), Tally)
    assert isinstance(meters.get_meter("charter_otel").create_counter("a"), Tally)
