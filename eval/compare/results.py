"""From executed episodes to a comparison: measures, paired differences, selection accuracy, warnings."""

from collections import Counter
from collections.abc import Collection, Mapping, Sequence
from datetime import UTC, datetime

import numpy as np

import fama
from eval.compare.arms import learned_arm, plain_arm
from eval.compare.executed import Executed
from eval.compare.questions import AskedTasks, answer
from eval.compare.schema import ArmResult, Comparison, Corrected, GridReport, TaskCell, TaskRow, tasks_by_arm
from eval.compare.setup_cost import paybacks
from eval.metrics.curves import OperatingPoint, frontier
from eval.metrics.episode_scores import Score, known_mean
from eval.metrics.formats import error_counts
from eval.metrics.measures import PairedDifference, Resampling, compare_pair, measure_arm
from eval.metrics.selection_quality import NO_CHOICE, TaskGrid, selection_quality, task_grids
from eval.stats.paired import holm
from eval.stats.proportions import clustered_proportion
from fama.agents.loop import OUT_OF_TIME
from fama.config import dump_settings
from fama.envs.exclusions import known_wrong
from fama.intervals import Interval
from fama.provenance import git_commit
from fama.selection.base import SELECTORS
from fama.selection.health import portion
from fama.settings import CompareSettings
from fama.subsets import in_order, members_of, split_subset, subset_label

#: trials that a claim needs
CLAIM_TRIALS = 4
#: the commit of episodes that do not say theirs
NOT_RECORDED = "not recorded"


def compare_arms(
    settings: CompareSettings,
    version: str,
    executed: Executed,
    nothing: tuple[Interval, str | None],
    command: str,
    asked: AskedTasks | None = None,
) -> Comparison:
    """Return the comparison of executed arms.

    ``nothing`` is the do-nothing score, and in words what is not in it; ``asked`` holds what questions were first
    asked of.
    """
    resampling = Resampling(settings.seed, settings.bootstrap)
    truth = task_grids(executed.cells)
    chosen_learned = learned_arm(settings.arms)
    plain = plain_arm(settings.arms)
    arms = _arm_results(settings, executed, truth, plain, chosen_learned, resampling)
    by_task = {arm: _by_task(scores) for arm, scores in executed.scores.items()}
    wrong = known_wrong(settings.benchmark, settings.domain)
    per_task = tuple(_task_row(task, by_task, truth) for task in executed.tasks)
    same_tasks = len(set(tasks_by_arm(per_task).values())) <= 1
    return Comparison(
        kind="replay" if settings.replay else "live",
        track=settings.track,
        benchmark=settings.benchmark,
        benchmark_version=version,
        domain=settings.domain,
        split=settings.split,
        backbone=executed.backbone,
        strategy=settings.strategy,
        tasks=len(executed.tasks),
        trials=max((arm.measures.trials for arm in arms), default=0),
        seed=settings.seed,
        bootstrap=settings.bootstrap,
        arms=tuple(arms),
        answers=tuple(
            answer(one, executed.scores, executed.tasks, resampling, (asked or {}).get(one))
            for one in settings.questions
        ),
        learned_arm=chosen_learned,
        do_nothing=nothing[0],
        lattice=_grid_report(truth, executed.lattice_source),
        frontier=_frontier(arms) if same_tasks else (),
        curves=executed.curves,
        wrong_tasks=tuple(task for task in executed.tasks if task in wrong),
        commits=_commits(executed.scores),
        per_task=per_task,
        simulated=_simulated(settings),
        warnings=(
            *_warnings(arms, plain),
            *_left_out(executed.left_out),
            *([] if same_tasks else [_different_tasks(per_task)]),
            *_of_runs(settings, arms, executed.scores),
            *([nothing[1]] if nothing[1] else []),
        ),
        config=dump_settings(settings),
        command=command,
        commit=git_commit(),
        package_version=fama.__version__,
        created_at=datetime.now(UTC).isoformat(timespec="seconds"),
    )


def _arm_results(
    settings: CompareSettings,
    executed: Executed,
    truth: Mapping[str, TaskGrid],
    plain: str | None,
    learned: str | None,
    resampling: Resampling,
) -> list[ArmResult]:
    to_plain = paired_differences(executed.scores, plain, executed.tasks, resampling)
    to_learned = paired_differences(executed.scores, learned, executed.tasks, resampling)
    paid = paybacks(settings, executed.scores, executed.setup_costs, executed.tasks, resampling)
    corrected = _corrected(executed, plain, known_wrong(settings.benchmark, settings.domain), resampling)
    arms = []
    for wanted in settings.arms:
        name, scores = wanted.arm, executed.scores[wanted.arm]
        choices = [(task, None if subset is None else members_of(subset)) for task, subset in executed.choices[name]]
        arms.append(
            ArmResult(
                arm=name,
                selector=wanted.name,
                options=wanted.options,
                measures=measure_arm(scores, executed.tasks, resampling),
                versus_none=to_plain.get(name),
                corrected=corrected.get(name),
                versus_learned=to_learned.get(name),
                selection=None if name in executed.changing else selection_quality(choices, truth, executed.pool),
                health=executed.health.get(name),
                helpers_per_episode=sum(len(c or ()) for _, c in choices) / len(choices) if choices else None,
                subsets=dict(Counter(_label(subset) for _, subset in executed.choices[name]).most_common()),
                missing=executed.missing.get(name, 0),
                second_attempts=_second_attempts(scores),
                out_of_time=_out_of_time(scores),
                one_off=executed.setup_costs.get(name, ()),
                payback=paid.get(name, ()),
            )
        )
    return arms


def paired_differences(
    scores: Mapping[str, Sequence[Score]], reference: str | None, tasks: Sequence[str], resampling: Resampling
) -> dict[str, PairedDifference]:
    """Return every other arm against the reference, with Holm's correction over them; none without a reference."""
    if reference is None:
        return {}
    other = {s.key.pair for s in scores[reference] if s.scored}
    shared = {arm: {s.key.pair for s in own if s.scored} & other for arm, own in scores.items() if arm != reference}
    family = sum(len({pair.task for pair in pairs}) > 1 for pairs in shared.values())  # one task alone is no test
    found = {
        arm: compare_pair(scores[arm], scores[reference], reference, tasks, resampling, max(1, family))
        for arm in shared
    }
    corrected = holm({arm: d.p for arm, d in found.items() if d.p is not None})
    return {arm: d.model_copy(update={"p_holm": corrected.get(arm)}) for arm, d in found.items()}


def _corrected(
    executed: Executed, plain: str | None, wrong: Collection[str], resampling: Resampling
) -> dict[str, Corrected]:
    """Return every arm without the tasks that are known to be wrong; nothing where none or only such were compared."""
    tasks = tuple(task for task in executed.tasks if task not in wrong)
    if not tasks or len(tasks) == len(executed.tasks):
        return {}
    kept = {arm: [s for s in scores if s.task_id not in wrong] for arm, scores in executed.scores.items()}
    against = paired_differences(kept, plain, tasks, resampling)
    measured = {arm: measure_arm(scores, tasks, resampling) for arm, scores in kept.items()}
    return {
        arm: Corrected(tasks=len(tasks), success=m.success, tokens=m.tokens, versus_none=against.get(arm))
        for arm, m in measured.items()
    }


def _second_attempts(scores: Sequence[Score]) -> int | None:
    """Count the episodes that an error went before; None where one does not say it."""
    attempts = [score.attempt for score in scores]
    return None if None in attempts else sum(attempt != 1 for attempt in attempts)


def _out_of_time(scores: Sequence[Score]) -> int | None:
    """Count the episodes that ``limits.seconds`` ended; None where one does not say what ended it."""
    reasons = [score.reason for score in scores]
    return None if None in reasons else reasons.count(OUT_OF_TIME)


def _commits(scores: Mapping[str, Sequence[Score]]) -> dict[str, int]:
    """Count the episodes by the commit they ran at, the most frequent first."""
    return dict(Counter(score.commit or NOT_RECORDED for own in scores.values() for score in own).most_common())


def _grid_report(truth: Mapping[str, TaskGrid], source: str) -> GridReport | None:
    if not truth:
        return None
    best = np.array([grid.oracle for grid in truth.values()])
    return GridReport(
        source=source,
        tasks=len(truth),
        subsets_per_task=sum(len(grid.success) for grid in truth.values()) / len(truth),
        oracle=clustered_proportion(best, len(best)),
    )


def _frontier(arms: Sequence[ArmResult]) -> tuple[str, ...]:
    points = {
        arm.arm: OperatingPoint(arm.measures.tokens.value, arm.measures.success.value)
        for arm in arms
        if arm.measures.tokens.value is not None and arm.measures.success.value is not None
    }
    on = frontier(list(points.values()))
    return tuple(next(arm for arm, own in points.items() if own == point) for point in on)


def _left_out(episodes: Mapping[str, int]) -> list[str]:
    """Return a warning of episodes that are there and not compared: who chose may have seen how they ended."""
    if not episodes:
        return []
    counts = ", ".join(f"{arm} {n}" for arm, n in sorted(episodes.items()))
    return [
        f"Episodes in the folder that are not compared, of other arms, tasks, trials or options: {counts}. Holm's "
        "correction counts the compared arms alone."
    ]


def _different_tasks(rows: Sequence[TaskRow]) -> str:
    by_arm = tasks_by_arm(rows)
    counts = ", ".join(f"{arm} {len(tasks)}" for arm, tasks in by_arm.items())
    shared = len(frozenset.intersection(*by_arm.values()))
    return (
        f"Arms have verdicts on different tasks ({counts} of {len(rows)}; all of them on {shared}): their own rates do "
        "not rank them, paired differences do."
    )


def _label(subset: str | None) -> str:
    return NO_CHOICE if subset is None else subset_label(split_subset(subset))


def _by_task(scores: Sequence[Score]) -> dict[str, list[Score]]:
    grouped: dict[str, list[Score]] = {}
    for score in sorted(scores, key=lambda score: score.trial):
        grouped.setdefault(score.task_id, []).append(score)
    return grouped


def _task_row(task: str, arms: Mapping[str, Mapping[str, list[Score]]], truth: Mapping[str, TaskGrid]) -> TaskRow:
    grid = truth.get(task)
    cells = {}
    for arm, by_task in arms.items():
        mine = by_task.get(task, [])
        scored = [score for score in mine if score.scored]
        cells[arm] = TaskCell(
            trials=len(scored),
            successes=sum(score.success for score in scored),
            errors=len(mine) - len(scored),
            tokens=known_mean([score.tokens.total for score in scored]),
            subsets=tuple(dict.fromkeys(_label(score.subset if score.chosen else None) for score in mine)),
            episodes=tuple(score.id for score in mine),
        )
    minimal = None
    if grid is not None:
        minimal = subset_label(in_order(grid.minimal))
    return TaskRow(task_id=task, arms=cells, minimal=minimal, oracle=grid.oracle if grid else None)


def _simulated(settings: CompareSettings) -> tuple[str, ...]:
    said = ["The user of every episode is simulated by the benchmark."]
    if settings.model.name.startswith("scripted:"):
        said.append("The backbone is a scripted stand-in, not a language model.")
    if settings.replay:
        said.append("Outcomes are replayed from executed episodes; selectors chose anew, no new episode was run.")
    return tuple(said)


def _warnings(arms: Sequence[ArmResult], plain: str | None) -> list[str]:
    said = []
    trials = max((arm.measures.trials for arm in arms), default=0)
    if trials < CLAIM_TRIALS:
        said.append(f"{trials} trial{'s' * (trials != 1)} per task: a claim needs at least {CLAIM_TRIALS}.")
    if plain is None:
        said.append("No arm without helpers: there is no overhead and no difference to the plain agent.")
    broken = [
        f"{arm.arm} {sum(arm.measures.errors.values())} of {arm.measures.episodes} "
        f"({error_counts(arm.measures.errors)})"
        for arm in arms
        if arm.measures.errors
    ]
    if broken:
        said.append(f"Episodes that ended in an error, in no rate: {'; '.join(broken)}.")
    short = [f"{arm.arm} {e.short}" for arm in arms for e in arm.measures.pass_k if e.short and e.k == trials]
    if short:
        said.append(f"Tasks with fewer trials, left out of pass^{trials}: {', '.join(short)}.")
    for arm in arms:
        if arm.missing:
            asked = arm.missing + arm.measures.episodes
            said.append(f"{arm.arm}: {arm.missing} of {asked} choices were never executed and are left out.")
    for arm in arms:
        if arm.health is not None:
            said += arm.health.warnings(arm.arm, SELECTORS.traits(arm.selector).blind)
    return said


def _of_runs(settings: CompareSettings, arms: Sequence[ArmResult], scores: Mapping[str, Sequence[Score]]) -> list[str]:
    """Return what to beware of in how the episodes came about: run again, other commits, out of time or budget."""
    said = []
    again = [f"{arm.arm} {portion(arm.second_attempts, arm.measures.episodes)}" for arm in arms if arm.second_attempts]
    if again:
        said.append(f"Episodes that were run again after an error: {', '.join(again)}.")
    commits = _commits(scores)
    if len(commits) > 1:
        named = ", ".join(f"{n} at {commit}" for commit, n in commits.items())
        said.append(f"Episodes ran at {len(commits)} commits: {named}.")
    late = [f"{arm.arm} {portion(arm.out_of_time, arm.measures.episodes)}" for arm in arms if arm.out_of_time]
    if late:
        said.append(
            f"Ended by limits.seconds ({settings.limits.seconds:g} s), a limit by choice and no error, and judged as "
            f"they stood: {', '.join(late)}. A slow machine ends more of them."
        )
    limits = settings.budget.changed("decision", "episode", "run")
    cut = {arm: sum(score.cut for score in own) for arm, own in scores.items()}
    short = [f"{arm} {portion(n, sum(s.decisions for s in scores[arm]))}" for arm, n in cut.items() if n and limits]
    if short:
        of_run = " That of the run is shared by the arms and ends for what comes last." if "run" in limits else ""
        said.append(f"Decisions at which the budget left chosen helpers out: {', '.join(short)}.{of_run}")
    if any(arm.corrected for arm in arms):
        said.append("Some of these tasks are known to be wrong; results without them stand beside the others.")
    return said
