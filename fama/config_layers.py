"""A tree of settings merged from several layers, which remembers the layer that each value came from."""

from collections.abc import Mapping, Sequence
from typing import Any

Keys = tuple[int | str, ...]


class ConfigLayers:
    """The merged tree; later layers win.

    Groups of keys are merged key by key. Everything else is replaced as a whole, lists too.
    """

    def __init__(self) -> None:
        self.tree: dict[str, Any] = {}
        self._sources: dict[Keys, str] = {}

    def add(self, layer: Mapping[str, Any], source: str) -> None:
        """Merge a layer over the tree; ``source`` is its name in messages."""
        self._merge(self.tree, layer, source, ())

    def put(self, keys: Sequence[str], value: Any, source: str) -> None:
        """Replace the value at ``keys``, and make the groups that lead there.

        Raises:
            KeyError: a key on the way holds a single value.
        """
        node = self.tree
        for key in keys[:-1]:
            node = node.setdefault(key, {})
            if not isinstance(node, dict):
                raise KeyError(key)
        self._forget(tuple(keys))
        node[keys[-1]] = value
        self._sources[tuple(keys)] = source

    def sources(self, keys: Keys) -> list[str]:
        """Return the layers behind the value at ``keys``; where there is none, those of the nearest group around it."""
        for length in range(len(keys), -1, -1):
            prefix = keys[:length]
            behind = [source for path, source in self._sources.items() if path[:length] == prefix]
            if behind:
                return list(dict.fromkeys(behind))
        return []

    def _merge(self, tree: dict[str, Any], layer: Mapping[str, Any], source: str, parents: Keys) -> None:
        for key, value in layer.items():
            keys = (*parents, key)
            before = tree.get(key)
            if isinstance(value, dict) and value:
                if not isinstance(before, dict):
                    self._replace(tree, key, {}, keys)
                self._merge(tree[key], value, source, keys)
            elif not (isinstance(before, dict) and isinstance(value, dict)):
                self._replace(tree, key, {} if value == {} else value, keys)  # a YAML alias is no shared group
                self._sources[keys] = source

    def _replace(self, tree: dict[str, Any], key: str, value: Any, keys: Keys) -> None:
        if key in tree:
            self._forget(keys)
        tree[key] = value

    def _forget(self, keys: Keys) -> None:
        for path in [path for path in self._sources if path[: len(keys)] == keys]:
            del self._sources[path]
