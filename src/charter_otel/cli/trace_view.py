"""A trace as a tree at a terminal."""

from collections.abc import Mapping, Sequence
from typing import Any

from rich.console import Console
from rich.text import Text
from rich.tree import Tree

from charter_otel.cli.formatting import duration
from charter_otel.otel import semconv
from charter_otel.otel.lines.values import printable

Span = Mapping[str, Any]

_SHOWN = (
    semconv.CHARTER_ROBOT_ID,
    semconv.CHARTER_JOB_ID,
    semconv.CHARTER_CONNECTION_CLOSE_REASON,
    semconv.MESSAGING_CONSUMER_GROUP_NAME,
    semconv.ERROR_TYPE,
)
"""Attributes that identify a span's subject; the others are in `--format json`."""


def show(trace: Mapping[str, Any], console: Console | None = None) -> None:
    """Print a trace.

    Args:
        trace: The answer of `GET /api/traces/{trace_id}`.
        console: The console to print to; stdout unless given.
    """
    (console or Console(highlight=False)).print(tree(trace))


def tree(trace: Mapping[str, Any]) -> Tree:
    """Return the tree: children below their parents, linking spans below their targets."""
    spans: Sequence[Span] = trace["spans"]
    begun = min(span["started_at"] for span in spans)
    ended = max(span["started_at"] + span["duration_ms"] / 1000 for span in spans)
    many = "1 span" if len(spans) == 1 else f"{len(spans)} spans"
    head = Text.assemble(
        ("trace ", "dim"), (trace["trace_id"], "bold"), f"  {many}, {duration(ended - begun)}"
    )
    root = Tree(head, guide_style="dim")
    below = _below(spans)
    _grow(root, None, below, begun)
    return root


def _below(spans: Sequence[Span]) -> dict[str | None, list[Span]]:
    known = {span["span_id"] for span in spans}
    below: dict[str | None, list[Span]] = {}
    for span in spans:
        above = (
            id_
            for id_ in (span["parent_span_id"], *span["links"])
            if id_ in known and id_ != span["span_id"]
        )
        below.setdefault(next(above, None), []).append(span)
    return below


def _grow(
    branch: Tree, span_id: str | None, below: dict[str | None, list[Span]], begun: float
) -> None:
    # Popped, so that a cycle of links ends.
    for span in below.pop(span_id, ()):
        grown = branch.add(_line(span, begun))
        for event in span["events"]:
            grown.add(_event(event, span["started_at"]))
        _grow(grown, span["span_id"], below, begun)


def _line(span: Span, begun: float) -> Text:
    failed = span["status"] == "error"
    line = Text.assemble(
        (printable(span["name"]), "bold red" if failed else "bold"),
        f"  {duration(span['duration_ms'] / 1000)}",
        (f"  at +{duration(span['started_at'] - begun)}", "dim"),
    )
    values = [str(span["attributes"][name]) for name in _SHOWN if name in span["attributes"]]
    line.append(f"  {printable(' '.join(values))}" if values else "", "cyan")
    if failed and span["error"]:
        line.append(f"  {printable(span['error'])}", "red")
    return line


def _event(event: Mapping[str, Any], begun: float) -> Text:
    return Text.assemble(
        ("\u25c6 ", "dim"),
        printable(event["name"]),
        (f"  +{duration(event['at'] - begun)}", "dim"),
    )
