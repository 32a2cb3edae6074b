"""Templates from files of users: what they may use, and how large and how long rendering may get.

jinja2's sandbox keeps a template from the process's objects, not from its memory and time: one ``ljust`` takes
gigabytes. Here a template has a list of filters and methods, every operation that makes a text or a list longer is
bounded, and rendering ends after two seconds.
"""

import json
import sys
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from functools import lru_cache
from types import FrameType
from typing import Any

from jinja2 import StrictUndefined, nodes
from jinja2.exceptions import SecurityError
from jinja2.runtime import Context
from jinja2.sandbox import ImmutableSandboxedEnvironment
from jinja2.visitor import NodeTransformer

#: Characters of a text, entries of a list, factors of a product.
LARGEST = 1_000_000
_SECONDS = 2.0
_ROUNDS = 1_000
_FILTERS = frozenset(
    "abs capitalize count d default dictsort e escape first float groupby int items last length list lower map max min "
    "reject rejectattr reverse round safe select selectattr sort string striptags title trim truncate unique upper "
    "wordcount".split()
)
_METHODS: dict[type, frozenset[str]] = {
    str: frozenset(
        "capitalize casefold count endswith find isalpha isdigit isupper islower lower lstrip partition removeprefix "
        "removesuffix rfind rpartition rsplit rstrip split splitlines startswith strip title upper".split()
    ),
    list: frozenset({"count", "index"}),
    tuple: frozenset({"count", "index"}),
    dict: frozenset({"get", "items", "keys", "values"}),
}
#: Statements that keep what they render, or render themselves again.
_REFUSED = (nodes.AssignBlock, nodes.CallBlock, nodes.FilterBlock, nodes.Macro, nodes.Include, nodes.Import)
_MORE_REFUSED = (nodes.FromImport, nodes.Extends, nodes.Block)


class _Limited(ImmutableSandboxedEnvironment):
    """The sandbox of files of users."""

    intercepted_binops = frozenset({"+", "*", "**", "%"})

    def call_binop(self, context: Context, operator: str, left: Any, right: Any) -> Any:
        """Return the result of numbers below a million, or a sum of texts or lists that stays below it."""
        numbers = all(isinstance(n, int | float) and abs(n) < LARGEST for n in (left, right))
        if operator == "+" and not numbers:
            if not (type(left) is type(right) and isinstance(left, str | list | tuple)):
                raise SecurityError("a prompt may add numbers, two texts or two lists")
            _check_size(len(left) + len(right))
        elif not numbers or operator == "**":
            raise SecurityError(f"a prompt may multiply numbers below {LARGEST:,} only")
        return super().call_binop(context, operator, left, right)

    def wrap_str_format(self, value: Any) -> None:
        """Leave ``str.format`` to ``is_safe_attribute``, which refuses it: a format may ask for any width."""

    def is_safe_attribute(self, obj: Any, attr: str, value: Any) -> bool:
        """Return whether a method is one of those that make nothing longer."""
        if not super().is_safe_attribute(obj, attr, value):
            return False
        allowed = next((names for kind, names in _METHODS.items() if isinstance(obj, kind)), None)
        return allowed is None or not callable(value) or attr in allowed


class _Sums(NodeTransformer):
    """Refuses statements, and writes ``a ~ b`` as a sum of texts, which is bounded."""

    def visit_Concat(self, node: nodes.Concat) -> nodes.Node:  # noqa: N802 - jinja2's name
        texts = [nodes.Filter(self.visit(part), "string", [], [], None, None) for part in node.nodes]
        total: nodes.Expr = texts[0]
        for text in texts[1:]:
            total = nodes.Add(total, text)
        return total.set_lineno(node.lineno)

    def visit_For(self, node: nodes.For) -> nodes.Node:  # noqa: N802
        if node.recursive:
            raise SecurityError("a prompt has no recursive loops")
        return self.generic_visit(node)

    def visit(self, node: nodes.Node, *args: Any, **more: Any) -> Any:
        if isinstance(node, (*_REFUSED, *_MORE_REFUSED)):
            raise SecurityError(f"a prompt has no {type(node).__name__.lower()} statements")
        return super().visit(node, *args, **more)


@lru_cache(maxsize=1)
def _environment() -> _Limited:
    environment = _Limited(
        undefined=StrictUndefined,
        autoescape=False,  # plain text, not HTML
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters = {name: value for name, value in environment.filters.items() if name in _FILTERS}
    environment.filters |= {"join": _join, "replace": _replace, "tojson": _to_json}
    kept = {"namespace": environment.globals["namespace"], "range": _range}
    environment.globals = kept
    return environment


def render_limited(source: str, **values: object) -> str:
    """Fill a template given as text.

    Raises:
        jinja2.TemplateError: it is no template, a value is missing, it reaches out of the sandbox or over its limits.
    """
    environment = _environment()
    tree = _Sums().visit(environment.parse(source))
    code = environment.compile(tree)
    template = environment.template_class.from_code(environment, code, environment.make_globals(None))
    pieces: list[str] = []
    size = 0
    with _deadline():
        for piece in template.generate(**values):
            size += len(piece)
            _check_size(size)
            pieces.append(piece)
    return "".join(pieces).strip()


@contextmanager
def _deadline() -> Iterator[None]:
    """End the block after its time, also in loops that write nothing: at every line of code, time is looked at."""
    end = time.monotonic() + _SECONDS

    def watch(frame: FrameType, event: str, argument: object) -> Callable[..., Any]:
        if time.monotonic() > end:
            raise SecurityError(f"a prompt may take {_SECONDS:g} seconds")
        return watch

    before = sys.gettrace()
    sys.settrace(watch)
    try:
        yield
    finally:
        sys.settrace(before)


def _check_size(size: int) -> None:
    if size > LARGEST:
        raise SecurityError(f"a prompt may make {LARGEST:,} characters or entries")


def _range(*bounds: int) -> range:
    found = range(*bounds)
    if len(found) > _ROUNDS:
        raise SecurityError(f"a prompt may count to {_ROUNDS:,}")
    return found


def _join(values: Iterable[Any], separator: str = "", attribute: str | None = None) -> str:
    texts = [str(value[attribute] if attribute is not None else value) for value in values]
    _check_size(sum(map(len, texts)) + len(separator) * len(texts))
    return str(separator).join(texts)


def _replace(text: object, old: str, new: str) -> str:
    before = str(text)
    _check_size(len(before) + before.count(old) * len(new))
    return before.replace(old, new)


def _to_json(value: object) -> str:
    return json.dumps(value, ensure_ascii=False)
