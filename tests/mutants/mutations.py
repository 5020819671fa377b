"""Small faults, each in one place of a module."""

import ast
from collections import Counter
from collections.abc import Iterator
from typing import NamedTuple

_COMPARISONS: dict[type[ast.cmpop], type[ast.cmpop]] = {
    ast.Lt: ast.LtE,
    ast.LtE: ast.Lt,
    ast.Gt: ast.GtE,
    ast.GtE: ast.Gt,
    ast.Eq: ast.NotEq,
    ast.NotEq: ast.Eq,
    ast.Is: ast.IsNot,
    ast.IsNot: ast.Is,
    ast.In: ast.NotIn,
    ast.NotIn: ast.In,
}
_ARITHMETIC: dict[type[ast.operator], type[ast.operator]] = {
    ast.Add: ast.Sub,
    ast.Sub: ast.Add,
    ast.Mult: ast.Div,
    ast.Div: ast.Mult,
}


class Mutant(NamedTuple):
    """A fault that a module can have."""

    line: int
    where: str
    """The function that has it, `Class.function`; "" for what runs when the module is imported."""
    kind: str
    before: str
    after: str
    number: int
    """Which of the module's faults it is."""
    again: int = 1
    """Which of those that would have the same name it is."""

    @property
    def name(self) -> str:
        """The fault in words that do not change with the line's number."""
        again = f" ({self.again})" if self.again > 1 else ""
        return f"{self.where or '(module)'}, {self.kind}: {self.before} -> {self.after}{again}"


class _Place(NamedTuple):
    """A node that runs."""

    node: ast.AST
    parent: ast.AST
    field: str
    at: int | None
    where: str
    statement: ast.AST

    def put(self, node: ast.AST) -> None:
        """Replace the node."""
        if self.at is None:
            setattr(self.parent, self.field, node)
        else:
            getattr(self.parent, self.field)[self.at] = node


def mutants(source: str) -> list[Mutant]:
    """Return each small fault that a module can have, docstrings and annotations left alone."""
    found = []
    names: Counter[str] = Counter()
    for number, (place, kind, changed) in enumerate(_all(ast.parse(source))):
        line: int = place.node.lineno  # type: ignore[attr-defined]
        before, after = _short(place.node, place.statement), _short(changed)
        mutant = Mutant(line, place.where, kind, before, after, number)
        names[mutant.name] += 1
        found.append(mutant._replace(again=names[mutant.name]))
    return found


def mutated(source: str, mutant: Mutant) -> tuple[ast.Module, str]:
    """Return the module with that fault: its syntax tree, and its text."""
    tree = ast.parse(source)
    for number, (place, _, changed) in enumerate(_all(tree)):
        if number == mutant.number:
            place.put(ast.copy_location(changed, place.node))
            ast.fix_missing_locations(tree)
            return tree, ast.unparse(tree)
    raise LookupError(f"no fault {mutant.name}")


def _all(tree: ast.Module) -> Iterator[tuple[_Place, str, ast.AST]]:
    places = list(_code(tree, "", tree))
    for place in places:
        for kind, changed in _faults(place.node):
            yield place, kind, changed


def _code(tree: ast.AST, where: str, statement: ast.AST) -> Iterator[_Place]:
    """Yield the nodes that run: no annotation, no docstring, no import."""
    for field, value in ast.iter_fields(tree):
        if field in {"annotation", "returns", "decorator_list", "type_params"}:
            continue
        listed = isinstance(value, list)
        for index, child in enumerate(value if listed else [value]):
            if not isinstance(child, ast.AST) or isinstance(child, ast.Import | ast.ImportFrom):
                continue
            if isinstance(child, ast.Expr) and isinstance(child.value, ast.Constant):
                continue
            inside, of = where, statement
            if isinstance(child, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
                inside = f"{where}.{child.name}".removeprefix(".")
            if isinstance(child, ast.stmt):
                of = child
            if isinstance(child, ast.expr | ast.stmt):
                yield _Place(child, tree, field, index if listed else None, inside, of)
            yield from _code(child, inside, of)


def _faults(node: ast.AST) -> Iterator[tuple[str, ast.AST]]:  # noqa: C901, PLR0912 - a list of kinds
    match node:
        case ast.Compare(ops=[op], left=left, comparators=comparators) if type(op) in _COMPARISONS:
            yield "comparison", ast.Compare(left, [_COMPARISONS[type(op)]()], comparators)
        case ast.BoolOp(op=ast.And(), values=values):
            yield "and/or", ast.BoolOp(ast.Or(), values)
        case ast.BoolOp(op=ast.Or(), values=values):
            yield "and/or", ast.BoolOp(ast.And(), values)
        case ast.UnaryOp(op=ast.Not(), operand=operand):
            yield "not", operand
        case ast.BinOp(op=op, left=left, right=right) if type(op) in _ARITHMETIC:
            if not _is_text(left) and not _is_text(right):
                yield "arithmetic", ast.BinOp(left, _ARITHMETIC[type(op)](), right)
        case ast.Constant(value=bool(value)):
            yield "constant", ast.Constant(not value)
        case ast.Constant(value=int(value)):
            yield "constant", ast.Constant(value + 1)
        case ast.Constant(value=float(value)):
            yield "constant", ast.Constant(value * 2 + 1)
        case ast.Raise():
            yield "raise dropped", ast.Pass()
        case ast.Expr(value=ast.Call() | ast.Await()):
            yield "call dropped", ast.Pass()
        case ast.AugAssign(target=target, value=value, op=ast.Add()):
            yield "augmented", ast.AugAssign(target, ast.Sub(), value)
        case ast.Return(value=ast.expr() as value) if not isinstance(value, ast.Constant):
            yield "return None", ast.Return(ast.Constant(None))
        case ast.If(body=body, orelse=orelse):
            yield "condition true", ast.If(ast.Constant(True), body, orelse)
            yield "condition false", ast.If(ast.Constant(False), body, orelse)


def _is_text(node: ast.AST) -> bool:
    constant = isinstance(node, ast.Constant) and isinstance(node.value, str | bytes)
    return constant or isinstance(node, ast.JoinedStr)


def _short(node: ast.AST, statement: ast.AST | None = None) -> str:
    """Return a node's text; a constant's with the first line of its statement."""
    text = " ".join(ast.unparse(ast.fix_missing_locations(node)).splitlines()[0].split())[:80]
    if isinstance(node, ast.Constant) and statement is not None:
        return f"{text} in {_short(statement)}"
    return text
