"""Names of arms and categories in figures, shown as they are, in whatever script."""

import logging
import warnings
from collections.abc import Iterable, Iterator
from contextlib import AbstractContextManager, contextmanager, suppress
from functools import lru_cache
from typing import Any

log = logging.getLogger(__name__)

#: Settings of matplotlib with which a name with two dollar signs is no formula.
PLAIN: Any = {"text.parse_math": False}
#: The font that matplotlib brings along; what it lacks, such as Chinese and Hindi, is taken from installed ones.
_FONT = "DejaVu Sans"
#: A font of boxes with the block's name in place of signs.
_BOXES = "Last Resort"
#: Signs that a warning names.
_NAMED = 8


def plain_text(names: Iterable[str] = ()) -> AbstractContextManager[None]:
    """Return a context in which figures take these names as they are."""
    import matplotlib

    return matplotlib.rc_context({**PLAIN, **fonts_for(names)})


def fonts_for(names: Iterable[str]) -> Any:
    """Return settings of matplotlib with fonts that have the signs of these names; warn of signs that none has."""
    signs = frozenset(ord(sign) for name in names for sign in name if not sign.isspace())
    families, missing = _families(signs)
    if missing:
        told = " ".join(map(chr, sorted(missing)[:_NAMED]))
        log.warning(
            "figures: no installed font has %s%s, boxes stand in their place in PNG and PDF; install a font of that "
            "script (such as Noto Sans), or give labels in other letters",
            told,
            " …" if len(missing) > _NAMED else "",
        )
    return {"font.family": [_FONT, *families]} if families else {}


@lru_cache(maxsize=8)
def _families(signs: frozenset[int]) -> tuple[tuple[str, ...], frozenset[int]]:
    """Return the installed fonts that have what matplotlib's own lacks, upright ones first, and what none has."""
    from matplotlib.font_manager import FontEntry, findfont, fontManager, get_font

    missing = signs - get_font(findfont(_FONT)).get_charmap().keys()
    families: list[str] = []

    def order(font: FontEntry) -> tuple[bool, bool, bool, str]:
        return (font.style != "normal", font.weight != 400, "Sans" not in font.name, font.name)

    for font in sorted(fontManager.ttflist, key=order):
        if not missing:
            break
        if font.name.startswith(_BOXES) or font.name in families:
            continue
        found: frozenset[int] = frozenset()
        with suppress(OSError, RuntimeError):  # matplotlib's list of fonts outlives them
            found = missing & get_font(font.fname).get_charmap().keys()
        if found:
            families.append(font.name)
            missing -= found
    return tuple(families), missing


@contextmanager
def without_glyph_warnings() -> Iterator[None]:
    """Keep matplotlib from telling every sign that no font has at every drawing of it."""
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message=r"Glyph .* missing from font")
        yield


def legend_text(name: str) -> str:
    """Return a name as a legend shows it: matplotlib leaves out those that begin with an underscore."""
    return f" {name}" if name.startswith("_") else name
