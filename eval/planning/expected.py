"""Tokens that a comparison is expected to take, between the fewest and the most notes that its arms may ask for."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from eval.planning.workload import Basis, TokenLoad, Workload
from fama.helpers.base import Helper, form_of
from fama.helpers.llm_form import REPLY_TOKENS
from fama.intervals import Interval
from fama.selection.base import SELECTORS
from fama.selection.helper_choice import default_reply_tokens
from fama.settings import CompareSettings, SelectorSettings
from fama.subsets import base_of


@dataclass(frozen=True)
class Range:
    """The least and the most of a number."""

    low: float = 0.0
    high: float = 0.0

    def __add__(self, other: "Range") -> "Range":
        """Return the sum, end by end."""
        return Range(self.low + other.low, self.high + other.high)

    def times(self, factor: float) -> "Range":
        """Return both ends times a factor."""
        return Range(self.low * factor, self.high * factor)


@dataclass(frozen=True)
class Tokens:
    """Tokens ``read`` in all, of them ``fresh`` ones that no prefix cache holds, and ``written`` ones."""

    read: Range = Range()
    fresh: Range = Range()
    written: Range = Range()

    def __add__(self, other: "Tokens") -> "Tokens":
        """Return the sum."""
        return Tokens(self.read + other.read, self.fresh + other.fresh, self.written + other.written)

    def times(self, factor: float) -> "Tokens":
        """Return every number times a factor."""
        return Tokens(self.read.times(factor), self.fresh.times(factor), self.written.times(factor))

    @property
    def new(self) -> Range:
        """Return what a server computes: fresh and written tokens."""
        return self.fresh + self.written


@dataclass(frozen=True)
class Expected:
    """Tokens of a whole comparison: the agent without notes, what helpers and selection add, and the user's model."""

    basis: Basis
    agent: Tokens
    added: Tokens
    user: Tokens

    def hours(self, per_second: float) -> Range:
        """Return the GPU hours of backbone and helpers on cards that compute so many new tokens per second each."""
        return (self.agent + self.added).new.times(1 / per_second / 3600)

    def user_hours(self, per_second: float) -> Range:
        """Return the GPU hours of the user's model."""
        return self.user.new.times(1 / per_second / 3600)


def expect(
    settings: CompareSettings,
    tasks: int,
    basis: Basis | None,
    helpers: Mapping[str, Helper],
    subsets: Mapping[str, Sequence[str] | None],
) -> Expected | None:
    """Return the tokens of all episodes, each as long as the basis' are; None where something of it was never measured.

    ``subsets`` holds the helpers of each arm, None for an arm that chooses at its own time: it is between none and all.
    Unmeasured are helpers that were not in the basis, those with a prompt of their own, prompted selection in another
    form than ``one_call``, and other selectors that ask a model.
    """
    if basis is None:
        return None
    load, each = basis.workload, tasks * settings.trials
    added = Tokens()
    for arm in settings.arms:
        subset = subsets[arm.arm]
        most = _notes(load, helpers, tuple(helpers) if subset is None else subset)
        chosen = _selection(settings, arm, load, helpers)
        if most is None or chosen is None:
            return None
        # an arm that may choose no helper has the most of all, and nothing at least
        added += chosen + (most if subset is not None else _at_most(most))
    episodes = each * len(settings.arms)
    return Expected(basis, _tokens(load.agent).times(episodes), added.times(each), _tokens(load.user).times(episodes))


def _notes(load: Workload, helpers: Mapping[str, Helper], subset: Sequence[str]) -> Tokens | None:
    """Return what the calls and notes of a subset add to an episode."""
    found = Tokens()
    for name in subset:
        form, cap = form_of(helpers[name]), helpers[name].token_cap
        asked = load.helpers.get(base_of(name))
        if form == "template":
            noted = Range(0.0, _mean(load.decisions) * cap)
            found += Tokens(noted, noted)
        elif form == "llm" and asked is not None:
            calls, read, question = _mean(asked.calls), _mean(asked.read), _mean(asked.question)
            noted = Range(0.0, calls * cap)
            found += Tokens(
                Range(read, read) + noted, Range(question, question) + noted, Range(calls, calls * REPLY_TOKENS)
            )
        else:
            return None
    # a reply that was written behind a note is read again without it
    return found + Tokens(fresh=Range(0.0, _mean(load.agent.written))) if subset else found


def _selection(
    settings: CompareSettings, arm: SelectorSettings, load: Workload, helpers: Mapping[str, Helper]
) -> Tokens | None:
    """Return what an arm's selection adds to an episode: nothing, unless a model is asked; None if nobody can tell."""
    if not SELECTORS.traits(arm.name).asks_model:
        return Tokens()
    if arm.name != "prompted" or arm.options.get("form", "one_call") != "one_call" or settings.track != "prospective":
        return None
    cadence, decisions = arm.cadence or settings.cadence, _mean(load.decisions)
    calls = {"episode": Range(1.0, 1.0), "turn": Range(decisions, decisions), "change": Range(0.0, decisions)}[cadence]
    read, most = _mean(load.selection), default_reply_tokens(tuple(helpers))
    asked = Range(calls.low * read, calls.high * read)
    return Tokens(asked, asked, Range(calls.low, calls.high * most))


def _at_most(tokens: Tokens) -> Tokens:
    return Tokens(*(Range(0.0, part.high) for part in (tokens.read, tokens.fresh, tokens.written)))


def _tokens(load: TokenLoad) -> Tokens:
    return Tokens(*(Range(_mean(part), _mean(part)) for part in (load.read, load.fresh, load.written)))


def _mean(value: Interval) -> float:
    return value.value or 0.0
