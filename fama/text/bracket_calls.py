"""Calls in ACEBench's notation, ``[name(argument=value), ...]``: read without evaluating anything, and written."""

import ast
import json
from collections.abc import Sequence
from typing import Any

BracketCall = tuple[str, dict[str, Any]]


def read_calls(text: str) -> tuple[BracketCall, ...]:
    """Return the calls of a text that is nothing but calls; none if it is anything else. No code is run.

    Arguments without a name (``*``, ``**``) are anything else.
    """
    try:
        body = ast.parse(text.strip(), mode="eval").body
        calls = body.elts if isinstance(body, ast.List) else [body]
        return tuple((_name(call), {k.arg: _value(k.value) for k in call.keywords}) for call in calls)  # type: ignore[attr-defined]
    except (SyntaxError, ValueError, AttributeError, RecursionError, MemoryError):
        return ()


def is_expression(text: str) -> bool:
    """Return whether a text is nothing but an expression of Python."""
    try:
        ast.parse(text.removeprefix("python").strip(), mode="eval")
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        return False
    return True


def write_calls(calls: Sequence[BracketCall]) -> str:
    """Return the notation of calls; values are written as Python literals.

    Raises:
        ValueError: a name or an argument's name is no identifier, so that it could be read as something else.
    """
    written = []
    for name, arguments in calls:
        words = [*name.split("."), *arguments]
        if not all(word.isidentifier() for word in words):
            raise ValueError(f"{name}: not a name of a function and its arguments")
        written.append(f"{name}({', '.join(f'{key}={value!r}' for key, value in arguments.items())})")
    return f"[{', '.join(written)}]"


def _name(call: ast.expr) -> str:
    if not isinstance(call, ast.Call) or call.args or not isinstance(call.func, ast.Name | ast.Attribute):
        raise ValueError("not a call with named arguments")
    if not all(keyword.arg for keyword in call.keywords):
        raise ValueError("not a call with named arguments")
    return ast.unparse(call.func)


def _value(node: ast.expr) -> Any:
    try:
        value = ast.literal_eval(node)
        json.dumps(value, allow_nan=False)
    except (ValueError, TypeError):
        return ast.unparse(node)  # a bare word, or something computed: as it was written
    return value
