"""Holds what was exported against the registry, in both directions.

One direction gives findings: a name, kind, unit, attribute or value that the registry does not
declare, or a required attribute that is missing. The other one gives what is declared and was not
seen, so that a test of the whole service can demand that there is nothing::

    report = check(spans=spans_of_otlp(receiver.traces), records=…, series=…)
    assert report.findings == []
    assert report.unseen() == []
"""

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any, TypeVar

from charter_otel.registry import model
from support.registry.observed import Record, Series, Span

SignalT = TypeVar("SignalT", bound=model.Signal)

_OVERFLOW = {"otel.metric.overflow": True}
_MAY_BE_ABSENT = "charter.event.correlation_id"
_TYPES: dict[str, tuple[type, ...]] = {"string": (str,), "int": (int,), "double": (float, int)}


class Report:
    """The findings of a check.

    Args:
        registry: What was checked against.
    """

    def __init__(self, registry: model.Registry) -> None:
        self.registry = registry
        self.findings: list[str] = []
        """Violations of the registry: readable texts, none twice."""
        self.events: set[str] = set()
        """Events seen as log records."""
        self.span_events: set[str] = set()
        """Events seen on spans."""
        self.metrics: set[str] = set()
        """Metrics seen with at least one series."""
        self.spans: set[str] = set()
        """Types of the spans seen."""
        self.attributes: set[tuple[str, str]] = set()
        """Pairs of a signal's name and an attribute's key that were seen together."""

    def unseen(self) -> list[str]:
        """Return the events, metrics and spans that are declared and were not seen."""
        kinds: tuple[tuple[str, Sequence[model.Signal], set[str]], ...] = (
            ("event", self.registry.events, self.events),
            ("event on a span", self.registry.events, self.span_events),
            ("metric", self.registry.metrics, self.metrics),
            ("span", self.registry.spans, self.spans),
        )
        return [
            f"{k} {s.name}" for k, signals, seen in kinds for s in signals if s.name not in seen
        ]

    def unseen_attributes(self) -> list[str]:
        """Return the attributes that are declared for a signal and were not seen on it."""
        return [
            f"{signal.name}: {reference.key}"
            for signal in (*self.registry.events, *self.registry.metrics, *self.registry.spans)
            for reference in signal.attributes
            if (signal.name, reference.key) not in self.attributes
        ]

    def add(self, findings: Iterable[str]) -> None:
        """Record findings, each text once."""
        self.findings += [f for f in dict.fromkeys(findings) if f not in self.findings]

    def saw(self, signal: model.Signal, keys: Iterable[str]) -> None:
        """Record the attributes that a signal had."""
        self.attributes.update((signal.name, _declared(self.registry, key)) for key in keys)


def check(
    registry: model.Registry | None = None,
    *,
    spans: Iterable[Span] = (),
    records: Iterable[Record] = (),
    series: Iterable[Series] = (),
) -> Report:
    """Hold what was exported against the registry.

    Args:
        registry: The registry; this project's, unless given.
        spans: Spans of our scope.
        records: Log records of our scope.
        series: Metrics of our scope.
    """
    report = Report(registry or model.load())
    for span in spans:
        _check_span(report, span)
    for record in records:
        _check_record(report, record)
    for metric in series:
        _check_metric(report, metric)
    return report


def _check_record(report: Report, record: Record) -> None:
    _check_event(report, record, "event", report.events)
    if record.body is not None:
        report.add([f"event {record.name}: has a body, which belongs to display strings"])


def _check_event(report: Report, record: Record, kind: str, seen: set[str]) -> None:
    event = _by_name(report.registry.events, record.name)
    if event is None:
        report.add([f"{kind} {record.name!r} is not declared"])
        return
    seen.add(event.name)
    report.saw(event, record.attributes)
    references = (*_envelope(report.registry), *event.attributes)
    report.add(_attributes(report.registry, f"{kind} {event.name}", references, record.attributes))


def _envelope(registry: model.Registry) -> Iterator[model.Reference]:
    for key in registry.attributes:
        if key.startswith("charter.event."):
            yield model.Reference(key, key != _MAY_BE_ABSENT, None, None)


def _check_metric(report: Report, series: Series) -> None:
    metric = _by_name(report.registry.metrics, series.name)
    if metric is None:
        report.add([f"metric {series.name} is not declared"])
        return
    report.metrics.update([metric.name] if series.points else [])
    report.add(_kind_of_metric(metric, series))
    for point in series.points:
        if point != _OVERFLOW:
            report.saw(metric, point)
            name = f"metric {metric.name}"
            report.add(_attributes(report.registry, name, metric.attributes, point))


def _kind_of_metric(metric: model.MetricDefinition, series: Series) -> Iterator[str]:
    boundaries = tuple(metric.hints.get("boundaries", ()))
    for what, declared, exported in (
        ("instrument", metric.instrument, series.instrument),
        ("unit", metric.unit, series.unit),
        ("boundaries", boundaries, series.boundaries),
    ):
        if declared != exported:
            yield f"metric {metric.name}: {what} is {exported!r}, declared as {declared!r}"


def _check_span(report: Report, span: Span) -> None:
    declared = [s for s in report.registry.spans if _fits(s, span)]
    if not declared:
        report.add([f"span {span.name!r} of kind {span.kind} is not declared"])
        return
    # Two spans may share their form of name; the attributes tell which one it is.
    findings, best = min(
        ((list(_attributes_of(report, candidate, span)), candidate) for candidate in declared),
        key=lambda pair: len(pair[0]),
    )
    report.spans.add(best.name)
    report.saw(best, span.attributes)
    report.add(findings)
    for event in span.events:
        _check_event(report, event, "span event", report.span_events)


def _attributes_of(report: Report, declared: model.Span, span: Span) -> Iterator[str]:
    name = f"span {declared.name}"
    return _attributes(report.registry, name, declared.attributes, span.attributes)


def _fits(declared: model.Span, span: Span) -> bool:
    """Return whether kind and name are the declared ones, with the attributes put into the name."""

    def value(match: re.Match[str]) -> str:
        text = str(span.attributes.get(match[1], ""))
        return "HTTP" if text == "_OTHER" else text  # as the conventions for HTTP spans say

    name = re.sub(r"\{([^}]+)\}", value, declared.span_name).strip()
    return (declared.kind, name) == (span.kind, span.name)


def _attributes(
    registry: model.Registry,
    name: str,
    references: Iterable[model.Reference],
    attributes: Mapping[str, Any],
) -> Iterator[str]:
    declared = {reference.key: reference for reference in references}
    for key in declared.keys() - attributes.keys():
        if declared[key].required:
            yield f"{name}: required attribute {key} is missing"
    for key, value in attributes.items():
        template = _declared(registry, key)
        if template not in declared:
            yield f"{name}: attribute {key} is not declared"
        else:
            yield from _value(name, registry.attributes[template], value)


def _declared(registry: model.Registry, key: str) -> str:
    """Return the key as it is declared: a template's keys have a name at their end."""
    template = registry.attributes.get(key.rpartition(".")[0])
    return template.key if template and (template.type or "").startswith("template") else key


def _value(name: str, attribute: model.Attribute, value: Any) -> Iterator[str]:
    members = {member.value for member in attribute.members}
    types = _TYPES.get(attribute.type or "")
    if types and (not isinstance(value, types) or isinstance(value, bool)):
        yield f"{name}: {attribute.key} is {value!r}, declared as {attribute.type}"
    elif members and value not in members:
        yield f"{name}: {attribute.key} is {value!r}, which is none of {sorted(members)}"


def _by_name(signals: Iterable[SignalT], name: str) -> SignalT | None:
    return next((signal for signal in signals if signal.name == name), None)
