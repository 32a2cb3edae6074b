"""Caches of what was computed from a state: by the identity of its objects, or by the content of its messages."""

from collections import OrderedDict
from collections.abc import Callable, Hashable, Iterable, Sequence
from contextlib import suppress
from functools import wraps
from typing import Any, Generic, ParamSpec, TypeVar

P = ParamSpec("P")
T = TypeVar("T")
K = TypeVar("K", bound=Hashable)
V = TypeVar("V")


def by_identity(maxsize: int) -> Callable[[Callable[P, T]], Callable[P, T]]:
    """Keep the last ``maxsize`` results of a pure function of immutable objects, told apart by ``is``.

    Strings are told apart by value. An ``lru_cache`` hashes and compares a whole history at every call, which costs
    more than most helpers. Arguments are kept as long as their result, so that no identity is used twice. For
    positional arguments; threads may share the results.
    """

    def decorate(function: Callable[P, T]) -> Callable[P, T]:
        kept: OrderedDict[tuple[Any, ...], tuple[tuple[Any, ...], T]] = OrderedDict()

        @wraps(function)
        def remembered(*args: P.args, **kwargs: P.kwargs) -> T:
            key = tuple([arg if isinstance(arg, str) else id(arg) for arg in args])
            try:
                result = kept[key][1]
                kept.move_to_end(key)
            except KeyError:  # not there, or another thread has just dropped it
                result = function(*args, **kwargs)
                kept[key] = (args, result)
                if len(kept) > maxsize:
                    with suppress(KeyError):  # so that a second thread finds nothing left to drop
                        kept.popitem(last=False)
            return result

        return remembered

    return decorate


class RecentCache(Generic[K, V]):
    """Results by key, kept for the keys of recent requests.

    A request asks for many keys at once, such as every message of a state. Two generations hold the results: those
    used since the last rotation, and those used between the two rotations before. Once the newer one holds ``entries``
    keys after a request, it becomes the older one, and what stood there is dropped. So the next request finds
    everything that the last one used, even where that is more than ``entries``: a long state that grows by a message
    computes one result, where a cache that drops single entries would compute all of them. Each generation holds less
    than ``entries`` keys plus those of one request. With ``size``, the characters of a key, a generation also ends at
    ``characters``, so that long texts fill no memory.
    """

    def __init__(self, entries: int, size: Callable[[K], int] | None = None, characters: int = 2**22) -> None:
        self.entries = entries
        self._size, self._characters, self._held = size, characters, 0
        self._newer: dict[K, V] = {}
        self._older: dict[K, V] = {}

    def __len__(self) -> int:
        return len(self._newer.keys() | self._older.keys())

    def __contains__(self, key: K) -> bool:
        return key in self._newer or key in self._older

    def get_all(self, keys: Sequence[K], compute: Callable[[list[K]], Iterable[V]]) -> list[V]:
        """Return the result of every key.

        Args:
            keys: hashable; equal keys have equal results.
            compute: returns the results of distinct keys that are not known, in their order; never None.
        """
        newer, older = self._newer, self._older
        found = [newer.get(key) for key in keys]
        unknown: dict[K, list[int]] = {}
        for place in [place for place, value in enumerate(found) if value is None]:
            key = keys[place]
            value = older.get(key) if older else None
            if value is None:
                unknown.setdefault(key, []).append(place)
            else:
                if self._size is not None and key not in newer:
                    self._held += self._size(key)
                found[place] = newer[key] = value
        if unknown:
            for (key, places), value in zip(unknown.items(), compute(list(unknown)), strict=True):
                newer[key] = value
                if self._size is not None:
                    self._held += self._size(key)
                for place in places:
                    found[place] = value
        results = [value for value in found if value is not None]
        if len(newer) >= self.entries or self._held >= self._characters:
            self._older, self._newer, self._held = newer, {}, 0
        return results
