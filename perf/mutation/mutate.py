"""Mutants of a module: its syntax tree with one operator, constant, condition, return or statement changed."""

import ast
from collections.abc import Iterator
from dataclasses import dataclass

_Operators = dict[type[ast.AST], tuple[type[ast.AST], ...]]

#: Each comparison with its boundary moved and turned round.
_COMPARISONS: _Operators = {
    ast.Lt: (ast.LtE, ast.GtE),
    ast.LtE: (ast.Lt, ast.Gt),
    ast.Gt: (ast.GtE, ast.LtE),
    ast.GtE: (ast.Gt, ast.Lt),
    ast.Eq: (ast.NotEq,),
    ast.NotEq: (ast.Eq,),
    ast.Is: (ast.IsNot,),
    ast.IsNot: (ast.Is,),
    ast.In: (ast.NotIn,),
    ast.NotIn: (ast.In,),
}
_ARITHMETIC: _Operators = {
    ast.Add: (ast.Sub,),
    ast.Sub: (ast.Add,),
    ast.Mult: (ast.Div,),
    ast.Div: (ast.Mult,),
    ast.FloorDiv: (ast.Mult,),
    ast.Mod: (ast.Mult,),
    ast.Pow: (ast.Mult,),
    ast.BitAnd: (ast.BitOr,),
    ast.BitOr: (ast.BitAnd,),
    ast.BitXor: (ast.BitOr,),
    ast.RShift: (ast.LShift,),
    ast.LShift: (ast.RShift,),
}
_EXTREMES = {"min": "max", "max": "min"}


@dataclass(frozen=True)
class Mutant:
    """One changed place; ``name`` is unique in the module and does not depend on line numbers."""

    index: int
    name: str


def mutants_of(source: str) -> list[Mutant]:
    """Return every mutant of a module's source, in the order of its places."""
    walk = _Walk(None)
    walk.visit(ast.parse(source))
    return walk.seen


def mutated(source: str, index: int) -> ast.Module:
    """Return the syntax tree of the mutant with that index.

    Raises:
        IndexError: the module has fewer mutants.
    """
    walk = _Walk(index)
    tree = ast.parse(source)
    walk.visit(tree)
    if len(walk.seen) <= index:
        raise IndexError(f"mutant {index} of {len(walk.seen)}")
    return ast.fix_missing_locations(tree)


class _Walk(ast.NodeTransformer):
    """Counts the places that can change and changes the one with the wanted index."""

    def __init__(self, wanted: int | None) -> None:
        self.seen: list[Mutant] = []
        self._wanted = wanted
        self._scope: list[str] = []
        self._names: dict[str, int] = {}

    def visit(self, node: ast.AST) -> ast.AST:
        """Return the node, or what takes its place; types, decorators, docstrings and import-time guards stay."""
        if _is_guard(node) or _is_docstring(node):
            return node
        chosen = None
        for changed, text in _changes(node):
            if self._note(text):
                chosen = changed
        if chosen is not None:
            return ast.copy_location(chosen, node)
        scoped = isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef)
        if scoped:
            self._scope.append(node.name)  # type: ignore[attr-defined]
        for field, value in ast.iter_fields(node):
            if field not in ("annotation", "returns", "decorator_list", "bases"):
                setattr(node, field, self._inside(value))
        if scoped:
            self._scope.pop()
        return node

    def _inside(self, value: object) -> object:
        if isinstance(value, list):
            return [self.visit(item) if isinstance(item, ast.AST) else item for item in value]
        return self.visit(value) if isinstance(value, ast.AST) else value

    def _note(self, text: str) -> bool:
        """Add a mutant to what was seen; true for the wanted one."""
        name = f"{'.'.join(self._scope) or 'module'}: {text}"
        self._names[name] = count = self._names.get(name, 0) + 1
        index = len(self.seen)
        self.seen.append(Mutant(index, name if count == 1 else f"{name} ({count})"))
        return index == self._wanted


def _changes(node: ast.AST) -> Iterator[tuple[ast.AST, str]]:
    """Yield replacements of a node with a text; nodes below are shared, since a tree is changed once."""
    match node:
        case ast.Compare(left, ops, comparators):
            for place, operator in enumerate(ops):
                for other in _COMPARISONS[type(operator)]:
                    changed = [*ops[:place], other(), *ops[place + 1 :]]
                    yield _pair(node, ast.Compare(left, changed, comparators))  # type: ignore[arg-type]
        case ast.BinOp(left, operation, right) if type(operation) in _ARITHMETIC:
            for other in _ARITHMETIC[type(operation)]:
                yield _pair(node, ast.BinOp(left, other(), right))  # type: ignore[arg-type]
        case ast.AugAssign(target, operation, value):
            for other in _ARITHMETIC.get(type(operation), ()):
                yield _pair(node, ast.AugAssign(target, other(), value))  # type: ignore[arg-type]
            yield ast.Pass(), f"{_text(node)} → pass"
        case ast.BoolOp(operation, values):
            yield _pair(node, ast.BoolOp(ast.Or() if isinstance(operation, ast.And) else ast.And(), values))
        case ast.UnaryOp(ast.Not() | ast.USub() | ast.Invert(), operand):
            yield _pair(node, operand)
        case ast.Constant(bool() as flag):
            yield _pair(node, ast.Constant(not flag))
        case ast.Constant(int() as number):
            yield _pair(node, ast.Constant(number + 1))
        case ast.Constant(float() as number):
            yield _pair(node, ast.Constant(2 * number or 1.0))
        case ast.Name(name, ast.Load()) if name in _EXTREMES:
            yield _pair(node, ast.Name(_EXTREMES[name], ast.Load()))
        case ast.Return(value) if value is not None and not _is_none(value):
            yield _pair(node, ast.Return(ast.Constant(None)))
        case ast.Expr() | ast.Raise() | ast.Break() | ast.Continue():
            yield ast.Pass(), f"{_text(node)} → pass"
        case ast.Assign([ast.Attribute() | ast.Subscript()]):
            yield ast.Pass(), f"{_text(node)} → pass"
        case ast.If() | ast.While() | ast.IfExp() if _is_plain(node.test):
            changed_node = type(node)(**{**dict(ast.iter_fields(node)), "test": ast.UnaryOp(ast.Not(), node.test)})
            yield changed_node, f"if {_text(node.test)} → if not ({_text(node.test)})"
        case ast.comprehension(target, over, ifs, is_async) if ifs:
            yield ast.comprehension(target, over, [], is_async), f"for … if {_text(ifs[0])} → for …"


def _pair(old: ast.AST, new: ast.AST) -> tuple[ast.AST, str]:
    return new, f"{_text(old)} → {_text(new)}"


def _text(node: ast.AST) -> str:
    return ast.unparse(ast.fix_missing_locations(node)).splitlines()[0]


def _is_plain(test: ast.AST) -> bool:
    """Tell whether no other mutant turns the condition round."""
    return not isinstance(test, ast.Compare | ast.UnaryOp)


def _is_none(value: ast.AST) -> bool:
    return isinstance(value, ast.Constant) and value.value is None


def _is_docstring(node: ast.AST) -> bool:
    return isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant)


def _is_guard(node: ast.AST) -> bool:
    return isinstance(node, ast.If) and _text(node.test) in ("TYPE_CHECKING", "__name__ == '__main__'")
