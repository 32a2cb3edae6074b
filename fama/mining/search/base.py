"""The search contract: a world of schedules in, executed runs behind; the cheapest success is the repair."""

from dataclasses import dataclass
from typing import Protocol

from fama.mining.schedule import Schedule
from fama.registry import Registry
from fama.subsets import Subset


@dataclass(frozen=True)
class Effect:
    """Helpers asked before one decision: ``noted`` are those whose note passed, ``action`` is what then was done.

    ``action`` is what later prompts hold of it, thus with its thought where the strategy keeps thoughts; None where no
    reply could be read. ``changed`` says that it is not what is done there without notes.
    """

    noted: Subset
    action: str | None
    changed: bool


@dataclass(frozen=True)
class Run:
    """A schedule run to the end of the episode.

    ``notes`` are the points at which a note was given; ``decisions`` counts the decisions of the run, ``note_tokens``
    the tokens of the notes, ``share`` the successful continuations out of all.
    """

    success: bool
    share: float
    notes: Schedule
    decisions: int
    note_tokens: int

    @property
    def cost(self) -> tuple[int, int, list[tuple[int, str]]]:
        """Return what the minimal repair is minimal in: notes, then their tokens; then any fixed order."""
        return len(self.notes), self.note_tokens, sorted(self.notes)


class World(Protocol):
    """One failed episode as a search sees it. What was asked once is not executed again."""

    @property
    def pool(self) -> Subset:
        """Return the helpers that may be asked."""
        ...

    @property
    def steps(self) -> int:
        """Return the most decisions that an episode may have."""
        ...

    @property
    def all_asked(self) -> Schedule:
        """Return the schedule with which the whole pool is asked before every decision, one form of each helper."""
        ...

    @property
    def calls(self) -> int:
        """Return the distinct model calls so far."""
        ...

    @property
    def deterministic(self) -> bool:
        """Return whether a schedule has one outcome; otherwise nothing can be proven by runs."""
        ...

    async def probe(self, given: Schedule, turn: int, members: Subset) -> Effect:
        """Ask helpers before one decision of the run of ``given``, all of whose points are earlier."""
        ...

    async def run(self, schedule: Schedule) -> Run:
        """Run a schedule to the end; the empty one is the logged episode."""
        ...

    def best(self) -> Run | None:
        """Return the cheapest successful run so far, by its notes."""
        ...


class Search(Protocol):
    """Looks for a successful run with as few notes as it can find."""

    async def __call__(self, world: World, exact: int) -> bool:
        """Search; return whether it is proven that no repair has fewer notes than ``world.best()``, or none exists.

        ``exact`` is the number of calls that its proofs may take together. A budget that ends raises through.
        """
        ...


SEARCHES: Registry[Search] = Registry(
    "search",
    {
        "elimination": "fama.mining.search.elimination:search",
        "map": "fama.mining.search.effect_map:search",
        "tree": "fama.mining.search.tree:search",
    },
)
