"""Hooks on recorded episodes: what is taken out, added or dropped before anything is written."""

import sys
from collections.abc import Callable
from importlib import import_module

from fama.episodes.records import Episode
from fama.errors import BadInput
from fama.registry import Registry

#: Gets an episode; returns what is to be kept of it, or None for nothing.
Hook = Callable[[Episode], Episode | None]

HOOKS: Registry[Hook] = Registry("record_hooks", {})


def load_hook(name: str, place: str = "record.hook") -> Hook:
    """Return the hook ``module:function``, or that of an entry point; modules of the current folder count, too.

    ``place`` is the setting that names it.

    Raises:
        BadInput: it cannot be loaded, or is no function.
    """
    module, colon, attribute = name.partition(":")
    if not colon:
        return HOOKS.load(name)
    if "" not in sys.path:  # an installed command does not look into the folder that it is called in
        sys.path.append("")
    try:
        found = getattr(import_module(module), attribute)
    except (ImportError, AttributeError, SyntaxError, ValueError) as error:
        raise BadInput(f"{place}: {name!r} cannot be loaded ({error}); give module:function") from error
    if not callable(found):
        raise BadInput(f"{place}: {name!r} is no function; give one that takes and returns an episode")
    hook: Hook = found
    return hook
