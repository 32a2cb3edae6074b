"""Explicit registries: a dict of dotted paths a family, extended by entry points, loaded on use."""

import logging
from collections.abc import Mapping
from functools import cache
from importlib import import_module
from importlib.metadata import EntryPoint, entry_points
from typing import Any, Generic, TypeVar

from fama.errors import BadInput, missing_extra

T = TypeVar("T")
log = logging.getLogger(__name__)


class Registry(Generic[T]):
    """Named plug-ins of one family, such as helpers or selectors.

    Values are ``"package.module:attribute"`` paths, imported only when asked for. Other
    distributions add names through the entry-point group ``fama.<family>``; one whose name is taken is left out, with
    a warning.
    """

    def __init__(self, family: str, builtin: Mapping[str, str]) -> None:
        self.family = family
        self.builtin = frozenset(builtin)
        self._paths = dict(builtin)
        self._objects: dict[str, T] = {}
        self._scanned = False

    def add(self, name: str, target: "str | T") -> None:
        """Register a dotted path or an object.

        Raises:
            BadInput: the name is taken.
        """
        if name in self._paths or name in self._objects:
            raise BadInput(
                f"{self.family}: the name {name!r} is registered twice; rename it or remove one registration"
            )
        if isinstance(target, str):
            self._paths[name] = target
        else:
            self._objects[name] = target

    def remove(self, name: str) -> None:
        """Forget a name that was added at run time."""
        self._paths.pop(name, None)
        self._objects.pop(name, None)

    def names(self) -> list[str]:
        """Return all known names, sorted."""
        self._scan()
        return sorted({*self._paths, *self._objects})

    def load(self, name: str) -> T:
        """Return the object behind a name.

        Raises:
            BadInput: the name is unknown (the message lists the known ones), or its module cannot be imported.
        """
        self._scan()
        if name not in self._objects:
            if name not in self._paths:
                known = ", ".join(self.names())
                raise BadInput(f"unknown {self.family.rstrip('s')} {name!r}; known: {known}{self._elsewhere(name)}")
            module, _, attribute = self._paths[name].partition(":")
            try:
                loaded: Any = getattr(import_module(module), attribute)
            except (ImportError, AttributeError, SyntaxError) as error:
                where = f"{self.family}: {name!r} ({self._paths[name]})"
                if isinstance(error, ImportError) and (missing := missing_extra(error, where)) is not None:
                    raise missing from error
                raise BadInput(f"{where} cannot be loaded ({error}); fix or uninstall its package") from error
            self._objects[name] = loaded
        return self._objects[name]

    def loadable(self) -> dict[str, T]:
        """Return all objects that can be loaded, by name; a broken plug-in is warned about and left out."""
        objects: dict[str, T] = {}
        for name in self.names():
            try:
                objects[name] = self.load(name)
            except BadInput as error:
                log.warning("%s", error)
        return objects

    def _scan(self) -> None:
        if self._scanned:
            return
        self._scanned = True
        for point in _entry_points():
            if point.group != self._group:
                continue
            taken = self._paths.setdefault(point.name, point.value)
            if taken != point.value or point.name in self._objects:
                log.warning(
                    "%s: the entry point %r (%s) has a taken name and is left out; rename it",
                    self.family,
                    point.name,
                    point.value,
                )

    @property
    def _group(self) -> str:
        return f"fama.{self.family}"

    def _elsewhere(self, name: str) -> str:
        """Return in words that an entry point of that name is in another group."""
        other = next((point.group for point in _entry_points() if point.name == name), None)
        return "" if other is None else f"; an entry point of that name is in the group {other}, not {self._group}"


@cache
def _entry_points() -> tuple[EntryPoint, ...]:
    """Return the entry points of all families; the metadata of every installed distribution is read once."""
    found = entry_points()
    groups = sorted(group for group in found.groups if group.startswith("fama."))
    return tuple(point for group in groups for point in found.select(group=group))
