"""Nested data of tool outputs and arguments, and its scalars."""

import json
from collections.abc import Iterator
from functools import lru_cache
from typing import Any

#: Levels that helpers look into; deeper data is not read.
_LEVELS = 12


@lru_cache(maxsize=256)
def data_of(text: str | None) -> Any:
    """Return the JSON value of a tool's output, None for plain text. Shared: not to be changed."""
    stripped = (text or "").strip()
    if not stripped or stripped[0] not in "[{":
        return None
    try:
        return json.loads(stripped)
    except (ValueError, RecursionError):
        return None


def scalar_fields(value: Any, key: str = "", depth: int = 0) -> Iterator[tuple[str, Any]]:
    """Yield the (key, scalar) pairs of nested data; items of a list carry the list's key. Depth is bounded."""
    if depth > _LEVELS:
        return
    if isinstance(value, dict):
        for name, inner in value.items():
            yield from scalar_fields(inner, str(name), depth + 1)
    elif isinstance(value, list):
        for inner in value:
            yield from scalar_fields(inner, key, depth + 1)
    else:
        yield key, value


@lru_cache(maxsize=256)
def fields_of(text: str | None) -> tuple[tuple[str, Any], ...]:
    """Return the (key, scalar) pairs of a tool's output."""
    return tuple(scalar_fields(data_of(text)))


def scalar_paths(value: Any, path: str = "") -> Iterator[tuple[str, Any]]:
    """Yield the (path, scalar) pairs of arguments, to compare two calls value by value.

    Scalars of a list share the list's path, and JSON inside a text is read: models write arguments either way.
    """
    if isinstance(value, dict):
        for key, inner in value.items():
            yield from scalar_paths(inner, f"{path}.{key}" if path else str(key))
    elif isinstance(value, list):
        for index, inner in enumerate(value):
            yield from scalar_paths(inner, f"{path}[{index}]" if isinstance(inner, dict) else path)
    elif isinstance(value, str) and value[:1] in "[{" and value[-1:] in "]}":
        try:
            yield from scalar_paths(json.loads(value), path)
        except (ValueError, RecursionError):
            yield path, value
    else:
        yield path, value
