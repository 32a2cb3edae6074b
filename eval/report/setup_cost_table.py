"""The report's table of setup cost and break-even point."""

import math

from eval.compare.schema import Comparison
from eval.compare.setup_cost import BreakEven, Payback, total
from eval.metrics.formats import DASH, count, plain_number
from eval.report.health_table import arm_cell
from eval.report.table_format import Table, TableCell


def setup_cost_table(comparison: Comparison) -> Table | None:
    """Tabulate the setup cost of each arm and its break-even point."""
    arms = [arm for arm in comparison.arms if arm.one_off]
    if not arms:
        return None
    rivals = list(dict.fromkeys(paid.versus for arm in arms for paid in arm.payback))
    columns = ["arm", "outcome table, tokens", "plain run and diagnosis, tokens", "training, s", "tokens", "hours"]
    for rival in rivals:
        columns += [f"saved per episode against {rival}, tokens", f"break-even against {rival}, episodes"]
    rows = []
    for arm in arms:
        tables = [part for part in arm.one_off if part.part == "outcome table"]
        training = [part for part in arm.one_off if part.part == "training"]
        others = [part for part in arm.one_off if part not in (*tables, *training)]
        seconds = total(arm.one_off, "seconds")
        paid = {one.versus: one for one in arm.payback}
        rows.append(
            (
                arm_cell(arm),
                *(_known(total(parts)) if parts else TableCell(DASH) for parts in (tables, others)),
                _known(total(training, "seconds"), 1) if training else TableCell(DASH),
                _known(total(arm.one_off)),
                _known(None if seconds is None else seconds / 3600, 2),
                *(cell for rival in rivals for cell in _paid(paid.get(rival), bool(arm.measures.success.value))),
            )
        )
    return Table(
        "one_off",
        "Setup cost and break-even",
        "Spent before the first episode, in no other table's tokens. Break-even: episodes after which the tokens saved "
        "per episode equal the setup cost beyond that of the other arm; never: nothing is saved; –: the arm solves "
        "nothing. Interval from that of the saved tokens. On the retrospective track every new task needs its own "
        "plain run and diagnosis.",
        tuple(columns),
        tuple(rows),
        (4, 5, *range(6, len(columns))),
    )


def _known(value: float | None, digits: int = 0) -> TableCell:
    return TableCell("unknown" if value is None else plain_number(value, digits), value)


def _paid(paid: Payback | None, solves: bool) -> list[TableCell]:
    """Return the cells of saved tokens and of the break-even; an arm that solves nothing pays nothing back."""
    if paid is None:
        return [TableCell(DASH)] * 2
    saved = TableCell(count(paid.saved), paid.saved.value)
    if not solves:
        return [saved, TableCell(DASH)]
    return [saved, TableCell(break_even(paid), paid.episodes if isinstance(paid.episodes, float) else None)]


def break_even(paid: Payback) -> str:
    """Return ``812 [640, never]``."""
    text = episodes_text(paid.episodes)
    if paid.low is not None and paid.high is not None and (paid.low, paid.high) != ("never", "never") and text != "0":
        text += f" [{episodes_text(paid.low)}, {episodes_text(paid.high)}]"
    return text


def episodes_text(episodes: BreakEven) -> str:
    """Return ``812``, ``never`` or ``unknown``; part of an episode counts as one."""
    if episodes is None:
        return "unknown"
    return episodes if isinstance(episodes, str) else plain_number(math.ceil(episodes))
