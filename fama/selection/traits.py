"""Traits that a selector declares before it is built: set on its factory, read by comparisons and reports."""

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Literal, TypeVar

Setup = Literal["nothing", "outcomes", "checkpoint", "unknown"]
ArmRole = Literal["lead", "rival", "payback", "anchor"]
T = TypeVar("T")


@dataclass(frozen=True)
class SelectorTraits:
    """Declarations of a selector. The defaults are those of a plug-in that reads the state and needs nothing first.

    Track, price and use of the task's key are declared by the selector's class: ``Selector.track``, ``Priced`` and
    ``KeyedSelector`` in ``fama.selection.base``.
    """

    blind: bool = False
    """Reads nothing of the task, so that it belongs to both tracks and sees no failure labels."""
    plain: bool = False
    """Is the agent without helpers, which every other arm is compared with."""
    asks_model: bool = True
    """May ask a language model when it selects; assumed of a plug-in that does not say."""
    setup: Setup = "nothing"
    """Setup cost, paid before the first episode: an outcome table (``outcomes``: the option of that name,
    else the comparison's), a trained router (the option ``checkpoint``), or something whose cost nobody recorded."""
    lead: int | None = None
    """Place among the arms taken as the learned one that others are compared with; the lowest leads, None never."""
    rival: int | None = None
    """Place among the arms that a report's text sets the learned arm against; None is not named there."""
    payback: int | None = None
    """Place among the arms that setup cost is set against; None is not one of them."""
    anchor: int | None = None
    """Place among the arms whose tokens and success curves are read at; the lowest is taken, None never."""


def declare(traits: SelectorTraits) -> Callable[[T], T]:
    """Set the traits of a selector's factory; a decorator."""

    def mark(factory: T) -> T:
        factory.traits = traits  # type: ignore[attr-defined]
        return factory

    return mark


def declared(factory: object) -> SelectorTraits:
    """Return the traits that a factory declares, the defaults where it declares none."""
    traits = getattr(factory, "traits", None)
    return traits if isinstance(traits, SelectorTraits) else SelectorTraits()


def by_role(arms: Iterable[T], role: ArmRole, traits: Callable[[T], SelectorTraits]) -> list[T]:
    """Return the arms that have a place in a role, by place, then in their own order."""
    placed = [(place, arm) for arm in arms if (place := getattr(traits(arm), role)) is not None]
    return [arm for _, arm in sorted(placed, key=lambda pair: pair[0])]
