"""The data of a domain, loaded once: worlds share them, copy what they read and hash what they changed."""

from collections.abc import Callable, ItemsView, Iterator, ValuesView
from hashlib import sha256
from typing import Any

_CONTAINERS = (dict, list)


class SharedDict(dict[Any, Any]):
    """A dict that starts with another one's items; dicts and lists among the values are copied when they are read.

    So whatever its reader changes, the ``source`` stays as it is. Nested dicts are copied level by level, lists whole.
    """

    __slots__ = ("source",)

    def __init__(self, source: dict[Any, Any]) -> None:
        super().__init__(source)
        self.source = source

    def __getitem__(self, key: Any) -> Any:
        """Return a value of this dict's own."""
        value = super().__getitem__(key)
        if value.__class__ in _CONTAINERS and value is self.source.get(key):
            value = SharedDict(value) if value.__class__ is dict else _copied(value)
            super().__setitem__(key, value)
        return value

    def __iter__(self) -> Iterator[Any]:
        """Return the keys. Defined so that ``dict(this)`` and ``{**this}`` read values as everybody does."""
        return super().__iter__()

    def get(self, key: Any, default: Any = None) -> Any:
        """Return a value, or the default."""
        return self[key] if key in self else default

    def values(self) -> ValuesView[Any]:  # type: ignore[override]
        """Return a view that copies as it is read."""
        return ValuesView(self)

    def items(self) -> ItemsView[Any, Any]:  # type: ignore[override]
        """Return a view that copies as it is read."""
        return ItemsView(self)

    def pop(self, key: Any, *default: Any) -> Any:
        """Remove a key; return its value, or the default."""
        if key in self:
            value = self[key]
            del self[key]
            return value
        return super().pop(key, *default)

    def popitem(self) -> tuple[Any, Any]:
        """Remove the last item and return it."""
        if not self:
            return super().popitem()
        key = next(reversed(self))
        return key, self.pop(key)

    def setdefault(self, key: Any, default: Any = None) -> Any:
        """Return a value; set the default where there is none."""
        if key not in self:
            self[key] = default
        return self[key]

    def copy(self) -> dict[Any, Any]:
        """Return a plain dict of this one's values."""
        return dict(self)

    def __or__(self, other: Any) -> Any:
        """Return a plain dict of both."""
        return dict(self) | other

    def __ror__(self, other: Any) -> Any:
        """Return a plain dict of both."""
        return other | dict(self)

    def __reduce_ex__(self, protocol: Any) -> tuple[Any, ...]:
        """Copy and pickle as a plain dict."""
        return dict, (dict(self),)

    def touched(self) -> dict[Any, Any]:
        """Return the items that are new, or were changed or read so that they could have been."""
        source = self.source
        return {key: value for key, value in super().items() if key not in source or value is not source[key]}


class Snapshot:
    """The data of a domain as its loader gives them.

    ``to_hashable`` is the benchmark's function of that name, which brings data into a form that does not depend on the
    order of keys.
    """

    def __init__(self, load: Callable[[], dict[str, Any]], to_hashable: Callable[[Any], Any]) -> None:
        self._data = load()
        self._to_hashable = to_hashable
        self._texts: dict[int, str] = {}

    def load(self) -> SharedDict:
        """Return the data anew, as if they were read from their files."""
        return SharedDict(self._data)

    def whole_hash(self) -> str:
        """Return the benchmark's hash of the unchanged data: SHA-256 of their hashable form's text."""
        return _sha256(self._text(self._data))

    def changes_hash(self, data: dict[str, Any]) -> str:
        """Return a hash of what is not as it was loaded, equal for two worlds exactly where the benchmark's hashes are.

        It is found without a look at what nobody read.
        """
        return _sha256(repr(sorted(self._changes(data, self._data, ()))))

    def _changes(
        self, data: dict[Any, Any], source: dict[Any, Any], path: tuple[str, ...]
    ) -> Iterator[tuple[tuple[str, ...], str]]:
        """Yield the place and the text of each value that is not the source's, empty for one that is gone."""
        for key in source.keys() - data.keys():
            yield (*path, repr(key)), ""
        read = data.touched() if isinstance(data, SharedDict) and data.source is source else data
        for key, value in read.items():
            place, was = (*path, repr(key)), source.get(key)
            if value and was and isinstance(value, dict) and isinstance(was, dict):
                yield from self._changes(value, was, place)
                continue
            text = self._text(value)
            if key not in source or text != self._kept_text(was):
                yield place, text

    def _text(self, value: Any) -> str:
        return repr(self._to_hashable(value))

    def _kept_text(self, part: Any) -> str:
        """Return the text of a part of the data, which live as long as this and so keep their ids."""
        if part.__class__ not in _CONTAINERS:
            return self._text(part)
        if id(part) not in self._texts:
            self._texts[id(part)] = self._text(part)
        return self._texts[id(part)]


def _sha256(text: str) -> str:
    return sha256(text.encode("utf-8")).hexdigest()


def _copied(value: Any) -> Any:
    """Return a copy of what JSON can hold."""
    if isinstance(value, dict):
        return {key: _copied(inner) for key, inner in value.items()}
    return [_copied(inner) for inner in value] if isinstance(value, list) else value
