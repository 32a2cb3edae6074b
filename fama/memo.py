"""Remembering what was computed from the objects of a state, without comparing what they hold."""

from collections import OrderedDict
from collections.abc import Callable
from functools import wraps
from typing import Any, ParamSpec, TypeVar

P = ParamSpec("P")
T = TypeVar("T")


def by_identity(maxsize: int) -> Callable[[Callable[P, T]], Callable[P, T]]:
    """Keep the last ``maxsize`` results of a pure function of immutable objects, told apart by ``is``.

    Strings are told apart by value. An ``lru_cache`` hashes and compares a whole history at every call, which costs
    more than most helpers. Arguments are kept as long as their result, so that no identity is used twice. For
    positional arguments.
    """

    def decorate(function: Callable[P, T]) -> Callable[P, T]:
        kept: OrderedDict[tuple[Any, ...], tuple[tuple[Any, ...], T]] = OrderedDict()

        @wraps(function)
        def remembered(*args: P.args, **kwargs: P.kwargs) -> T:
            key = tuple(arg if isinstance(arg, str) else id(arg) for arg in args)
            if key in kept:
                kept.move_to_end(key)
                return kept[key][1]
            result = function(*args, **kwargs)
            kept[key] = (args, result)
            if len(kept) > maxsize:
                kept.popitem(last=False)
            return result

        return remembered

    return decorate
