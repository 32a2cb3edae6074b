"""Help only before calls that change data, whatever the domain: the rule that costs nothing to decide."""

import random
from dataclasses import dataclass

from fama.dialogue.pending import change_ahead
from fama.episodes.state import VisibleState
from fama.selection.base import Allowance, Selection, Selector, SelectorContext
from fama.selection.selectors.fixed import in_any_form, known_subset, no_options
from fama.selection.traits import SelectorTraits, declare

#: The helpers that guard a change.
DEFAULT = ("DCE", "Verifier")


@dataclass(eq=False)
class RuleSelector:
    """A subset while a change that the user asked for is ahead, else nobody.

    It looks anew before every decision; selected once per episode it only sees the first message.
    """

    subset: tuple[str, ...]
    pool: tuple[str, ...]
    name: str = "rule"
    track: str = "prospective"

    async def select(self, state: VisibleState, allowance: Allowance, rng: random.Random) -> Selection:
        """Return the subset or nobody, by the state alone."""
        subset = self.subset if change_ahead(state) else ()
        return Selection(subset, {name: float(name in subset) for name in self.pool})


@declare(SelectorTraits(asks_model=False))
def build(context: SelectorContext, **options: object) -> Selector:
    """Return the rule; option ``subset`` replaces Verifier and DCE.

    Raises:
        BadInput: a helper that the pool does not have, two that exclude each other, or another option.
    """
    chosen = options.pop("subset", in_any_form(DEFAULT, context))
    no_options(options, "rule")
    return RuleSelector(known_subset(chosen, context, "selector.options.subset"), tuple(context.helpers))
