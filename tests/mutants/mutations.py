"""Small faults, each in one place of a module."""

import ast
import copy
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
    """A module with one fault."""

    line: int
    kind: str
    before: str
    after: str
    source: str

    @property
    def name(self) -> str:
        """The fault in words that do not change with the line's number."""
        return f"{self.kind}: {self.before} -> {self.after}"


def mutants(source: str) -> Iterator[Mutant]:
    """Yield each small fault that a module can have, docstrings and annotations left alone."""
    tree = ast.parse(source)
    for index, node in enumerate(_code(tree)):
        for kind, changed in _faults(node):
            mutated = copy.deepcopy(tree)
            target = list(_code(mutated))[index]
            replacement = _Replace(target, changed)
            replacement.visit(mutated)
            yield Mutant(
                node.lineno,
                kind,
                _short(node),
                _short(changed),
                ast.unparse(ast.fix_missing_locations(mutated)),
            )


def _code(tree: ast.AST) -> Iterator[ast.expr | ast.stmt]:
    """Yield the nodes that run: no annotation, no docstring, no import."""
    for name, value in ast.iter_fields(tree):
        if name in {"annotation", "returns", "decorator_list", "type_params"}:
            continue
        for child in value if isinstance(value, list) else [value]:
            if not isinstance(child, ast.AST) or isinstance(child, ast.Import | ast.ImportFrom):
                continue
            if isinstance(child, ast.Expr) and isinstance(child.value, ast.Constant):
                continue
            if isinstance(child, ast.expr | ast.stmt):
                yield child
            yield from _code(child)


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
        case ast.If(test=test, body=body, orelse=orelse):
            yield "condition true", ast.If(ast.Constant(True), body, orelse)
            yield "condition false", ast.If(ast.Constant(False), body, orelse)
            del test


def _is_text(node: ast.AST) -> bool:
    constant = isinstance(node, ast.Constant) and isinstance(node.value, str | bytes)
    return constant or isinstance(node, ast.JoinedStr)


def _short(node: ast.AST) -> str:
    text = ast.unparse(ast.fix_missing_locations(copy.deepcopy(node)))
    return " ".join(text.splitlines()[0].split())[:80]


class _Replace(ast.NodeTransformer):
    """Puts another node into the place of one."""

    def __init__(self, target: ast.AST, changed: ast.AST) -> None:
        self._target = target
        self._changed = changed

    def visit(self, node: ast.AST) -> ast.AST:
        """Replace the target, and leave everything else as it is."""
        if node is self._target:
            return ast.copy_location(copy.deepcopy(self._changed), node)
        visited: ast.AST = super().generic_visit(node)
        return visited
