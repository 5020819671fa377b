"""Workarounds for the OpenTelemetry SDK, each with its reason and the condition to drop it.

`tests/otel/sdk/test_workarounds.py` fails for each that the installed SDK no longer needs.
"""

from collections.abc import Callable
from functools import cached_property
from typing import Any, Self

from opentelemetry._logs import LogRecord
from opentelemetry.metrics import Meter, NoOpMeter
from opentelemetry.sdk.metrics import Exemplar, ExemplarReservoir, MeterProvider
from opentelemetry.sdk.resources import Resource
from opentelemetry.util.types import Attributes


class HashedResource(Resource):
    """A resource that computes its hash once.

    Workaround: exporters group by resource, and the SDK makes JSON of all attributes for each
    span and record, see https://github.com/open-telemetry/opentelemetry-python/issues/5576.
    Drop it when ``Resource.__hash__`` keeps what it computed; 1.45 does not.
    """

    @cached_property
    def _hash(self) -> int:
        return super().__hash__()

    def __hash__(self) -> int:
        return self._hash


class UnreadMeterProvider(MeterProvider):
    """A provider whose instruments ignore every value: no reader will ever collect one.

    Workaround: without a reader the SDK still makes a measurement of each value, for no one to
    collect. Drop it when instruments of a provider without readers are not enabled; 1.45 has no
    ``enabled``, see
    https://opentelemetry.io/docs/specs/otel/metrics/sdk/#instrument-enabled.
    """

    def get_meter(
        self,
        name: str,
        version: str | None = None,
        schema_url: str | None = None,
        attributes: Attributes = None,
    ) -> Meter:
        """Return a meter that measures nothing."""
        del attributes
        return NoOpMeter(name, version, schema_url)


class NoExemplars(ExemplarReservoir):
    """A reservoir that keeps nothing.

    Workaround: panels show exemplars of histograms only, and choosing one for a counter costs as
    much as counting, see https://github.com/open-telemetry/opentelemetry-specification/issues/3952
    and https://github.com/open-telemetry/opentelemetry-python/issues/4243. Drop it when the SDK
    has such a reservoir, or keeps no exemplars of sums by default; 1.45 has none.
    """

    def offer(self, *_: object) -> None:
        """Keep nothing."""

    def collect(self, _: Attributes) -> list[Exemplar]:
        """Return nothing."""
        return []


def forget_series(instrument: object) -> None:
    """Let an observable instrument forget the attribute sets of former collections.

    Workaround: the SDK keeps each set that it was ever told of, and counts it against the limit.
    Beyond that it folds all further ones into one series without their attributes. Drop it when
    asynchronous instruments release idle sets, too. 1.45 does so for synchronous ones only, see
    https://github.com/open-telemetry/opentelemetry-python/blob/v1.45.0/opentelemetry-sdk/src/opentelemetry/sdk/metrics/_internal/metric_reader_storage.py.
    """
    consumer: Any = getattr(instrument, "_measurement_consumer", None)
    storages = vars(consumer)["_reader_storages"].values() if consumer else ()
    for storage in storages:
        for match in vars(storage)["_instrument_view_instrument_matches"].get(instrument, ()):
            vars(match)["_attributes_aggregation"].clear()


def no_exemplars(_: object) -> Callable[..., ExemplarReservoir]:
    """Return the factory of the reservoir, as a view asks for it."""
    return NoExemplars


class EventRecord(LogRecord):
    """A log record that is copied in a third of the time.

    Workaround: the SDK copies each record with `copy.copy`, which uses ``__reduce_ex__`` if a
    class has no ``__copy__``. Drop it when `LogRecord` has one; 1.45 has none, see
    https://github.com/open-telemetry/opentelemetry-python/blob/v1.45.0/opentelemetry-sdk/src/opentelemetry/sdk/_logs/_internal/__init__.py.
    """

    def __copy__(self) -> Self:
        copied = object.__new__(type(self))
        copied.__dict__.update(self.__dict__)
        return copied
