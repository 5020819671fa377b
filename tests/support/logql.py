"""LogQL over the records that the Collector sends to Loki, for tests that cannot count on Loki.

It evaluates what the queries of the dashboards and rules use, and refuses the rest.
https://grafana.com/docs/loki/latest/query/
"""

import re
from collections.abc import Callable, Iterable
from typing import NamedTuple

from opentelemetry.proto.collector.logs.v1.logs_service_pb2 import ExportLogsServiceRequest
from opentelemetry.proto.common.v1.common_pb2 import KeyValue

from collector.harness import plain
from collector.standin import Request
from dashboards.promql import label, seconds

Labels = frozenset[tuple[str, str]]
Vector = dict[Labels, float]
_NO_LABELS: Labels = frozenset()


class Record(NamedTuple):
    """A log record as Loki keeps it."""

    time: float
    """Unix seconds."""
    fields: dict[str, str]
    """Labels of the stream and structured metadata."""


def stored(requests: Iterable[Request]) -> list[Record]:
    """Return the records that were sent, with the names that Loki gives their attributes."""
    return [
        Record(
            record.time_unix_nano / 1e9,
            {**of_resource, **_fields(record.attributes), "trace_id": record.trace_id.hex()},
        )
        for request in list(requests)
        if isinstance(request.message, ExportLogsServiceRequest)
        for resource in request.message.resource_logs
        for of_resource in [_fields(resource.resource.attributes)]
        for scope in resource.scope_logs
        for record in scope.log_records
    ]


def records(query: str, among: Iterable[Record], since: float, until: float) -> list[Record]:
    """Return the records that a query without numbers selects."""
    parser = _Parser(query)
    selects, _ = parser.selection()
    parser.end()
    return [r for r in among if since < r.time <= until and selects(r.fields)]


def vector(query: str, among: Iterable[Record], at: float) -> Vector:
    """Return what a query for numbers yields at a time, by labels."""
    parser = _Parser(query)
    evaluate = parser.binary()
    parser.end()
    return evaluate([record for record in among if record.time <= at], at)


def _fields(attributes: Iterable[KeyValue]) -> dict[str, str]:
    return {label(name): str(value) for name, value in plain(attributes).items()}


Evaluate = Callable[[list[Record], float], Vector]
Selects = Callable[[dict[str, str]], bool]
_TOKEN = re.compile(r"""\s*("(?:[^"\\]|\\.)*"|`[^`]*`|\d+\w*|\w+|=~|!~|!=|[^\s\w])""")
_COMPARE: dict[str, Callable[[str, str], bool]] = {
    "=": lambda value, wanted: value == wanted,
    "!=": lambda value, wanted: value != wanted,
    "=~": lambda value, pattern: bool(re.fullmatch(pattern, value)),
    "!~": lambda value, pattern: not re.fullmatch(pattern, value),
}
_OVER_TIME: dict[str, Callable[[list[float]], float]] = {
    "count_over_time": len,
    "sum_over_time": sum,
    "max_over_time": max,
}


class _Parser:
    """A reader of one query, which yields functions that evaluate it.

    Raises:
        ValueError: The query has something that no query of the project has.
    """

    def __init__(self, query: str) -> None:
        self._tokens: list[str] = _TOKEN.findall(query.strip())
        self._at = 0

    def end(self) -> None:
        """Make sure that nothing is left."""
        if self._at < len(self._tokens):
            raise ValueError(f"unknown: {' '.join(self._tokens[self._at :])}")

    def selection(self) -> tuple[Selects, str]:
        """Read a selector and its filters, and what is unwrapped, if anything."""
        self._take("{")
        tests = [self._comparison()]
        while self._taken(","):
            tests.append(self._comparison())
        self._take("}")
        unwrapped = ""
        while self._taken("|"):
            if self._taken("unwrap"):
                unwrapped = self._next()
            elif self._taken("line_format"):
                self._next()
            else:
                tests.append(self._comparison())
        return lambda fields: all(test(fields) for test in tests), unwrapped

    def binary(self) -> Evaluate:
        """Read numbers, or a fraction or comparison of them, or those that stand in for none."""
        left = self._numbers()
        if self._taken("/"):
            right = self._numbers()
            return lambda among, at: _divided(left(among, at), right(among, at))
        if self._taken("or"):
            other = self._numbers()
            return lambda among, at: {**other(among, at), **left(among, at)}
        if self._taken(">"):
            least = float(self._next())
            return lambda among, at: {k: v for k, v in left(among, at).items() if v > least}
        return left

    def _numbers(self) -> Evaluate:
        name = self._next()
        if name == "vector":
            self._take("(")
            value = float(self._next())
            self._take(")")
            return lambda _among, _at: {_NO_LABELS: value}
        if name in _OVER_TIME:
            return self._over_time(_OVER_TIME[name])
        by = self._by() or ()
        self._take("(")
        if name == "topk":
            self._take("1")
            self._take(",")
            inner = self.binary()
            self._take(")")
            return lambda among, at: _greatest(inner(among, at), by)
        if name != "sum":
            raise ValueError(f"unknown: {name}")
        inner = self.binary()
        self._take(")")
        return lambda among, at: _grouped(inner(among, at).items(), by, sum)

    def _over_time(self, function: Callable[[list[float]], float]) -> Evaluate:
        self._take("(")
        selects, unwrapped = self.selection()
        self._take("[")
        window = seconds(self._next())
        self._take("]")
        self._take(")")
        by = self._by()

        def evaluate(among: list[Record], at: float) -> Vector:
            found = (r.fields for r in among if r.time > at - window and selects(r.fields))
            values = (
                (
                    frozenset(fields.items() - {(unwrapped, fields.get(unwrapped))}),
                    float(fields[unwrapped]) if unwrapped else 1.0,
                )
                for fields in found
                if not unwrapped or unwrapped in fields
            )
            return _grouped(values, by, function)

        return evaluate

    def _by(self) -> tuple[str, ...] | None:
        if not self._taken("by"):
            return None
        self._take("(")
        names = [self._next()]
        while self._taken(","):
            names.append(self._next())
        self._take(")")
        return tuple(names)

    def _comparison(self) -> Selects:
        name, operator, text = self._next(), self._next(), self._next()
        compare, wanted = _COMPARE[operator], text[1:-1]
        # A label that is not there is an empty one.
        return lambda fields: compare(fields.get(name, ""), wanted)

    def _next(self) -> str:
        if self._at == len(self._tokens):
            raise ValueError("the query ends too early")
        self._at += 1
        return self._tokens[self._at - 1]

    def _taken(self, token: str) -> bool:
        if self._tokens[self._at : self._at + 1] == [token]:
            self._at += 1
            return True
        return False

    def _take(self, token: str) -> None:
        if self._next() != token:
            raise ValueError(f"{self._tokens[self._at - 1]} instead of {token}")


def _only(labels: Labels, names: Iterable[str]) -> Labels:
    return frozenset((name, value) for name, value in labels if name in names)


def _grouped(
    values: Iterable[tuple[Labels, float]],
    by: tuple[str, ...] | None,
    function: Callable[[list[float]], float],
) -> Vector:
    groups: dict[Labels, list[float]] = {}
    for labels, value in values:
        groups.setdefault(labels if by is None else _only(labels, by), []).append(value)
    return {labels: float(function(found)) for labels, found in groups.items()}


def _greatest(values: Vector, by: tuple[str, ...]) -> Vector:
    best: dict[Labels, Labels] = {}
    for labels, value in values.items():
        group = _only(labels, by)
        if group not in best or value > values[best[group]]:
            best[group] = labels
    return {labels: values[labels] for labels in best.values()}


def _divided(left: Vector, right: Vector) -> Vector:
    return {labels: left[labels] / right[labels] for labels in left.keys() & right.keys()}
