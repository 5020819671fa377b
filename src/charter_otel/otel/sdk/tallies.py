"""Counters that are kept in dictionaries and told by observable instruments.

A measurement costs the SDK 5 µs: an object, the clock, views, exemplars, hashed attributes. A robot
that comes and goes causes ten of them, two thirds of them the SDK's about its own work. An addition
in a dictionary costs a tenth. Names, attributes and values stay the same.
"""

import threading
from collections.abc import Callable, Mapping
from typing import Any, TypeVar

from opentelemetry.context import Context
from opentelemetry.metrics import CallbackOptions, Counter, Meter, Observation, UpDownCounter
from opentelemetry.sdk.metrics import Meter as SdkMeter
from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.util.types import Attributes

from charter_otel.otel.instrumentation import SCOPE

SCOPES = frozenset({SCOPE, "opentelemetry-sdk"})
"""Scopes whose counters have few attribute sets, all of them from closed lists."""

_NONE: frozenset[Any] = frozenset()

AnyTally = TypeVar("AnyTally", bound="Tally")


class Tally:
    """Sums by attributes."""

    def __init__(self, name: str, unit: str = "", description: str = "") -> None:
        del name, unit, description  # the observable instrument's
        self._sums: dict[frozenset[Any], float] = {}
        self._attributes: dict[frozenset[Any], Mapping[str, Any]] = {}
        # Reentrant: a finalizer that ends a span may run while its thread holds the lock.
        self._lock = threading.RLock()

    def add(
        self, amount: float, attributes: Attributes = None, context: Context | None = None
    ) -> None:
        """Add to the sum of the attributes."""
        del context  # only an exemplar would need it
        key = frozenset(attributes.items()) if attributes else _NONE
        with self._lock:
            if key not in self._sums:
                self._attributes[key] = dict(attributes or {})
            self._sums[key] = self._sums.get(key, 0) + amount

    def observe(self, _: CallbackOptions) -> list[Observation]:
        """Return all sums."""
        with self._lock:
            sums = list(self._sums.items())
            return [Observation(sum_, self._attributes[key]) for key, sum_ in sums]


class TallyCounter(Tally, Counter):
    """A counter whose sums only grow."""


class TallyUpDownCounter(Tally, UpDownCounter):
    """A counter whose sums may fall."""


class TallyingMeterProvider(MeterProvider):
    """The SDK's provider; counters of `SCOPES` are tallies."""

    def get_meter(
        self,
        name: str,
        version: str | None = None,
        schema_url: str | None = None,
        attributes: Attributes = None,
    ) -> Meter:
        """Return the meter of a scope."""
        meter = super().get_meter(name, version, schema_url, attributes)
        if name in SCOPES and isinstance(meter, SdkMeter) and "create_counter" not in vars(meter):
            meter.create_counter = _factory(TallyCounter, meter.create_observable_counter)  # type: ignore[method-assign]
            meter.create_up_down_counter = _factory(  # type: ignore[method-assign]
                TallyUpDownCounter, meter.create_observable_up_down_counter
            )
        return meter


def _factory(
    kind: type[AnyTally], create_observable: Callable[..., object]
) -> Callable[..., AnyTally]:
    """Return what makes a meter's counters of a kind, each of them once."""
    made: dict[str, AnyTally] = {}

    def create(name: str, unit: str = "", description: str = "") -> AnyTally:
        tally = made.get(name)
        if tally is None:
            tally = made[name] = kind(name, unit, description)
            create_observable(name, [tally.observe], unit, description)
        return tally

    return create
