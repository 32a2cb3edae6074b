"""The selector contract: visible state and budget in; probabilities, a subset and its propensity out."""

import random
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from typing import NamedTuple, Protocol, cast, runtime_checkable

from fama.episodes.keys import EpisodeKey, TaskKey
from fama.episodes.records import Failure, LedgerRow
from fama.episodes.state import VisibleState
from fama.errors import BadInput
from fama.helpers.base import Helper
from fama.memo import by_identity
from fama.models.base import ChatModel
from fama.models.prefix import AgentRequest
from fama.registry import Registry
from fama.selection.traits import SelectorTraits, declared
from fama.settings import Cadence


@dataclass(frozen=True)
class Allowance:
    """Tokens that helpers may still spend, whichever limit is tightest; None is unlimited."""

    tokens: int | None = None


@dataclass(frozen=True)
class Selection:
    """A selector's choice before a decision.

    ``probabilities`` are per helper, in [0, 1]: the belief that it is worth its tokens (they order
    what a budget drops). ``subset`` is in pool order, without members that exclude each other.
    ``propensity`` is the probability of drawing this subset in this state.
    """

    subset: tuple[str, ...]
    probabilities: dict[str, float]
    propensity: float | None = 1.0
    ledger: tuple[LedgerRow, ...] = ()
    seconds: float = 0.0


@dataclass(frozen=True)
class SelectorContext:
    """Inputs that selectors are built from. ``failures`` (task id → label) exists on the retrospective track only.

    ``helpers`` is the pool by name, in pool order. ``outcomes`` is the path of an outcome table of
    training tasks. ``request`` gives the agent's own request in a state, before any note. ``cadence`` is when the
    selector will be asked, None where nobody runs it.
    """

    helpers: Mapping[str, Helper]
    model: ChatModel | None = None
    failures: Mapping[str, Failure] | None = None
    outcomes: str | None = None
    seed: int = 0
    extra: Mapping[str, object] = field(default_factory=dict)
    request: Callable[[VisibleState], AgentRequest] | None = None
    cadence: Cadence | None = None


class Selector(Protocol):
    """Chooses a subset of helpers by what is visible, never by which task it is."""

    @property
    def name(self) -> str:
        """Return the name under which the selector is registered."""
        ...

    @property
    def track(self) -> str:
        """``retrospective`` where what it was built from includes the tasks' own failures, else ``prospective``."""
        ...

    async def select(self, state: VisibleState, allowance: Allowance, rng: random.Random) -> Selection:
        """Choose for the coming decision; ``rng`` is the episode's own stream."""
        ...


@runtime_checkable
class KeyedSelector(Protocol):
    """Chooses a subset of helpers by looking the task up: on the retrospective track only."""

    @property
    def name(self) -> str:
        """Return the name under which the selector is registered."""
        ...

    @property
    def track(self) -> str:
        """Always ``retrospective``: a key names a task whose outcome may be on record."""
        ...

    async def select_keyed(
        self, key: EpisodeKey, state: VisibleState, allowance: Allowance, rng: random.Random
    ) -> Selection:
        """Choose for the coming decision of this episode; ``rng`` is the episode's own stream."""
        ...


AnySelector = Selector | KeyedSelector


@runtime_checkable
class Informed(Protocol):
    """A selector that was built from labelled failures of other tasks, and must not be asked about these."""

    def knows(self, task: TaskKey) -> bool:
        """Return whether a failure of the task is among the labels."""
        ...


async def select_for(
    key: EpisodeKey, selector: AnySelector, state: VisibleState, allowance: Allowance, rng: random.Random
) -> Selection:
    """Ask a selector about the coming decision of an episode; only one that looks tasks up gets the key.

    Raises:
        BadInput: a prospective selector looks tasks up, or the selector knows a failure of the task itself.
    """
    roles = _roles_of(selector)
    if roles.informed is not None and roles.informed.knows(key.task):
        raise BadInput(f"selector {selector.name}: was built from a failure of {key.task_id} itself; label other tasks")
    if roles.keyed is None:
        return await cast(Selector, selector).select(state, allowance, rng)
    if selector.track != "retrospective":
        raise BadInput(f"selector {selector.name}: looks tasks up, so its track must be retrospective; set it")
    return await roles.keyed.select_keyed(key, state, allowance, rng)


class _Roles(NamedTuple):
    """A selector as what it is beside a selector, None where it is not."""

    informed: Informed | None
    keyed: KeyedSelector | None


@by_identity(4)
def _roles_of(selector: AnySelector) -> _Roles:
    """Return what a selector is; checking it against the protocols at every decision costs more than deciding."""
    return _Roles(
        selector if isinstance(selector, Informed) else None, selector if isinstance(selector, KeyedSelector) else None
    )


@runtime_checkable
class Costly(Protocol):
    """A selector whose call to a model costs more in some states than in others."""

    def most_tokens(self, state: VisibleState) -> int:
        """Return an upper estimate of the tokens that a selection takes in this state."""
        ...


@runtime_checkable
class Priced(Protocol):
    """A selector that weighs success against tokens, and can do so at another price."""

    def at(self, lam: float) -> AnySelector:
        """Return the same selector where 1,000 tokens are worth the success probability ``lam``."""
        ...


class SelectorFactory(Protocol):
    """Builds a selector from the run's context and its options in the config."""

    def __call__(self, context: SelectorContext, **options: object) -> AnySelector:
        """Return a selector for that context."""
        ...


class SelectorRegistry(Registry[SelectorFactory]):
    """The selectors by name; a router kind is one, too, under the name that it declares."""

    def add(self, name: str, target: str | SelectorFactory) -> None:
        """Register a dotted path or a factory.

        Raises:
            BadInput: the name is taken.
        """
        if name in router_selectors():
            raise BadInput(f"{self.family}: the name {name!r} is that of a router kind; choose another name")
        super().add(name, target)

    def names(self) -> list[str]:
        """Return all known names, sorted."""
        return sorted({*super().names(), *router_selectors()})

    def load(self, name: str) -> SelectorFactory:
        """Return the factory behind a name.

        Raises:
            BadInput: the name is unknown; the message lists the known ones.
        """
        if name not in super().names() and name in router_selectors():
            return _of_kind(name, super().load("learned"))
        return super().load(name)

    def traits(self, name: str) -> SelectorTraits:
        """Return what the selector of a name declares; of a name that is not installed here, nothing is known.

        Comparisons are reported on machines that lack the plug-in they were run with.
        """
        of_router = router_selectors().get(name)
        if of_router is not None:
            return of_router
        return declared(self.load(name)) if name in super().names() else SelectorTraits(setup="unknown")


def router_selectors() -> dict[str, SelectorTraits]:
    """Return the names under which arms ask for a trained router of some kind, with what each kind declares."""
    from fama.selection.router.kinds.base import ROUTER_KINDS

    return {kind.selector: replace(kind.traits, asks_model=False) for kind in ROUTER_KINDS.loadable().values()}


def _of_kind(name: str, learned: SelectorFactory) -> SelectorFactory:
    """Return the factory of trained routers for one kind: it refuses a checkpoint of another one."""

    def build(context: SelectorContext, **options: object) -> AnySelector:
        selector = learned(context, **options)
        if selector.name != name:
            raise BadInput(
                f"selector {name}: {options['checkpoint']} holds a router of the selector {selector.name!r}; "
                f"name the arm {selector.name} or learned, or give another checkpoint"
            )
        return selector

    return build


SELECTORS = SelectorRegistry(
    "selectors",
    {
        "none": "fama.selection.selectors.fixed:none",
        "all": "fama.selection.selectors.fixed:everything",
        "fixed": "fama.selection.selectors.fixed:fixed",
        "irma": "fama.selection.selectors.fixed:irma",
        "random": "fama.selection.selectors.random_subset:build",
        "best_fixed": "fama.selection.selectors.best_fixed:build",
        "rule": "fama.selection.selectors.rule:build",
        "prompted": "fama.selection.selectors.prompted:build",
        "learned": "fama.selection.selectors.learned:build",
        "oracle": "fama.selection.selectors.oracle:build",
    },
)
