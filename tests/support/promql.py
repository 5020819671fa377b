"""Walks over the syntax tree of a PromQL query."""

from collections.abc import Iterator
from typing import TypeVar

from promql_parser import (
    AggregateExpr,
    BinaryExpr,
    Call,
    Expr,
    MatrixSelector,
    ParenExpr,
    SubqueryExpr,
    UnaryExpr,
    VectorSelector,
    parse,
)

_E = TypeVar("_E", bound=Expr)

__all__ = ["children", "nodes", "parse", "within"]


def children(node: Expr) -> list[Expr]:
    """Return the expressions right below one."""
    match node:
        case BinaryExpr():
            return [node.lhs, node.rhs]
        case Call():
            return list(node.args)
        case AggregateExpr():
            return [node.expr, *([node.param] if node.param is not None else [])]
        case MatrixSelector():
            return [node.vector_selector]
        case ParenExpr() | SubqueryExpr() | UnaryExpr():
            return [node.expr]
    return []


def within(node: Expr, above: tuple[Expr, ...] = ()) -> Iterator[tuple[Expr, tuple[Expr, ...]]]:
    """Yield every expression of a tree with those above it, outermost first."""
    yield node, above
    for child in children(node):
        yield from within(child, (*above, node))


def nodes(query: str, kind: type[_E]) -> list[_E]:
    """Return the parts of a query that are of a kind, e.g. its selectors.

    Raises:
        ValueError: The query is not valid PromQL.
    """
    return [node for node, _ in within(parse(query)) if isinstance(node, kind)]


def named_selectors(query: str) -> list[tuple[str, VectorSelector]]:
    """Return a query's selectors with the metric that each selects."""
    found = []
    for selector in nodes(query, VectorSelector):
        matchers = {item.name: item.value for item in selector.matchers.matchers}
        names = selector.name or matchers["__name__"]
        found += [(name, selector) for name in names.split("|")]
    return found
