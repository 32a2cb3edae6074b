"""Hard token budgets of helpers and selection, checked before a call is made."""

from collections.abc import Mapping, Sequence
from typing import NamedTuple

from fama.episodes.records import Episode, budget_tokens
from fama.errors import BadInput
from fama.helpers.base import Helper, on_prefix
from fama.selection.base import Allowance
from fama.settings import BudgetSettings
from fama.subsets import in_pool_order, one_form_each


class Affordable(NamedTuple):
    """Affordable part of a chosen subset, and the dropped helpers in the order of dropping."""

    subset: tuple[str, ...]
    dropped: tuple[str, ...]


def helper_cap(helper: Helper, prefix_tokens: int = 0) -> int:
    """Return the most tokens that using a helper once may cost: its own call, and its note that the agent reads.

    ``prefix_tokens`` are those of the agent's own request, for helpers that ask at its end.
    """
    return helper.cost_cap + helper.token_cap + (prefix_tokens if on_prefix(helper) else 0)


def spent_tokens(episode: Episode, before: int | None = None) -> int:
    """Return tokens that helpers and selection spent in an episode, with the notes that the agent read.

    Only what was spent before decision ``before`` is counted where that is given.
    """
    ledger = tuple(row for row in episode.ledger if before is None or (row.turn or 0) < before)
    calls = budget_tokens(ledger, "helper") + budget_tokens(ledger, "selector")
    return calls + sum(note.tokens for decision in episode.decisions[:before] for note in decision.notes)


class RunBudget:
    """Rest of a run's limit, shared by its episodes. Episodes under way hold reservations."""

    def __init__(self, settings: BudgetSettings, spent: int = 0) -> None:
        self.settings = settings
        self.spent = spent
        self.reserved = 0

    def episode(self) -> "Budget":
        """Return the budget of one more episode of the run."""
        return Budget(self)


class Budget:
    """The limits of one episode: of the decision at hand, of the episode and of the run."""

    def __init__(self, run: RunBudget) -> None:
        self.run = run
        self.settings = run.settings
        self.episode_spent = 0
        self.decision_spent = 0
        self._held = 0

    def open_decision(self) -> None:
        """Start the next decision."""
        self.release()
        self.decision_spent = 0

    def allowance(self) -> Allowance:
        """Return what may still be spent now, by the tightest limit; never below 0."""
        limits = (
            (self.settings.decision, self.decision_spent),
            (self.settings.episode, self.episode_spent),
            (self.settings.run, self.run.spent + self.run.reserved - self._held),
        )
        left = [limit - spent for limit, spent in limits if limit is not None]
        return Allowance(max(0, min(left)) if left else None)

    def fit(
        self,
        subset: Sequence[str],
        helpers: Mapping[str, Helper],
        probabilities: Mapping[str, float] | None = None,
        prefix_tokens: int = 0,
    ) -> Affordable:
        """Drop helpers, the least promising first, until the caps of the others fit; reserves these.

        Of equally promising helpers the last in pool order goes first. Of two that exclude each other the less
        promising one is dropped, too, whatever it costs. ``prefix_tokens`` is an upper estimate of the
        agent's own request, which helpers in LLM form send along.
        """
        caps = {name: helper_cap(helpers[name], prefix_tokens) for name in subset}
        left = self.allowance().tokens
        kept = list(in_pool_order(subset, tuple(helpers)))
        order = sorted(kept, key=lambda name: ((probabilities or {}).get(name, 0.0), -kept.index(name)))
        dropped: list[str] = []
        best = one_form_each(reversed(order))
        for name in [name for name in order if name not in best]:
            order.remove(name)
            kept.remove(name)
            dropped.append(name)
        while left is not None and kept and sum(caps[name] for name in kept) > left:
            worst = order.pop(0)
            kept.remove(worst)
            dropped.append(worst)
        self.reserve(sum(caps[name] for name in kept))
        return Affordable(tuple(kept), tuple(dropped))

    def reserve(self, tokens: int) -> None:
        """Hold tokens of the run's limit, so that episodes side by side cannot overrun it together."""
        self._held += tokens
        self.run.reserved += tokens

    def release(self) -> None:
        """Give back what is held."""
        self.run.reserved -= self._held
        self._held = 0

    def charge(self, tokens: int) -> None:
        """Book tokens that were spent, on every limit."""
        self.decision_spent += tokens
        self.episode_spent += tokens
        self.run.spent += tokens


def check_budget(settings: BudgetSettings, helpers: Mapping[str, Helper]) -> None:
    """Refuse a budget under which no helper of the pool could ever be used.

    Raises:
        BadInput: names the smallest cap of the pool.
    """
    caps = {name: helper_cap(helper) for name, helper in helpers.items()}
    if not caps:
        return
    name = min(caps, key=lambda name: caps[name])
    for field in ("decision", "episode", "run"):
        limit = getattr(settings, field)
        if limit is not None and limit < caps[name]:
            raise BadInput(
                f"budget.{field}: {limit} tokens are too few for any helper; "
                f"the smallest needs {caps[name]} ({name}), so raise it to that or leave it out"
            )
