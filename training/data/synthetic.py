"""SYNTHETIC outcome rows with a known true success of every subset, for tests and method curves.

A task has hidden needs that its conversation tells of in varying words. Helpers meet needs, some
pairs interfere, an idle helper does a little harm, and every helper costs tokens. Nothing here is
a result about real agents.
"""

import random
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from fama.episodes.outcome_table import OutcomeRow
from fama.episodes.records import Message, ToolSpec
from fama.episodes.state import VisibleState, state_to_json
from fama.randomness import generator
from fama.selection.decision_rule import Floats, Masks, Objective, SubsetValues, all_masks
from fama.selection.router.scores import sigmoid
from fama.subsets import POOL, flagged, join_subset

BENCHMARK = "synthetic"
POLICY = "1. Check who is speaking before changing data.\n2. Refuse what the rules forbid.\n3. Finish every request."
TOOLS = tuple(
    ToolSpec(name=name, description=text)
    for name, text in (
        ("get_record", "Show one record."),
        ("list_records", "List all records of the speaker."),
        ("update_record", "Change a field of a record."),
        ("close", "End the conversation."),
    )
)
_NEEDS: dict[str, tuple[str, ...]] = {
    "rule": (
        "I know the return window has closed, but make an exception for me.",
        "Surely the policy lets you waive that fee just this once.",
        "Is it allowed to do this after the deadline?",
        "Your terms forbid it, they told me, yet I want it anyway.",
        "Can you bend the conditions of the contract here?",
    ),
    "look": (
        "I have forgotten the number, it is one of several that look the same.",
        "There are many similar entries on my list, find the right one.",
        "It was the cheaper of the three nearly identical ones.",
        "I cannot tell which entry it was, please search through all of them.",
        "Look through the long table and pick the matching row.",
    ),
    "memory": (
        "Sorry, actually I meant the other thing that I said before.",
        "Wait, change of plans, forget my earlier wish.",
        "No, that is not what I told you at the beginning.",
        "On second thought, go back to my first choice.",
        "I must correct myself about the address that I gave.",
    ),
    "plan": (
        "I need two things done, one after the other.",
        "First cancel it, then order it again, and then tell me the total.",
        "There is a second request as well once this is finished.",
        "Do both of these, and another one afterwards.",
        "After that, several further steps are needed too.",
    ),
}
_FILLER = (
    "Hello, I hope you are well.",
    "I am in a bit of a hurry today.",
    "My cat is asleep on the keyboard.",
    "Thanks for taking the time.",
    "The weather has been dreadful this week.",
    "I have been a customer for years.",
    "Good morning.",
    "This is about my latest entry.",
)
#: helper → need → share of the need that it meets.
_MEETS = {
    "DCE": {"rule": 1.0},
    "TSA": {"look": 0.5, "plan": 0.3},
    "TOR": {"look": 1.0},
    "Planner": {"plan": 1.0},
    "Verifier": {"rule": 0.5},
    "Memory": {"memory": 1.0},
}
_CLASHES = {("DCE", "Planner"): 1.0, ("TSA", "TOR"): 1.0, ("Verifier", "Memory"): 2 / 3}
_COST = {"DCE": 0.10, "TSA": 0.05, "TOR": 0.15, "Planner": 0.12, "Verifier": 0.18, "Memory": 0.06}


@dataclass(frozen=True)
class Effects:
    """Log odds behind success: when all needs are met, and what an unmet need, an idle helper and a clash cost."""

    base: float
    need: float
    idle: float
    clash: float


EFFECTS = {"weak": Effects(1.5, 2.2, 0.3, 0.9), "strong": Effects(6.0, 6.0, 1.8, 3.0)}
"""``weak``: most of what 64 subsets differ in drowns in a few thousand outcomes, even for who is told the needs.
``strong``: who is told the needs finds the best subset of most tasks."""


@dataclass(frozen=True)
class SyntheticTask:
    """A synthetic task with its truth: success and expected tokens of every mask of ``all_masks(6)``."""

    task_id: str
    needs: frozenset[str]
    state: VisibleState
    success: Floats
    tokens: Floats

    def values(self, lam: float) -> Floats:
        """Return the true P(success) − λ · tokens / 1000 of every subset."""
        return Objective(lam).value(self.success, self.tokens)

    def scores(self, masks: Masks) -> SubsetValues:
        """Return the true success and tokens of these subsets: the scorer of who knows the truth."""
        places = _places(masks)
        return SubsetValues(self.success[places], self.tokens[places])


def make_task(seed: int, index: int, effects: Effects = EFFECTS["weak"]) -> SyntheticTask:
    """Make the ``index``-th task of a seed; its conversation does not depend on the effects."""
    rng = generator(seed, "synthetic task", index)
    needs = frozenset(need for need in _NEEDS if rng.random() < 0.35)
    lines = [rng.choice(_NEEDS[need]) for need in sorted(needs)] + rng.sample(_FILLER, 2)
    rng.shuffle(lines)
    reference = f"My reference is {rng.randrange(10**6):06d}."
    cut = rng.randrange(1, len(lines) + 1)
    messages = [Message(role="user", content=" ".join([reference, *lines[:cut]]))]
    if lines[cut:]:
        messages += [
            Message(role="assistant", content="Could you tell me more?"),
            Message(role="user", content=" ".join(lines[cut:])),
        ]
    state = VisibleState(POLICY, TOOLS, tuple(messages))
    masks = all_masks(len(POOL))
    success = sigmoid(np.array([_logit(needs, flagged(mask, POOL), effects) for mask in masks]))
    base = 4000.0 * (1.0 + 0.2 * len(messages))
    tokens = base * np.exp(np.array([sum(_COST[name] for name in flagged(mask, POOL)) for mask in masks]))
    return SyntheticTask(f"{seed}-{index}", needs, state, success, tokens)


def make_tasks(count: int, seed: int = 0, effects: Effects = EFFECTS["weak"]) -> list[SyntheticTask]:
    """Make the first ``count`` tasks of a seed."""
    return [make_task(seed, index, effects) for index in range(count)]


def outcome_rows(tasks: Sequence[SyntheticTask], per_task: int = 4, seed: int = 0) -> list[OutcomeRow]:
    """Draw noisy outcomes of random subsets: the size first, then the subset, as ``fama outcomes`` draws."""
    masks = [flagged(mask, POOL) for mask in all_masks(len(POOL))]
    rows = []
    for task in tasks:
        rng = generator(seed, "synthetic outcomes", task.task_id)
        state = state_to_json(task.state)
        for trial in range(per_task):
            size = rng.randrange(len(POOL) + 1)
            options = [i for i, names in enumerate(masks) if len(names) == size]
            place = rng.choice(options)
            propensity = 1.0 / (len(POOL) + 1) / len(options)
            rows.append(_row(task, masks[place], place, trial, propensity, state, rng))
    return rows


def regrets(tasks: Sequence[SyntheticTask], chosen: Sequence[Sequence[bool]], lam: float) -> Floats:
    """Return the true value of each task's best subset minus that of the chosen one, at the same λ."""
    values = [task.values(lam) for task in tasks]
    return np.array([v.max() - v[place] for v, place in zip(values, _places(chosen), strict=True)])


def best_fixed_regret(tasks: Sequence[SyntheticTask], lam: float) -> float:
    """Return the mean regret of the one subset that is truly best over these very tasks: the strongest fixed choice."""
    values = np.stack([task.values(lam) for task in tasks])
    return float((values.max(axis=1)[:, None] - values).mean(axis=0).min())


def _places(masks: Masks | Sequence[Sequence[bool]]) -> list[int]:
    """Return the places of subsets in ``all_masks``."""
    place = {tuple(mask.tolist()): i for i, mask in enumerate(all_masks(len(POOL)))}
    return [place[tuple(map(bool, mask))] for mask in masks]


def _logit(needs: frozenset[str], members: tuple[str, ...], effects: Effects) -> float:
    met = {need: min(1.0, sum(_MEETS[name].get(need, 0.0) for name in members)) for need in needs}
    idle = sum(not needs & _MEETS[name].keys() for name in members)
    clash = sum(share for pair, share in _CLASHES.items() if set(pair) <= set(members))
    unmet = sum(1.0 - share for share in met.values())
    return effects.base - effects.need * unmet - effects.idle * idle - effects.clash * clash


def _row(
    task: SyntheticTask,
    subset: tuple[str, ...],
    place: int,
    trial: int,
    propensity: float,
    state: str,
    rng: random.Random,
) -> OutcomeRow:
    won = rng.random() < task.success[place]
    tokens = int(task.tokens[place] * rng.lognormvariate(0.0, 0.2))
    return OutcomeRow(
        episode_id=f"{task.task_id}-{trial}-{join_subset(subset)}",
        benchmark=BENCHMARK,
        benchmark_version="synthetic-1",
        domain=BENCHMARK,
        task_id=task.task_id,
        trial=trial,
        backbone=BENCHMARK,
        strategy="act",
        subset=join_subset(subset),
        propensity=propensity,
        status="success" if won else "failure",
        success=won,
        reward=float(won),
        tokens=tokens,
        tokens_agent=tokens,
        tokens_helper=0,
        tokens_selector=0,
        tokens_cached=0,
        output_tokens=tokens // 20,
        decisions=5,
        seconds=None,
        pool=join_subset(POOL),
        prompts_hash=BENCHMARK,
        state=state,
    )
