"""Selectors whose subset is written down beforehand: none, all, a named subset, IRMA's three."""

import random
from collections.abc import Sequence
from dataclasses import dataclass

from fama.episodes.state import VisibleState
from fama.errors import BadInput
from fama.selection.base import Allowance, Selection, Selector, SelectorContext
from fama.selection.traits import SelectorTraits, declare
from fama.subsets import base_of, in_pool_order, one_form_each, refuse_excluded

#: The fixed helper set of IRMA (Mishra et al. 2025, arXiv 2508.20931): memory, constraints, tool suggestion.
IRMA = ("Memory", "DCE", "TSA")


@dataclass(eq=False)
class FixedSelector:
    """The same subset before every decision."""

    name: str
    subset: tuple[str, ...]
    pool: tuple[str, ...]
    propensity: float | None = 1.0
    track: str = "prospective"

    async def select(self, state: VisibleState, allowance: Allowance, rng: random.Random) -> Selection:
        """Return the subset; probability 1 for its helpers, 0 for the others."""
        return Selection(
            self.subset, {name: float(name in self.subset) for name in self.pool}, propensity=self.propensity
        )


def known_subset(names: object, context: SelectorContext, where: str) -> tuple[str, ...]:
    """Return the helper names of an option, checked against the pool and put in its order.

    Raises:
        BadInput: not a list of names, a helper that the pool does not have, or two that exclude each other.
    """
    known = ", ".join(context.helpers) or "none"
    if not isinstance(names, Sequence) or isinstance(names, str) or not all(isinstance(name, str) for name in names):
        raise BadInput(f"{where}: expected a list of helper names out of {known}")
    for name in names:
        if name not in context.helpers:
            raise BadInput(f"{where}: helper {name!r} is not in the pool; known: {known}")
    refuse_excluded(names, where)
    return in_pool_order(names, tuple(context.helpers))


def in_any_form(names: Sequence[str], context: SelectorContext) -> tuple[str, ...]:
    """Return, for each helper that the pool lacks under its own name, its first form in the pool instead."""
    first = {base_of(name): name for name in reversed(tuple(context.helpers))}
    return tuple(name if name in context.helpers else first.get(name, name) for name in names)


def no_options(options: dict[str, object], selector: str) -> None:
    """Refuse options that a selector does not have.

    Raises:
        BadInput: there is one.
    """
    if options:
        raise BadInput(f"selector {selector!r} has no option {next(iter(options))!r}; remove it")


@declare(SelectorTraits(blind=True, asks_model=False, plain=True))
def none(context: SelectorContext, **options: object) -> Selector:
    """Return the selector of no helper: the plain agent."""
    no_options(options, "none")
    return FixedSelector("none", (), tuple(context.helpers))


@declare(SelectorTraits(blind=True, asks_model=False, payback=1, anchor=2))
def everything(context: SelectorContext, **options: object) -> Selector:
    """Return every helper of the pool before every decision, of each the first form in the pool."""
    no_options(options, "all")
    return FixedSelector("all", one_form_each(context.helpers), tuple(context.helpers))


@declare(SelectorTraits(blind=True, asks_model=False))
def irma(context: SelectorContext, **options: object) -> Selector:
    """Return the selector of Memory, DCE and TSA before every decision.

    Raises:
        BadInput: the pool lacks one of them.
    """
    no_options(options, "irma")
    subset = known_subset(in_any_form(IRMA, context), context, "selector 'irma'")
    return FixedSelector("irma", subset, tuple(context.helpers))


@declare(SelectorTraits(blind=True, asks_model=False))
def fixed(context: SelectorContext, **options: object) -> Selector:
    """Return the subset given as the option ``subset``.

    ``propensity`` (0 < p ≤ 1) records the probability with which the caller drew the subset, for
    randomised outcome tables; 1.0 when absent.

    Raises:
        BadInput: no or a wrong subset, a wrong propensity, another option.
    """
    subset = known_subset(options.pop("subset", None), context, "selector.options.subset")
    propensity = options.pop("propensity", None)
    no_options(options, "fixed")
    if propensity is None:
        value = 1.0
    elif isinstance(propensity, int | float) and not isinstance(propensity, bool) and 0 < propensity <= 1:
        value = float(propensity)
    else:
        raise BadInput(f"selector.options.propensity: {propensity!r} is not a probability; give 0 < p <= 1")
    return FixedSelector("fixed", subset, tuple(context.helpers), value)
