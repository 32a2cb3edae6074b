"""Explicit registries: a dict of dotted paths a family, extended by entry points, loaded on use."""

import errno
import logging
import os
import sys
import traceback
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from functools import cache
from importlib import import_module
from importlib.metadata import EntryPoint, entry_points
from typing import Any, Generic, TypeVar

from fama.errors import BadInput, FamaError, missing_extra
from fama.redaction import shortened

T = TypeVar("T")
log = logging.getLogger(__name__)
#: Variable of the environment that has the traceback of a plug-in's error logged, too.
TRACEBACK = "FAMA_TRACEBACK"
#: Code that is no plug-in's: where a plug-in calls it wrongly, the plug-in raised.
_OWN = frozenset(("fama", "training", "eval"))
_PACKAGES = _OWN | sys.stdlib_module_names
_DISK = frozenset((errno.ENOSPC, errno.EDQUOT, errno.EIO))
#: Plug-ins in use, each as its family and name with the module of its code.
_IN_USE: dict[tuple[str, str], str] = {}


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
            _IN_USE[self.family, name] = getattr(target, "__module__", type(target).__module__)

    def remove(self, name: str) -> None:
        """Forget a name that was added at run time."""
        self._paths.pop(name, None)
        self._objects.pop(name, None)
        _IN_USE.pop((self.family, name), None)

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
                raise BadInput(f"unknown {self._one} {name!r}; known: {known}{self._elsewhere(name)}")
            module, _, attribute = self._paths[name].partition(":")
            if name not in self.builtin:
                _IN_USE[self.family, name] = module
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

    @property
    def _one(self) -> str:
        """Return in words what one of the family is called."""
        family = self.family.replace("_", " ")
        return f"{family[:-3]}y" if family.endswith("ies") else family.rstrip("s")

    def _elsewhere(self, name: str) -> str:
        """Return in words that an entry point of that name is in another group."""
        other = next((point.group for point in _entry_points() if point.name == name), None)
        return "" if other is None else f"; an entry point of that name is in the group {other}, not {self._group}"


@contextmanager
def plug_ins_named() -> Iterator[None]:
    """Turn an error in the code of a plug-in inside the block into one line that names the plug-in and the place.

    Raises:
        BadInput: the code of a plug-in raised, anything but an error of this package's own.
    """
    try:
        yield
    except FamaError:
        raise
    except Exception as error:
        if (fault := fault_of_plug_in(error)) is None:
            raise
        raise BadInput(fault) from error


def fault_of_plug_in(error: Exception) -> str | None:
    """Return in one line which plug-in raised, where and what; None where no code of one was under way.

    A disk that is full or broken, and a part of this package that is not installed, are no plug-in's faults.
    """
    if isinstance(error, OSError) and error.errno in _DISK:
        return None
    if isinstance(error, ModuleNotFoundError) and missing_extra(error, "") is not None:
        return None
    place = _place_in_plug_in(error)
    if place is None:
        return None
    if os.environ.get(TRACEBACK):
        log.error("%s", place, exc_info=error)
    words = "; ".join([f"{type(error).__name__}: {error}", *getattr(error, "__notes__", ())])
    more = f"fix it or leave it out; {TRACEBACK}=1 shows the traceback"
    return f"{place}: the plug-in failed ({shortened(words, 300)}); {more}"


def _place_in_plug_in(error: Exception) -> str | None:
    """Return in words the plug-in that raised, with file and line; None where no code of one was under way.

    Where code of this package raised that the plug-in called, its place is told, too: either may be at fault.
    Code of a package counts as that of its plug-ins, of several those in the very module.
    """
    beneath = ""
    for frame, line in reversed(list(traceback.walk_tb(error.__traceback__))):
        module = str(frame.f_globals.get("__name__", ""))
        package = module.partition(".")[0]
        own = {key for key, name in _IN_USE.items() if name == module}
        of_package = {key for key, name in _IN_USE.items() if name.partition(".")[0] == package}
        if package not in _PACKAGES and (found := own or of_package):
            names = ", ".join(f"{family}: {name!r}" for family, name in sorted(found))
            return f"{names} ({frame.f_code.co_filename}:{line}{beneath})"
        if package in _OWN and not beneath:
            beneath = f", in its call of {frame.f_code.co_filename}:{line}"
    return None


@cache
def _entry_points() -> tuple[EntryPoint, ...]:
    """Return the entry points of all families; the metadata of every installed distribution is read once."""
    found = entry_points()
    groups = sorted(group for group in found.groups if group.startswith("fama."))
    return tuple(point for group in groups for point in found.select(group=group))
