"""Health of a selector: unparsed, truncated and repeated replies, selections that were not made, constant choices."""

from collections import Counter
from collections.abc import Sequence

from pydantic import Field

from fama.episodes.records import SELECTION_ROLES, Episode, LedgerRow, Record, SelectionState
from fama.subsets import Subset, in_order, subset_label

#: Choices from which on one and the same subset is worth a warning.
CONSTANT_FROM = 10
#: Different unknown names that a record keeps, the most frequent ones.
_NAMES_KEPT = 10


class SelectorHealth(Record):
    """Counts over an arm's selections, those of episodes that ended in an error included.

    ``selections`` counts decisions at which the selector was asked, ``unaffordable`` those at which the budget had no
    room to ask it. Of the selections, ``unparsed`` are those whose replies held no readable choice, ``fell_back`` the
    unparsed ones that left the agent without helpers, ``repaired`` those in which a reply was asked for again,
    ``truncated`` those with a reply cut at its token limit (None where the records do not say it). ``subsets`` counts
    the distinct subsets that were chosen, before any cut by the budget; ``only_subset`` is that subset where it is one.
    """

    selections: int = 0
    unparsed: int = 0
    fell_back: int = 0
    repaired: int = 0
    truncated: int | None = 0
    unaffordable: int = 0
    subsets: int = 0
    only_subset: str | None = None
    unknown_names: dict[str, int] = Field(default_factory=dict)

    @property
    def chosen(self) -> int:
        """Return the number of selections whose choice was read."""
        return self.selections - self.unparsed

    @property
    def broken(self) -> bool:
        """Return whether more than half of the decisions that asked for a selection got none that was read."""
        return 2 * (self.unparsed + self.unaffordable) > self.selections + self.unaffordable

    @property
    def constant(self) -> bool:
        """Return whether all of at least ``CONSTANT_FROM`` choices are the same subset."""
        return self.chosen >= CONSTANT_FROM and self.subsets == 1

    def warnings(self, arm: str, blind: bool = False) -> tuple[str, ...]:
        """Return what to beware of in an arm's numbers, one line each.

        Args:
            arm: the arm's name.
            blind: whether the selector reads nothing of the task, so that constant choices are what it is for.
        """
        said = []
        if self.unparsed:
            back = f"{self.fell_back} of these ran without helpers" if self.fell_back else "its fallback chose instead"
            cut = "" if not self.truncated else f"; {self.truncated} with a truncated reply: raise its reply_tokens"
            said.append(f"{arm}: {portion(self.unparsed, self.selections)} selections unparsed, {back}{cut}.")
        if self.unaffordable:
            asked = self.selections + self.unaffordable
            said.append(
                f"{arm}: {portion(self.unaffordable, asked)} selections not made, since the budget had no room to ask."
            )
        if self.broken:
            said.append(
                f"{arm}: broken selector; its numbers measure the fallback, and its selection is never marked as best."
            )
        if self.unknown_names:
            names = ", ".join(f"{name!r} ×{n}" for name, n in self.unknown_names.items())
            said.append(f"{arm}: replies name helpers that the pool lacks: {names}.")
        if self.constant and not blind:
            said.append(f"{arm}: chose the same subset ({self.only_subset}) at all {self.chosen} selections.")
        return tuple(said)


class HealthTally:
    """Counts of a selector's health, one episode or one selection at a time."""

    def __init__(self) -> None:
        self._states: Counter[SelectionState] = Counter()
        self._fell_back = self._repaired = self._truncated = 0
        self._all_say = True
        self._subsets: set[Subset] = set()
        self._names: Counter[str] = Counter()

    def add(self, episode: Episode) -> None:
        """Count the selections of an episode."""
        by_turn: dict[int, list[LedgerRow]] = {}
        for row in episode.ledger:
            if row.role in SELECTION_ROLES and row.turn is not None:
                by_turn.setdefault(row.turn, []).append(row)
        for decision, state in zip(episode.decisions, selection_states(episode), strict=True):
            chosen = (*decision.subset, *decision.dropped)
            self.add_selection(state, chosen, by_turn.get(decision.turn, ()))

    def add_selection(self, state: SelectionState, subset: Sequence[str], rows: Sequence[LedgerRow]) -> None:
        """Count what happened before one decision: the subset as the selector gave it, and the rows of its calls."""
        self._states[state] += 1
        if state in ("by_cadence", "unaffordable"):
            return
        if state == "chosen":
            self._subsets.add(in_order(subset))
        else:
            self._fell_back += not subset
        self._repaired += _asked_again(rows)
        self._truncated += any(row.truncated for row in rows)
        self._all_say &= all(row.truncated is not None for row in rows)
        self._names.update(name for row in rows for name in row.unknown_names)

    def health(self) -> SelectorHealth:
        """Return the counts as a record."""
        one = next(iter(self._subsets)) if len(self._subsets) == 1 else None
        return SelectorHealth(
            selections=self._states["chosen"] + self._states["unparsed"],
            unparsed=self._states["unparsed"],
            fell_back=self._fell_back,
            repaired=self._repaired,
            truncated=self._truncated if self._all_say else None,
            unaffordable=self._states["unaffordable"],
            subsets=len(self._subsets),
            only_subset=None if one is None else subset_label(one),
            unknown_names=dict(self._names.most_common(_NAMES_KEPT)),
        )


def selection_states(episode: Episode) -> list[SelectionState]:
    """Return how each decision of an episode came by its subset, in the order of the decisions.

    Records that do not say it are read as follows: a decision with selection calls asked the selector; in an episode
    without any such call, so did the first decision and each one whose subset differs from that before it.
    """
    last = {row.turn: row for row in episode.ledger if row.role in SELECTION_ROLES}
    states: list[SelectionState] = []
    before: frozenset[str] | None = None
    for decision in episode.decisions:
        row, chosen = last.get(decision.turn), frozenset((*decision.subset, *decision.dropped))
        if decision.selection is not None:
            states.append(decision.selection)
        elif row is not None:
            states.append(state_of((row,)))
        else:
            states.append("by_cadence" if last or chosen == before else "chosen")
        before = chosen
    return states


def state_of(rows: Sequence[LedgerRow]) -> SelectionState:
    """Return the state of a selection with these calls: its last one decides. A selector without calls has chosen."""
    own = [row for row in rows if row.role in SELECTION_ROLES]
    return "unparsed" if own and not own[-1].parsed else "chosen"


def is_choice(episode: Episode) -> bool:
    """Return whether an episode's subset is some selector's choice, not what is left where none could be made.

    A subset with helpers always is one, be it a fallback's.
    """
    states = set(selection_states(episode))
    return not states or "chosen" in states or any(d.subset or d.dropped for d in episode.decisions)


def cut_by_budget(arm: str, count: int | None) -> tuple[str, ...]:
    """Return a warning where a budget left helpers of an arm's choices out: its numbers are of fewer than it chose."""
    if not count:
        return ()
    where = "1 decision" if count == 1 else f"{count} decisions"
    return (f"{arm}: the budget left chosen helpers out at {where}, which count as the arm's all the same.",)


def portion(count: int, of: int) -> str:
    """Return ``12 of 60 (20 %)``."""
    return f"{count} of {of} ({100 * count / of:.0f} %)" if of else f"{count} of 0"


def _asked_again(rows: Sequence[LedgerRow]) -> bool:
    """Return whether an unparsed reply was followed by another call of the same role."""
    return any(
        not row.parsed and any(later.role == row.role for later in rows[place + 1 :]) for place, row in enumerate(rows)
    )
