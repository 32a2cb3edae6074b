"""Tables of docs/paper-grid.md: cells with what they take and find, commands, cards, and measured episodes."""

import shlex
from functools import cache
from itertools import groupby

from eval.metrics.formats import DASH, count, detectable_points, percent, plain_number, span
from eval.planning.cards import read_backbones
from eval.planning.comparison_plan import ComparisonPlan
from eval.planning.expected import Range
from eval.planning.paper_grid import PaperGridCell, grid_cells
from eval.planning.sample_size import SampleSizePlan
from eval.planning.workload import Basis, Workload, read_workloads
from eval.publish.markdown import table
from fama.models.servers.vllm import tool_flags

#: New tokens per second and card that GPU hours are given for: a unit, no measurement.
PER_SECOND = 1000.0
UNKNOWN = "unknown"
_STEP = 512


@cache
def planned() -> tuple[tuple[PaperGridCell, ComparisonPlan], ...]:
    """Return the cells with their plans."""
    return tuple((cell, cell.plan()) for cell in grid_cells())


def grid() -> str:
    """Tabulate the cells: size, tokens, hours and what is found."""
    head = (
        *("domain", "backbone", "strategy", "tasks × trials × arms", "episodes", "agent reads, M", "agent, new M"),
        *("helpers and selection, new M", "user's model, new M", "GPU hours, backbone", "GPU hours, user"),
        *("found, points", "if it varies", "with Holm", "tokens and spread of"),
    )
    return table(head, [_row(cell, plan) for cell, plan in planned()])


def _row(cell: PaperGridCell, plan: ComparisonPlan) -> list[str]:
    settings, expected, own, holm = cell.settings, plan.expected, plan.own, plan.holm
    tokens = [UNKNOWN] * 6
    if expected is not None:
        parts = (expected.agent.read, expected.agent.new, expected.added.new, expected.user.new)
        tokens = [_span(part.times(1e-6)) for part in parts]
        tokens += [_span(expected.hours(PER_SECOND)), _span(expected.user_hours(PER_SECOND))]
    return [
        *(f"{settings.benchmark} {settings.domain}", cell.backbone.rpartition("/")[2], cell.strategy),
        *(f"{plan.tasks} × {plan.trials} × {plan.arms}", f"{plan.episodes:,}", *tokens),
        *(_points(one) for one in (own.alike, own.varying, holm.varying or holm.alike)),
        _basis(expected.basis) if expected is not None else "nothing logged; the spread is a guess",
    ]


def grid_commands() -> str:
    """Return the commands of the cells, a block for each domain."""
    blocks = []
    for config, group in groupby(planned(), key=lambda pair: pair[0].config):
        lines = [cell.command for cell, _ in group]
        blocks.append("\n".join([f"`{config}`:", "", "```bash", *lines, "```"]))
    return "\n\n".join(blocks)


def sources() -> str:
    """Tabulate the measured episodes that the plans of the grid multiply."""
    used = list({id(one): one for one in (_workload(plan) for _, plan in planned()) if one is not None}.values())
    head = (
        *("domain", "backbone", "strategy", "episodes (tasks)", "decisions", "agent reads", "of it fresh", "writes"),
        *("calls of all six helpers", "their questions", "user's model reads", "of it fresh", "writes"),
        *("solved, %", "trials that end differently, %"),
    )
    body = [
        [
            *(one.domain, one.backbone, one.strategy, f"{one.episodes} ({one.decisions.n})", count(one.decisions, 1)),
            *(count(part) for part in (one.agent.read, one.agent.fresh, one.agent.written)),
            *(count(one.all_helpers.calls, 1), count(one.all_helpers.question)),
            *(count(part) for part in (one.user.read, one.user.fresh, one.user.written)),
            percent(one.success, 0),
            f"{percent(one.discordance, 0)}, {one.pairs} pairs" if one.discordance is not None else DASH,
        ]
        for one in used
    ]
    return table(head, body)


def contrasts() -> str:
    """Tabulate how much the difference of two strategies varies between tasks."""
    body = [
        [
            f"{one.backbone}, {one.domain}",
            " and ".join(one.strategies),
            str(one.tasks),
            plain_number(100 * one.between**0.5),
            plain_number(100 * one.discordance),
        ]
        for one in read_workloads().contrasts
    ]
    head = ("logs", "strategies", "tasks", "SD of the difference between tasks, points", "end differently, %")
    return table(head, body)


def memory() -> str:
    """Tabulate parameters and memory of the backbones."""
    length = context()
    seats = planned()[0][0].settings.concurrency
    body = [
        [
            name,
            plain_number(one.parameters / 1e9, 2),
            plain_number(one.weight_bytes / 1e9, 1),
            plain_number(one.token_bytes / 1024),
            plain_number(seats * length * one.token_bytes / 1e9, 1),
            str(one.cards(seats * length)),
        ]
        for name, one in read_backbones().items()
    ]
    filled = f"{seats} contexts of {length:,} tokens, GB"
    head = ("backbone", "parameters, billion", "weights, GB", "KiB per token of context", filled, "cards of 80 GB")
    return table(head, body)


def servers() -> str:
    """Return the commands that serve the backbones and the user's model."""
    length, first = context(), planned()[0][0].settings
    user = first.user_model.name if first.user_model is not None else ""
    ports = [(name, 8000) for name in read_backbones()] + [(user, 8001)]
    lines = []
    for name, port in ports:
        size = read_backbones()[name].cards(first.concurrency * length)
        words = ["vllm", "serve", name, "--port", str(port), "--max-model-len", str(length)]
        words += ["--max-num-seqs", str(first.concurrency), "--tensor-parallel-size", str(size), *tool_flags(name)]
        lines.append(shlex.join(words) + ("  # the user" if port == 8001 else ""))
    return "\n".join(["```bash", *lines, "```"])


def context() -> int:
    """Return tokens of context that the longest measured request and a reply need, in whole steps of 512."""
    longest = max(one.longest for one in (_workload(plan) for _, plan in planned()) if one is not None)
    needed = longest + planned()[0][0].settings.model.max_tokens
    return -(-needed // _STEP) * _STEP


def _workload(plan: ComparisonPlan) -> Workload | None:
    return plan.expected.basis.workload if plan.expected is not None else None


def _basis(basis: Basis) -> str:
    one = basis.workload
    differs = f"; another {' and '.join(basis.differs)}" if basis.differs else ""
    return f"{one.backbone} {one.strategy}, {one.decisions.n} tasks{differs}"


def _points(plan: SampleSizePlan | None) -> str:
    return DASH if plan is None else detectable_points(plan.detectable, 1)


def _span(value: Range) -> str:
    return span(value.low, value.high)


TABLES = {
    "paper-grid": grid,
    "paper-grid-commands": grid_commands,
    "paper-grid-sources": sources,
    "paper-grid-contrasts": contrasts,
    "paper-grid-memory": memory,
    "paper-grid-servers": servers,
}
