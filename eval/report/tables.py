"""The report's tables, once, for HTML, Markdown and LaTeX."""

from collections.abc import Sequence
from dataclasses import replace
from typing import Literal

from eval.compare.schema import ArmResult, Comparison, Curve, tasks_by_arm
from eval.metrics.formats import DASH, count, detectable_points, error_counts, p_value, percent, plain_number
from eval.metrics.measures import Measures, PairedDifference
from eval.metrics.ranking import comparable
from eval.metrics.selection_quality import NO_CHOICE, SelectionQuality
from eval.report.answers_table import answers_table
from eval.report.corrected_table import corrected_table
from eval.report.health_table import BROKEN, arm_cell, health_table, with_note
from eval.report.setup_cost_table import setup_cost_table
from eval.report.table_format import Table, TableCell
from fama.episodes.records import CHARGED
from fama.intervals import Interval

#: Which tokens success is drawn over: all, or those that no cache held.
CostColumn = Literal["tokens", "new_tokens"]


_NOT_RANKED = "None is marked as the best, since arms have verdicts on different tasks."


def comparison_tables(comparison: Comparison) -> list[Table]:
    """Build all tables of a comparison; one without any content is left out."""
    built = [
        _success(comparison),
        answers_table(comparison),
        _against(comparison),
        corrected_table(comparison),
        _cost(comparison),
        setup_cost_table(comparison),
        _selection(comparison),
        health_table(comparison),
        _helpers(comparison),
        _curves(comparison),
    ]
    return [with_note(table) for table in built if table is not None]


def _success(comparison: Comparison) -> Table:
    ks = range(2, comparison.trials + 1)
    unlike = [k for k in ks if len(set(tasks_by_arm(comparison.per_task, k).values())) > 1]
    said = "" if comparison.same_tasks else f" {_NOT_RANKED}"
    if unlike and comparison.same_tasks:
        names = ", ".join(f"pass^{k}" for k in unlike)
        said = f" None is marked as the best in {names}, since arms have so many trials on different tasks."
    rows = []
    for arm in comparison.arms:
        m = arm.measures
        passes = {e.k: e.estimate for e in m.pass_k}
        rows.append(
            [
                arm_cell(arm),
                _rate(m.success),
                *(_rate(passes[k]) if k in passes else TableCell(DASH) for k in ks),
                *(TableCell(str(n), n) for n in (judged_tasks(m), m.successes, m.failures)),
                TableCell(error_counts(m.errors), sum(m.errors.values())),
            ]
        )
    return Table(
        "success",
        "Success",
        "95 % intervals over tasks in brackets. pass^k: the chance that k trials of a task all succeed. "
        "Errors are in no rate. Tasks: those with a verdict." + said,
        ("arm", "success, %", *(f"pass^{k}, %" for k in ks), "tasks", "solved", "failed", "errors"),
        _marked(rows, highest=[k for k in (1, *ks) if k not in unlike] if comparison.same_tasks else []),
        (1, *ks[-1:], 2 + len(ks)),
    )


def judged_tasks(measures: Measures) -> int:
    """Return the number of tasks behind a success rate: those with a verdict; of files without it, all."""
    return measures.tasks if measures.success.n is None else measures.success.n


def _against(comparison: Comparison) -> Table | None:
    """Tabulate paired differences to the plain agent and to the learned arm."""
    sides = [side for side in ("versus_none", "versus_learned") if any(getattr(a, side) for a in comparison.arms)]
    if not sides:
        return None
    columns = ["arm"]
    rows: list[list[TableCell]] = [[arm_cell(arm)] for arm in comparison.arms]
    for side in sides:
        other = next(getattr(arm, side).versus for arm in comparison.arms if getattr(arm, side))
        columns += [f"against {other}, points", "p", "p, Holm", "Cohen's h", "only it", f"only {other}"]
        columns += ["detectable, points"]
        for row, arm in zip(rows, comparison.arms, strict=True):
            versus: PairedDifference | None = getattr(arm, side)
            row += _difference(versus, arm) if versus else [TableCell(DASH)] * 7
    return Table(
        "differences",
        "Paired differences in success",
        "On the same tasks, trials and seeds; p of sign-flip tests over tasks, then Holm-corrected over arms. "
        "Only it: trials that this arm alone solved. Detectable: the true difference that such a comparison finds "
        "4 times in 5 at the level that Holm's correction asks of the smallest p. Cohen's h: 0.2 is small, 0.5 medium, "
        "0.8 large. * corrected p < 0.05, ** < 0.01, *** < 0.001.",
        tuple(columns),
        tuple(map(tuple, rows)),
        tuple(1 + 7 * side + i for group in ((0, 2), (6, 3), (4, 5, 1)) for side in range(len(sides)) for i in group),
    )


def _difference(versus: PairedDifference, arm: ArmResult) -> list[TableCell]:
    detectable, size = versus.detectable_holm, versus.cohens_h
    return [
        TableCell(
            percent(versus.estimate, signed=True),
            versus.estimate.value,
            versus.clear and (versus.estimate.value or 0.0) > 0 and not arm.broken,  # a clear loss is none of the best
            _stars(versus),
        ),
        TableCell(p_value(versus.p), versus.p),
        TableCell(p_value(versus.p_holm), versus.p_holm),
        TableCell(plain_number(size, 2).replace("-", "−"), size),
        TableCell(str(versus.only_ours), versus.only_ours),
        TableCell(str(versus.only_theirs), versus.only_theirs),
        TableCell(detectable_points(detectable), detectable),
    ]


def _stars(versus: PairedDifference) -> str:
    p = versus.p if versus.p_holm is None else versus.p_holm
    return "" if p is None else "*" * sum(p < limit for limit in (0.05, 0.01, 0.001))


def _cost(comparison: Comparison) -> Table:
    rows = []
    for arm in comparison.arms:
        m = arm.measures
        over = arm.versus_none.overhead if arm.versus_none else None
        rows.append(
            [
                arm_cell(arm),
                TableCell(count(m.tokens), m.tokens.value),
                TableCell(percent(over, 0, signed=True), over.value) if over else TableCell(DASH),
                *(TableCell(plain_number(m.tokens_by_role.get(role)), m.tokens_by_role.get(role)) for role in CHARGED),
                TableCell(count(m.tokens_per_success), m.tokens_per_success.value),
                TableCell(count(m.new_tokens), m.new_tokens.value) if m.new_tokens else TableCell(DASH),
                TableCell(percent(m.cached_share, 0), m.cached_share.value),
                TableCell(plain_number(m.decision_seconds.value, 3), m.decision_seconds.value),
                TableCell(plain_number(m.episode_seconds.value, 1), m.episode_seconds.value),
            ]
        )
    return Table(
        "cost",
        "Cost",
        "Tokens per episode, input and output; the user simulator and judges are not charged. New: tokens that the "
        "server had not at hand; cached: share of input that it had. s per decision: selection and notes.",
        (
            *("arm", "tokens", f"over {comparison.plain}, %", "agent", "helpers", "selection"),
            *("tokens per success", "new tokens", "cached, %", "s per decision", "s per episode"),
        ),
        _marked(rows, lowest=[6] if comparison.same_tasks else []),
        (1, 2, 7, 6, 4, 5, 3),
    )


ORACLE_NOTE = "Best executed: picked after the fact, an upper bound."


def _selection(comparison: Comparison) -> Table | None:
    rows = []
    for arm in comparison.arms:
        report = arm.selection
        top = ", ".join(f"{subset} ×{n}" for subset, n in list(arm.subsets.items())[:3])
        more = len(arm.subsets) - 3
        rows.append(
            [
                arm_cell(arm),
                TableCell(plain_number(arm.helpers_per_episode, 1), arm.helpers_per_episode),
                *(
                    [_rate(report.exact, 0), _plain(report.jaccard), _regret(report)]
                    if report
                    else [TableCell(DASH)] * 3
                ),
                TableCell(plain_number(report.macro_f1, 2), report.macro_f1) if report else TableCell(DASH),
                TableCell(top + (f" and {more} more" if more > 0 else "")),
            ]
        )
    if not any(arm.subsets for arm in comparison.arms):
        return None
    lattice = comparison.lattice
    against = (
        f"Against the minimal subset of each task, the cheapest executed one that is not worse than the best "
        f"({lattice.tasks} tasks, {lattice.subsets_per_task:.1f} subsets each, from {lattice.source})."
        if lattice
        else "No task has two executed subsets, so there is nothing to judge choices against."
    )
    alike = _chose_on_the_same_tasks(comparison)
    hopeless = sum(row.oracle == 0 for row in comparison.per_task)
    if hopeless:
        against += f" On {hopeless} of these tasks none ever succeeds, so that the cheapest one counts as right there."
    against += "" if alike else " None is marked as the best, since arms chose on different tasks."
    return Table(
        "selection",
        "Selection",
        against
        + " Regret: success that the best executed subset has over the chosen one; picked after the fact, it is an "
        f"upper bound; where the grid lacks some choices, it is over the others, counted beside it, and not compared. "
        f"Episodes with {NO_CHOICE} of the selector are never right. An arm that asks other helpers as an episode goes "
        "on runs no one subset and is not judged; its helpers are all that an episode asked.",
        ("arm", "helpers", "right subset, %", "Jaccard", "regret, points", "macro F1", "chosen most"),
        _marked(rows, highest=[2, 3], lowest=[4]) if alike else tuple(map(tuple, rows)),
    )


def _curves(comparison: Comparison) -> Table | None:
    if not comparison.curves:
        return None
    versus = comparison.curves[0].versus
    against = () if versus is None else (f"success at {versus}'s tokens, %", f"tokens for {versus}'s success")
    arms = {arm.arm: arm_cell(arm) for arm in comparison.arms}
    rows = []
    for curve in comparison.curves:
        equal, needed = curve.success_at_equal_tokens, curve.tokens_at_equal_success
        read_off = (
            TableCell(plain_number(None if equal is None else 100 * equal, 1), equal),
            TableCell(plain_number(needed), needed),
        )
        area = TableCell(percent(curve.area), curve.area.value)
        rows.append((arms.get(curve.arm, TableCell(curve.arm)), *_spanned(curve), area, *read_off[: len(against)]))
    unknown = ", ".join(curve.arm for curve in comparison.curves if curve.tokens is None)
    return Table(
        "curves",
        "Success over tokens, for every price of tokens",
        "Replayed from executed subsets at each λ, the success that 1,000 tokens are worth, from 0 to ∞. Area: mean "
        "attainable success over the budgets that all curves span. "
        + (f"The last two columns hold an arm's curve against {versus}; a dash: not reached. " if against else "")
        + (f"Tokens of {unknown} are unknown: the server reported no usage. " if unknown else "")
        + ORACLE_NOTE,
        ("arm", "points", "tokens", "area, %", *against),
        tuple(rows),
        (3, 2),
    )


def _spanned(curve: Curve) -> tuple[TableCell, TableCell]:
    """Return an arm's points and the tokens that they span."""
    tokens = set(curve.tokens or ())
    if not tokens:
        return TableCell(DASH), TableCell(DASH)
    low, high = min(tokens), max(tokens)
    ends = f"{low:,.0f} to {high:,.0f}" if len(tokens) > 1 else plain_number(low)
    return TableCell(str(len(tokens)), len(tokens)), TableCell(ends)


def _helpers(comparison: Comparison) -> Table | None:
    names = list(dict.fromkeys(name for arm in comparison.arms if arm.selection for name in arm.selection.f1))
    if not names:
        return None
    rows = [
        [arm_cell(arm), *(TableCell(plain_number(arm.selection.f1.get(n), 2), arm.selection.f1.get(n)) for n in names)]
        for arm in comparison.arms
        if arm.selection
    ]
    return Table(
        "helpers",
        "F1 by helper",
        "Whether a helper was chosen where the minimal subset has it; a dash where it is neither chosen nor needed.",
        ("arm", *names),
        _marked(rows, highest=list(range(1, len(names) + 1)) if _chose_on_the_same_tasks(comparison) else []),
    )


def _chose_on_the_same_tasks(comparison: Comparison) -> bool:
    """Return whether choices are judged on as many tasks for each arm: an error may end an episode before any."""
    return len({arm.selection.tasks for arm in comparison.arms if arm.selection is not None}) <= 1


def _rate(estimate: Interval, digits: int = 1) -> TableCell:
    return TableCell(percent(estimate, digits), estimate.value)


def _regret(quality: SelectionQuality) -> TableCell:
    """Return the regret; over a part of the choices it is no rival of a regret over all."""
    if quality.executed == quality.choices:
        return _rate(quality.regret)
    return TableCell(f"{percent(quality.regret, 1)} (of {quality.executed} of {quality.choices})")


def _plain(estimate: Interval) -> TableCell:
    return TableCell(count(estimate, 2), estimate.value)


def _marked(
    rows: Sequence[Sequence[TableCell]], highest: Sequence[int] = (), lowest: Sequence[int] = ()
) -> tuple[tuple[TableCell, ...], ...]:
    """Return rows with the best cell of each listed column marked; ties are all marked, unless all are equal.

    Arms with a broken selector are never the best.
    """
    sound = [row[0].mark != BROKEN for row in rows]
    marked = [list(row) for row in rows]
    for columns, pick in ((highest, max), (lowest, min)):
        for column in columns:
            values = [None if (v := row[column].sort) is None else comparable(v) for row in rows]
            known = [v for v, ok in zip(values, sound, strict=True) if ok and v is not None]
            if len(set(known)) < 2:
                continue
            for row, value, ok in zip(marked, values, sound, strict=True):
                row[column] = replace(row[column], best=ok and value == pick(known))
    return tuple(tuple(row) for row in marked)


def arm_intervals(arms: Sequence[ArmResult], cost: CostColumn) -> list[tuple[str, Interval, Interval]]:
    """Return (arm, tokens of a kind, success) of the arms that have both."""
    found = []
    for arm in arms:
        m = arm.measures
        tokens = m.tokens if cost == "tokens" else m.new_tokens
        if tokens is not None and tokens.value is not None and m.success.value is not None:
            found.append((arm.arm, tokens, m.success))
    return found
