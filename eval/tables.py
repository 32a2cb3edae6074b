"""The report's tables, once, for HTML, Markdown and LaTeX."""

import math
from collections.abc import Sequence
from dataclasses import dataclass

from eval.formats import DASH, count, errors, number, p_value, percent
from eval.measures import Difference
from eval.one_off import Episodes, Payback, total
from eval.schema import ArmResult, Comparison
from eval.stats.bootstrap import Estimate


@dataclass(frozen=True)
class Cell:
    """A cell's text, the number it is sorted by, and whether it is the best of its column."""

    text: str
    sort: float | None = None
    best: bool = False


@dataclass(frozen=True)
class Table:
    """A table with a short name for files. The first column is text, the others are numbers."""

    name: str
    title: str
    caption: str
    columns: tuple[str, ...]
    rows: tuple[tuple[Cell, ...], ...]


def tables(comparison: Comparison) -> list[Table]:
    """All tables of a comparison; one without any content is left out."""
    built = [
        _success(comparison),
        _against(comparison),
        _cost(comparison),
        _one_off(comparison),
        _selection(comparison),
        _helpers(comparison),
        _curves(comparison),
    ]
    return [table for table in built if table is not None]


def _success(comparison: Comparison) -> Table:
    ks = range(2, comparison.trials + 1)
    rows = []
    for arm in comparison.arms:
        m = arm.measures
        passes = {e.k: e.estimate for e in m.pass_k}
        rows.append(
            [
                Cell(arm.arm),
                _rate(m.success),
                *(_rate(passes[k]) if k in passes else Cell(DASH) for k in ks),
                *(Cell(str(n), n) for n in (m.tasks, m.successes, m.failures)),
                Cell(errors(m.errors), sum(m.errors.values())),
            ]
        )
    return Table(
        "success",
        "Success",
        "95 % intervals over tasks in brackets. pass^k: the chance that k trials of a task all succeed. "
        "Errors are in no rate.",
        ("arm", "success, %", *(f"pass^{k}, %" for k in ks), "tasks", "solved", "failed", "errors"),
        _marked(rows, highest=[1, *range(2, 2 + len(ks))]),
    )


def _against(comparison: Comparison) -> Table | None:
    """Paired differences to the plain agent and to the learned arm."""
    sides = [side for side in ("versus_none", "versus_learned") if any(getattr(a, side) for a in comparison.arms)]
    if not sides:
        return None
    columns = ["arm"]
    rows: list[list[Cell]] = [[Cell(arm.arm)] for arm in comparison.arms]
    for side in sides:
        other = next(getattr(arm, side).versus for arm in comparison.arms if getattr(arm, side))
        columns += [f"against {other}, points", "p", "p, Holm", "only it", f"only {other}", "detectable, points"]
        for row, arm in zip(rows, comparison.arms, strict=True):
            versus: Difference | None = getattr(arm, side)
            row += _difference(versus) if versus else [Cell(DASH)] * 6
    return Table(
        "differences",
        "Paired differences in success",
        "On the same tasks, trials and seeds; p of sign-flip tests over tasks, then Holm-corrected over arms. "
        "Only it: trials that this arm alone solved. Detectable: the true difference that such a comparison finds "
        "4 times in 5.",
        tuple(columns),
        tuple(map(tuple, rows)),
    )


def _difference(versus: Difference) -> list[Cell]:
    found = versus.detectable
    return [
        Cell(percent(versus.estimate, signed=True), versus.estimate.value, versus.clear),
        Cell(p_value(versus.p), versus.p),
        Cell(p_value(versus.p_holm), versus.p_holm),
        Cell(str(versus.only_ours), versus.only_ours),
        Cell(str(versus.only_theirs), versus.only_theirs),
        Cell(number(None if found is None else found * 100, 0), found),
    ]


def _cost(comparison: Comparison) -> Table:
    rows = []
    for arm in comparison.arms:
        m = arm.measures
        over = arm.versus_none.overhead if arm.versus_none else None
        rows.append(
            [
                Cell(arm.arm),
                Cell(count(m.tokens), m.tokens.value),
                Cell(percent(over, 0, signed=True), over.value) if over else Cell(DASH),
                *(Cell(number(m.tokens_by_role.get(role)), m.tokens_by_role.get(role)) for role in _ROLES),
                Cell(count(m.tokens_per_success), m.tokens_per_success.value),
                Cell(percent(m.cached_share, 0), m.cached_share.value),
                Cell(number(m.decision_seconds.value, 3), m.decision_seconds.value),
                Cell(number(m.episode_seconds.value, 1), m.episode_seconds.value),
            ]
        )
    return Table(
        "cost",
        "Cost",
        "Tokens an episode, input and output; the user simulator and judges are not charged. Cached: share of input "
        "that the server had at hand. s a decision: selection and notes.",
        (
            *("arm", "tokens", "over none, %", "agent", "helpers", "selection"),
            *("tokens a success", "cached, %", "s a decision", "s an episode"),
        ),
        _marked(rows, lowest=[6]),
    )


def _one_off(comparison: Comparison) -> Table | None:
    """What arms need before their first episode, and when saved tokens have paid for it."""
    arms = [arm for arm in comparison.arms if arm.one_off]
    if not arms:
        return None
    rivals = list(dict.fromkeys(paid.versus for arm in arms for paid in arm.payback))
    columns = ["arm", "outcome table, tokens", "plain run and diagnosis, tokens", "training, s", "tokens", "hours"]
    for rival in rivals:
        columns += [f"saved an episode against {rival}, tokens", f"paid back against {rival}, episodes"]
    rows = []
    for arm in arms:
        tables = [part for part in arm.one_off if part.part == "outcome table"]
        training = [part for part in arm.one_off if part.part == "training"]
        others = [part for part in arm.one_off if part not in (*tables, *training)]
        seconds = total(arm.one_off, "seconds")
        paid = {one.versus: one for one in arm.payback}
        rows.append(
            (
                Cell(arm.arm),
                *(_known(total(parts)) if parts else Cell(DASH) for parts in (tables, others)),
                _known(total(training, "seconds"), 1) if training else Cell(DASH),
                _known(total(arm.one_off)),
                _known(None if seconds is None else seconds / 3600, 2),
                *(cell for rival in rivals for cell in _paid(paid.get(rival))),
            )
        )
    return Table(
        "one_off",
        "Spent once, before the first episode",
        "In no other table's tokens. Paid back: episodes after which the tokens saved an episode equal what was spent "
        "once, beyond what the other arm needs once, too; never: nothing is saved. Interval from that of the saved "
        "tokens. On the retrospective track every new task needs its own plain run and diagnosis.",
        tuple(columns),
        tuple(rows),
    )


def _known(value: float | None, digits: int = 0) -> Cell:
    return Cell("unknown" if value is None else number(value, digits), value)


def _paid(paid: Payback | None) -> list[Cell]:
    if paid is None:
        return [Cell(DASH)] * 2
    sort = paid.episodes if isinstance(paid.episodes, float) else None
    text = episodes_text(paid.episodes)
    if paid.low is not None and paid.high is not None and (paid.low, paid.high) != ("never", "never") and text != "0":
        text += f" [{episodes_text(paid.low)}, {episodes_text(paid.high)}]"
    return [Cell(count(paid.saved), paid.saved.value), Cell(text, sort)]


def episodes_text(episodes: Episodes) -> str:
    """``812``, ``never`` or ``unknown``; part of an episode counts as one."""
    if episodes is None:
        return "unknown"
    return episodes if isinstance(episodes, str) else number(math.ceil(episodes))


ORACLE_NOTE = "Best executed: picked after the fact, an upper bound."
_ROLES = ("agent", "helper", "selector")


def _selection(comparison: Comparison) -> Table | None:
    rows = []
    for arm in comparison.arms:
        report = arm.selection
        top = ", ".join(f"{subset} ×{n}" for subset, n in list(arm.subsets.items())[:3])
        more = len(arm.subsets) - 3
        rows.append(
            [
                Cell(arm.arm),
                Cell(number(arm.helpers_per_episode, 1), arm.helpers_per_episode),
                *(
                    [_rate(report.exact, 0), _plain(report.jaccard), _rate(report.regret)]
                    if report
                    else [Cell(DASH)] * 3
                ),
                Cell(number(report.macro_f1, 2), report.macro_f1) if report else Cell(DASH),
                Cell(top + (f" and {more} more" if more > 0 else "")),
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
    return Table(
        "selection",
        "Selection",
        against
        + " Regret: success that the best executed subset has over the chosen one; picked after the fact, it is an "
        "upper bound.",
        ("arm", "helpers", "right subset, %", "Jaccard", "regret, points", "macro F1", "chosen most"),
        _marked(rows, highest=[2, 3], lowest=[4]),
    )


def _curves(comparison: Comparison) -> Table | None:
    if not comparison.curves:
        return None
    versus = comparison.curves[0].versus
    rows = []
    for curve in comparison.curves:
        tokens = [point.tokens.value for point in curve.points if point.tokens.value is not None]
        equal, needed = curve.success_at_equal_tokens, curve.tokens_at_equal_success
        rows.append(
            [
                Cell(curve.arm),
                Cell(str(len(set(tokens))), len(set(tokens))),
                Cell(f"{min(tokens):,.0f} to {max(tokens):,.0f}" if len(set(tokens)) > 1 else number(tokens[0])),
                Cell(percent(curve.area), curve.area.value),
                Cell(number(None if equal is None else 100 * equal, 1), equal),
                Cell(number(needed), needed),
            ]
        )
    return Table(
        "curves",
        "Success over tokens, for every price of tokens",
        "Replayed from executed subsets at each λ, the success that 1,000 tokens are worth, from 0 to ∞. Area: mean "
        "attainable success over the budgets that all curves span. The last two columns hold an arm's curve against "
        f"{versus}; a dash: not reached. {ORACLE_NOTE}",
        ("arm", "points", "tokens", "area, %", f"success at {versus}'s tokens, %", f"tokens for {versus}'s success"),
        tuple(map(tuple, rows)),
    )


def _helpers(comparison: Comparison) -> Table | None:
    names = list(dict.fromkeys(name for arm in comparison.arms if arm.selection for name in arm.selection.f1))
    if not names:
        return None
    rows = [
        [Cell(arm.arm), *(Cell(number(arm.selection.f1.get(n), 2), arm.selection.f1.get(n)) for n in names)]
        for arm in comparison.arms
        if arm.selection
    ]
    return Table(
        "helpers",
        "F1 by helper",
        "Whether a helper was chosen where the minimal subset has it; a dash where it is neither chosen nor needed.",
        ("arm", *names),
        _marked(rows, highest=list(range(1, len(names) + 1))),
    )


def _rate(estimate: Estimate, digits: int = 1) -> Cell:
    return Cell(percent(estimate, digits), estimate.value)


def _plain(estimate: Estimate) -> Cell:
    return Cell(count(estimate, 2), estimate.value)


def _marked(
    rows: Sequence[Sequence[Cell]], highest: Sequence[int] = (), lowest: Sequence[int] = ()
) -> tuple[tuple[Cell, ...], ...]:
    """Rows with the best cell of each listed column marked; ties are all marked, unless all are equal."""
    marked = [list(row) for row in rows]
    for columns, pick in ((highest, max), (lowest, min)):
        for column in columns:
            values = [value for row in rows if (value := row[column].sort) is not None]
            if len(set(values)) < 2:
                continue
            for row in marked:
                cell = row[column]
                row[column] = Cell(cell.text, cell.sort, cell.sort == pick(values))
    return tuple(tuple(row) for row in marked)


def latex(table: Table) -> str:
    """The table with booktabs rules, the best in bold."""
    lines = [
        rf"\begin{{tabular}}{{l{'r' * (len(table.columns) - 1)}}}",
        r"\toprule",
        " & ".join(map(_tex, table.columns)) + r" \\",
        r"\midrule",
        *(
            " & ".join(rf"\textbf{{{_tex(c.text)}}}" if c.best else _tex(c.text) for c in row) + r" \\"
            for row in table.rows
        ),
        r"\bottomrule",
        r"\end{tabular}",
    ]
    return f"% {' '.join(table.caption.split())}\n" + "\n".join(lines) + "\n"


_TEX = {
    "\\": r"\textbackslash{}",
    **{sign: f"\\{sign}" for sign in "&%$#_{}"},
    "~": r"\textasciitilde{}",
    "^": r"\textasciicircum{}",
    DASH: "--",
    "×": r"$\times$",
    "−": "$-$",
    "<": r"$<$",
    "[": "{[}",
}


def _tex(text: str) -> str:
    return "".join(_TEX.get(sign, sign) for sign in text)


def markdown(table: Table) -> str:
    """The table in GitHub's Markdown, the best in bold."""

    def line(cells: Sequence[str]) -> str:
        return f"| {' | '.join(cells)} |"

    rule = ["---", *["---:"] * (len(table.columns) - 1)]
    rows = [line([f"**{md(c.text)}**" if c.best else md(c.text) for c in row]) for row in table.rows]
    return "\n".join([line([md(c) for c in table.columns]), line(rule), *rows]) + "\n"


def md(text: str) -> str:
    """Text as Markdown that shows it as it is, on one line."""
    escaped = "".join(f"\\{sign}" if sign in "\\|*_`<>[]#" else sign for sign in text)
    return " ".join(escaped.split())


def arm_intervals(arms: Sequence[ArmResult]) -> list[tuple[str, Estimate, Estimate]]:
    """(arm, tokens, success) of the arms that have both."""
    return [
        (arm.arm, arm.measures.tokens, arm.measures.success)
        for arm in arms
        if arm.measures.tokens.value is not None and arm.measures.success.value is not None
    ]
