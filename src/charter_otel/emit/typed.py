"""`emit` as a type checker sees it: each of the six event types with its payload.

Generated from registry/charter.yaml by `make generate`; do not edit.
"""

from collections.abc import Coroutine, Mapping
from typing import Any, ClassVar, Literal, Protocol, TypeAlias, overload

from msgspec import UNSET, Struct, UnsetType

from charter_otel.charter import Event, EventType, payloads
from charter_otel.streams import EventStream

Stream: TypeAlias = EventStream | UnsetType | None
Six: TypeAlias = Literal[
    "metrics.aggregation_started",
    EventType.METRICS_AGGREGATION_STARTED,
    "metrics.aggregation_completed",
    EventType.METRICS_AGGREGATION_COMPLETED,
    "metrics.aggregation_failed",
    EventType.METRICS_AGGREGATION_FAILED,
    "telemetry.connection_established",
    EventType.TELEMETRY_CONNECTION_ESTABLISHED,
    "telemetry.connection_closed",
    EventType.TELEMETRY_CONNECTION_CLOSED,
    "telemetry.metrics_published",
    EventType.TELEMETRY_METRICS_PUBLISHED,
]


class Dataclass(Protocol):
    """An object of a dataclass."""

    __dataclass_fields__: ClassVar[dict[str, Any]]


class WrongPayload:
    """Stands in a type checker's message for a payload that does not fit the event type."""


class Emit(Protocol):
    """The type of `charter_otel.emit`."""

    @overload
    def __call__(  # type: ignore[overload-overlap]
        self,
        event: Literal["metrics.aggregation_started", EventType.METRICS_AGGREGATION_STARTED],
        payload: payloads.AggregationStarted | payloads.AggregationStartedFields,
        *,
        stream: Stream = UNSET,
    ) -> Event | None: ...

    @overload
    def __call__(  # type: ignore[overload-overlap]
        self,
        event: Literal["metrics.aggregation_completed", EventType.METRICS_AGGREGATION_COMPLETED],
        payload: payloads.AggregationCompleted | payloads.AggregationCompletedFields,
        *,
        stream: Stream = UNSET,
    ) -> Event | None: ...

    @overload
    def __call__(  # type: ignore[overload-overlap]
        self,
        event: Literal["metrics.aggregation_failed", EventType.METRICS_AGGREGATION_FAILED],
        payload: payloads.AggregationFailed | payloads.AggregationFailedFields,
        *,
        stream: Stream = UNSET,
    ) -> Event | None: ...

    @overload
    def __call__(  # type: ignore[overload-overlap]
        self,
        event: Literal[
            "telemetry.connection_established", EventType.TELEMETRY_CONNECTION_ESTABLISHED
        ],
        payload: payloads.ConnectionEstablished | payloads.ConnectionEstablishedFields,
        *,
        stream: Stream = UNSET,
    ) -> Event | None: ...

    @overload
    def __call__(  # type: ignore[overload-overlap]
        self,
        event: Literal["telemetry.connection_closed", EventType.TELEMETRY_CONNECTION_CLOSED],
        payload: payloads.ConnectionClosed | payloads.ConnectionClosedFields,
        *,
        stream: Stream = UNSET,
    ) -> Event | None: ...

    @overload
    def __call__(  # type: ignore[overload-overlap]
        self,
        event: Literal["telemetry.metrics_published", EventType.TELEMETRY_METRICS_PUBLISHED],
        payload: payloads.MetricsPublished | payloads.MetricsPublishedFields,
        *,
        stream: Stream = UNSET,
    ) -> Event | None: ...

    # A type checker has no way to say that a payload is wrong for one of the six and right for any
    # other text. It does complain of a coroutine that nobody awaits; there is none at run time.
    @overload
    def __call__(  # type: ignore[overload-overlap]
        self,
        event: Six,
        payload: Mapping[str, Any] | Struct | Dataclass | None = None,
        *,
        stream: Stream = UNSET,
    ) -> Coroutine[Any, Any, WrongPayload]: ...

    @overload
    def __call__(
        self,
        event: str,
        payload: Mapping[str, Any] | Struct | Dataclass,
        *,
        stream: Stream = UNSET,
    ) -> Event | None: ...

    @overload
    def __call__(self, event: Struct | Dataclass, *, stream: Stream = UNSET) -> Event | None: ...
