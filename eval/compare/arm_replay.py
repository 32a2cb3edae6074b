"""Replaying arms from executed episodes: selectors choose anew, outcomes are looked up."""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property

from eval.compare.rows import comparable_rows
from eval.metrics.episode_scores import Score, score_of_row
from fama.agents.agent_request import requester
from fama.agents.runs.plan import check_once
from fama.episodes.keys import EpisodeKey
from fama.episodes.outcome_table import OutcomeRow
from fama.episodes.records import SELECTION_ROLES, SelectionState, known_total, total_tokens
from fama.episodes.state import VisibleState, state_from_json
from fama.errors import BadInput
from fama.helpers.base import Helper, on_prefix
from fama.randomness import derive_seed, generator
from fama.selection.asking import room_for
from fama.selection.base import AnySelector, Selection, select_for
from fama.selection.budget import RunBudget
from fama.selection.health import HealthTally, SelectorHealth, state_of
from fama.settings import CompareSettings
from fama.subsets import in_order, in_pool_order, join_subset, members_of, subset_label

#: The selection of a selector that the budget has no room to ask.
_NOT_ASKED = Selection(subset=(), probabilities={}, propensity=None)


@dataclass(frozen=True)
class ReplayTable:
    """The executed cells of the compared tasks: one backbone, one strategy. What all arms look up is built once."""

    path: str
    backbone: str
    tasks: tuple[str, ...]
    rows: tuple[OutcomeRow, ...]

    @cached_property
    def keys(self) -> list[EpisodeKey]:
        """Return every task and trial with an executed subset, task by task."""
        place = {task: index for index, task in enumerate(self.tasks)}
        return sorted({row.key for row in self.rows}, key=lambda key: (place[key.task_id], key.trial))

    @cached_property
    def cells(self) -> dict[tuple[EpisodeKey, frozenset[str]], OutcomeRow]:
        """Return the rows by task, trial and subset."""
        return {(row.key, members_of(row.subset)): row for row in self.rows}

    @cached_property
    def states(self) -> dict[EpisodeKey, VisibleState]:
        """Return the state before decision 0 of each task and trial: the same whatever subset was executed then."""
        states: dict[EpisodeKey, VisibleState] = {}
        for row in self.rows:
            if row.key not in states:
                states[row.key] = state_from_json(row.state, row.benchmark, row.domain)
        return states


@dataclass(frozen=True)
class ReplayedArm:
    """An arm's looked-up episodes, its choices, those that were never executed, and its selector's health.

    Choices are (task, subset), None for the subset where the selector made no choice that could be read.
    """

    scores: tuple[Score, ...]
    choices: tuple[tuple[str, str | None], ...]
    missing: int
    health: SelectorHealth


def check_replayable(settings: CompareSettings) -> None:
    """Refuse arms that select more than once per episode: a table's episodes held one subset throughout.

    Raises:
        BadInput: names the cadence.
    """
    cadences = (settings.cadence, *(arm.cadence for arm in settings.arms))
    other = next((one for one in cadences if one not in (None, "episode")), None)
    if other is not None:
        raise BadInput(
            f"cadence: {other} cannot be replayed, since a table's episodes held one subset throughout; run it live, "
            "or set cadence: episode"
        )


def unheld_limits(settings: CompareSettings) -> list[str]:
    """Return a warning where a replay cannot hold a limit: a table's helpers went on after the first decision."""
    named = [f"budget.{name}" for name in settings.budget.changed("episode", "run")] if settings.replay else []
    if not named:
        return []
    return [
        f"{' and '.join(named)}: a replay drops helpers at the first decision only; those that it keeps are looked up "
        "with all they spent in the episode. Run live for what the limit leaves."
    ]


def select_rows(
    rows: Sequence[OutcomeRow], settings: CompareSettings, path: str, splits: Mapping[str, str]
) -> ReplayTable:
    """Return the rows that a comparison is about.

    ``splits`` holds the benchmark's tasks, in their order, each with its split. A number of tasks takes the first ones
    of the settings' split, as a live run does: a table has its rows in the order in which episodes ended.

    Raises:
        BadInput: the table has no row of the benchmark, domain, strategy and backbone, too few tasks, or two rows of
            one subset on a task and trial.
    """
    kept = comparable_rows(rows, settings, path)
    order = {task: place for place, task in enumerate(splits)}
    known = sorted(dict.fromkeys(row.task_id for row in kept), key=lambda task: order.get(task, len(order)))
    if len({(row.domain, row.task_id) for row in kept}) > len(known):
        raise BadInput(f"domain: {settings.domain} have tasks of the same id in {path}; replay one domain at a time")
    if isinstance(settings.tasks, int):
        inside = tuple(task for task in known if splits.get(task, settings.split) == settings.split)
        if not inside:
            others = " and ".join(sorted({splits[task] for task in known}))
            raise BadInput(f"split: {path} has no task of {settings.split}, only of {others}; set split to that")
        if not 1 <= settings.tasks <= len(inside):
            raise BadInput(
                f"tasks: {settings.tasks} asked for, {path} has 1 to {len(inside)} of {settings.split} to give"
            )
        tasks = inside[: settings.tasks]
    else:
        tasks = settings.tasks
        check_once("tasks", tasks)
        for task in tasks:
            if task not in known:
                raise BadInput(f"tasks: {path} has no episode of {task!r}; leave it out or run fama outcomes on it")
    wanted = set(tasks)
    chosen = tuple(row for row in kept if row.task_id in wanted and row.trial < settings.trials)
    if not chosen:
        raise BadInput(f"trials: {path} has no trial below {settings.trials} of these tasks")
    (cell, times), *_ = Counter((row.key, members_of(row.subset)) for row in chosen).most_common(1)
    if times > 1:
        raise BadInput(
            f"{path}: holds {times} episodes of {subset_label(in_order(cell[1]))} on {cell[0].task_id}, trial "
            f"{cell[0].trial}, of which a replay looks up one; give the table of one run"
        )
    return ReplayTable(path, chosen[0].backbone, tasks, chosen)


async def replay_arm(
    arm: str, selector: AnySelector, table: ReplayTable, settings: CompareSettings, helpers: Mapping[str, Helper]
) -> ReplayedArm:
    """Let a selector choose in the state before the first decision of every (task, trial), and look it up.

    The looked-up episode is billed with the selector's own tokens in place of those in the table.
    """
    pool = tuple(helpers)
    request = requester(settings)
    budgets = RunBudget(settings.budget)
    scores: list[Score] = []
    choices: list[tuple[str, str | None]] = []
    tally = HealthTally()
    missing = 0
    for key in table.keys:
        rng = generator(derive_seed(settings.seed, "selector", *key.stream, arm), "selector")
        budget = budgets.episode()
        budget.open_decision()
        state, allowance = table.states[key], budget.allowance()
        selection = _NOT_ASKED
        how: SelectionState = "unaffordable"
        if room_for(key.task, selector, state, allowance) is not None:
            selection = await select_for(key, selector, state, allowance, rng)
            how = state_of(selection.ledger)
        tally.add_selection(how, selection.subset, selection.ledger)
        budget.charge(sum(row.budget_tokens for row in selection.ledger))
        wanted = in_pool_order(selection.subset, pool)
        limited = budget.allowance().tokens is not None and any(on_prefix(helpers[name]) for name in wanted)
        prefix = request(state).most_tokens() if limited else 0
        subset, dropped = budget.fit(wanted, helpers, selection.probabilities, prefix)
        budget.release()
        chosen = how == "chosen" or bool(selection.subset)
        choices.append((key.task_id, join_subset(subset) if chosen else None))
        row = table.cells.get((key, frozenset(subset)))
        if row is None:
            missing += 1
            continue
        spent = [entry for entry in selection.ledger if entry.role in SELECTION_ROLES]
        old = score_of_row(row, arm)
        scores.append(
            replace(
                old,
                chosen=chosen,
                cut=old.decisions if dropped else 0,
                tokens=replace(
                    old.tokens,
                    helper=known_total((old.tokens.helper, total_tokens(selection.ledger, "helper"))),
                    selector=known_total(entry.total_tokens for entry in spent),
                    cached=known_total((old.tokens.cached, *(entry.cached_input_tokens for entry in spent))),
                    charged_input=known_total((old.tokens.charged_input, *(entry.input_tokens for entry in spent))),
                    output=known_total((old.tokens.output, *(entry.output_tokens for entry in spent))),
                ),
                selection_seconds=None if old.selection_seconds is None else selection.seconds,
                seconds=None if old.seconds is None else old.seconds + selection.seconds,
            )
        )
    return ReplayedArm(tuple(scores), tuple(choices), missing, tally.health())
