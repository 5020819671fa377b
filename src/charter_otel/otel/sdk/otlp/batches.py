"""The request of a batch, whose items are grouped by resource and scope as the SDK groups them."""

from collections.abc import Callable, Sequence
from typing import Any

from charter_otel.otel.sdk.otlp.wire import UNUSUAL, Parts, delimited


class Encoded:
    """A request that is bytes already, in place of the SDK's protobuf message."""

    def __init__(self, data: bytes) -> None:
        self._data = data

    def SerializeToString(self) -> bytes:  # noqa: N802 - the name in protobuf
        """Return the bytes."""
        return self._data

    SerializePartialToString = SerializeToString


class _Scope:
    """The items of one scope, between what the SDK writes before and after them."""

    def __init__(self, message: Any, signal: str) -> None:
        self.parts: Parts = [
            delimited(b"\x0a", message.scope.SerializePartialToString()),
            delimited(b"\x12", getattr(message, signal)[0].SerializePartialToString()),
        ]
        schema = message.schema_url.encode()
        self._end = delimited(b"\x1a", schema) if schema else b""

    def bytes(self) -> bytes:
        return b"".join((*self.parts, self._end))


class _Resource:
    """The scopes of one resource."""

    def __init__(self, message: Any) -> None:
        self.scopes: dict[Any, _Scope] = {}
        self._start = delimited(b"\x0a", message.resource.SerializePartialToString())
        schema = message.schema_url.encode()
        self._end = delimited(b"\x1a", schema) if schema else b""

    def bytes(self) -> bytes:
        scopes = (delimited(b"\x12", scope.bytes()) for scope in self.scopes.values())
        return b"".join((self._start, *scopes, self._end))


class Encoder:
    """Writes a batch; the first item of each scope, and unusual ones, by the SDK's encoder.

    Args:
        signal: The signal's name in the fields of the protocol: ``spans`` or ``log_records``.
        resources: The field with the resources of a request.
        by_sdk: The SDK's own encoder.
        by_hand: Writes one item.
    """

    def __init__(
        self,
        signal: str,
        resources: str,
        by_sdk: Callable[[Sequence[Any]], Any],
        by_hand: Callable[[Any], bytes],
    ) -> None:
        self._signal = signal
        self._resources = resources
        self._scopes = f"scope_{resources.removeprefix('resource_')}"
        self._by_sdk = by_sdk
        self._by_hand = by_hand

    def __call__(self, batch: Sequence[Any]) -> Encoded:
        """Return the request of a batch.

        Raises:
            Exception: The SDK's encoder refused an item.
        """
        resources: dict[Any, _Resource] = {}
        seen: dict[tuple[int, int], _Scope] = {}
        for item in batch:
            place = (id(item.resource), id(item.instrumentation_scope))
            scope = seen.get(place) or self._find(resources, item)
            if scope is None:
                seen[place] = self._begin(resources, item)
                continue
            seen[place] = scope
            scope.parts.append(delimited(b"\x12", self._encode(item)))
        return Encoded(b"".join(delimited(b"\x0a", each.bytes()) for each in resources.values()))

    def _find(self, resources: dict[Any, _Resource], item: Any) -> _Scope | None:
        resource = resources.get(item.resource)
        return resource.scopes.get(item.instrumentation_scope) if resource else None

    def _begin(self, resources: dict[Any, _Resource], item: Any) -> _Scope:
        message = self._sole_resource(item)
        resource = resources.get(item.resource)
        if resource is None:
            resource = resources[item.resource] = _Resource(message)
        scope = _Scope(getattr(message, self._scopes)[0], self._signal)
        resource.scopes[item.instrumentation_scope] = scope
        return scope

    def _encode(self, item: Any) -> bytes:
        try:
            return self._by_hand(item)
        except UNUSUAL:
            scope = getattr(self._sole_resource(item), self._scopes)[0]
            written: bytes = getattr(scope, self._signal)[0].SerializePartialToString()
            return written

    def _sole_resource(self, item: Any) -> Any:
        return getattr(self._by_sdk([item]), self._resources)[0]
