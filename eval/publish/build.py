"""Makes every table of measured numbers in README and docs from the committed data: ``python -m eval.publish.build``.

A table stands between ``<!-- table NAME -->`` and ``<!-- end NAME -->`` in a Markdown file; what is between them is
replaced. ``--check`` writes nothing and fails where a file differs. Nothing is run or simulated: the inputs are the
outcome tables, episodes and comparisons beside this file.
"""

import asyncio
import sys
import tempfile
from collections import Counter, defaultdict
from collections.abc import Callable, Sequence
from functools import cache, lru_cache, partial
from pathlib import Path
from typing import Any

import yaml

from eval.ablation.figure import curves
from eval.ablation.table import ablation_markdown
from eval.ablation.variant_runs import Ablation
from eval.compare.comparison import read_comparison, run_comparison
from eval.compare.executed import OWN_EPISODES
from eval.compare.schema import ArmResult, Comparison
from eval.metrics.formats import DASH, count, detectable_points, p_value, percent, plain_number
from eval.metrics.measures import PairedDifference
from eval.publish import (
    divergence,
    findings,
    logged_notes,
    mixed_traffic,
    paper_grid,
    real_logs,
    repairs_table,
    training_table,
)
from eval.publish.markdown import name, public, table
from eval.publish.markers import fill_tables
from eval.publish.training_cost import training_cost
from eval.publish.wording import AGENT_GAINS, kept_gain, pooled_gains
from eval.readings.fitted import stored_comparisons
from eval.readings.measured import measured_markdown
from eval.readings.readings import PARTS
from eval.report.answers_table import answers_table
from eval.report.figures import figures, save_figure
from eval.report.verification import verify
from eval.understanding.hearing import hear
from eval.understanding.hearing_tables import hearing_tables as understood
from eval.understanding.labelled_replies import LABELS, read_reply_labels
from fama.diagnosis.diagnose import diagnose_episode
from fama.diagnosis.taxonomy import load_taxonomy
from fama.envs.helpdesk.benchmark import FIRST_VERSIONS
from fama.episodes.outcome_table import read_metadata, read_outcomes
from fama.episodes.store import read_episodes
from fama.settings import CompareSettings
from fama.subsets import split_label, subset_label

ROOT = Path(__file__).resolve().parents[2]
DATA = ROOT / "results" / "helpdesk"
TRAINING = DATA / "outcomes-train.parquet"
#: The routers per turn that were compared on another unseen set.
FOURTH_ROUTERS = ("two rounds per turn", "learned per turn", "encoder per turn", "TF-IDF per turn")
#: The outcome tables that routers per episode learned from.
TRAINED_ON = {
    "outcome table": ("outcomes-mixed",),
    "outcome table, with that of saas": ("outcomes-mixed", "outcomes-saas"),
}
#: What ``fama ablate`` wrote, under the names of the tables.
ABLATIONS = ROOT / "results" / "ablations"
#: The first test task that no earlier version of the helpers' texts had been run on.
FRESH = 38
PAGES = (
    "README.md",
    "docs/helpdesk.md",
    "docs/notes-at-work.md",
    "docs/paper-grid.md",
    "docs/results.md",
    "docs/results/cases.md",
    "docs/results/labels.md",
    "docs/results/mining.md",
    "docs/results/published-logs.md",
    "docs/results/retrospective.md",
    "docs/results/routers.md",
    "docs/results/second-backbone.md",
    "docs/results/subsets.md",
    "docs/results/tau2.md",
    "docs/results/unseen-wording.md",
    "results/helpdesk/README.md",
)


def understanding(folder: Path) -> str:
    """Tabulate what the user hears in the labelled replies."""
    return understood(asyncio.run(hear(read_reply_labels(folder / LABELS), folder)))


def subset_grid(stem: str) -> str:
    """Tabulate every subset on the same tasks, against none, with the categories of the remaining failures."""
    path = DATA / f"{stem}.parquet"
    run = read_metadata(str(path))["config"]
    rows = read_outcomes(str(path), FIRST_VERSIONS[run["domain"]])
    settings = CompareSettings.model_validate(
        yaml.safe_load((ROOT / "configs/compare/helpdesk-subsets.yaml").read_text(encoding="utf-8"))
        | {"replay": str(path), "tasks": len({row.task_id for row in rows})}
        | {"domain": run["domain"], "split": run["split"]}
        | {"model": {"name": rows[0].backbone, "temperature": 0.0}}
    )
    with tempfile.TemporaryDirectory() as folder:
        comparison = asyncio.run(run_comparison(settings, Path(folder)))
    codes = load_taxonomy().codes
    broken = asyncio.run(_categories(stem))
    body = [
        (
            name(split_label(next(iter(arm.subsets), ""))),
            *_against_none(arm),
            plain_number(arm.measures.episode_seconds.value),
            " · ".join(str(broken[next(iter(arm.subsets), "none")][code]) for code in codes),
        )
        for arm in comparison.arms
    ]
    head = ("helpers", *_HEAD, "seconds", f"failures: {' · '.join(codes)}")
    return f"{_frame(comparison)}\n\n{table(head, body)}"


def against_none(folder: str) -> str:
    """Tabulate a live comparison in short: success, what each arm gains over none, and for how many tokens.

    Arms that chose the same one subset for every task have one row.
    """
    alike: dict[tuple[str, ...], list[str]] = {}
    for arm in _live(folder).arms:
        row = _against_none(arm)
        same = next(iter(arm.subsets)) if len(arm.subsets) == 1 else arm.arm
        alike.setdefault((same, *row[1:4], row[5]), []).append(arm.arm)
    body = [(", ".join(arms), *row) for (_, *row), arms in alike.items()]
    return table(("arm", "solved, %", *_HEAD[2:4], "tokens over none, %"), body)


def selectors(folder: str = "compare") -> str:
    """Tabulate a live comparison, in a folder beside the tables: of selectors on test tasks, when no other is named."""
    comparison = _live(folder)
    right = "right subset, %" if comparison.lattice else None
    body = [
        (
            arm.arm,
            *_against_none(arm),
            *([percent(arm.selection.exact, 0) if arm.selection else DASH] if right else []),
            _chosen(arm),
        )
        for arm in comparison.arms
    ]
    head = ("arm", *_HEAD, *([right] if right else []), "chose")
    return f"{_caption(comparison)}\n\n{table(head, body)}"


def _live(folder: str) -> Comparison:
    """Return a comparison beside the tables, checked against its episodes; a grid of its own arms is left out."""
    path = DATA / folder
    comparison = _verified(path, max(file.stat().st_mtime_ns for file in path.iterdir()))
    own = comparison.lattice is not None and comparison.lattice.source == OWN_EPISODES
    return comparison.model_copy(update={"lattice": None}) if own else comparison


@lru_cache(maxsize=16)
def _verified(folder: Path, changed: int) -> Comparison:
    """Return a comparison checked against its episodes, once for all its tables until a file has ``changed``."""
    return verify(folder, benchmark=False).comparison


def asked_questions(folder: str) -> str:
    """Tabulate what a live comparison was asked before it ran, with the answers."""
    asked = answers_table(_live(folder))
    if asked is None:
        raise ValueError(f"{folder}: nothing was asked of this comparison")
    return f"{asked.caption}\n\n{table(asked.columns, [[cell.text for cell in row] for row in asked.rows])}"


def reliability(folder: str) -> str:
    """Tabulate a live comparison with several trials of a task: pass^k of each arm."""
    comparison = _live(folder)
    body = [
        (
            arm.arm,
            *(percent(one.estimate, 0) for one in arm.measures.pass_k),
            *_against_none(arm)[2:],
            _paired(arm.versus_learned),
            _chosen(arm),
        )
        for arm in comparison.arms
    ]
    passes = [f"pass^{k + 1}, %" for k in range(comparison.trials)]
    head = ("arm", *passes, *_HEAD[2:], "against learned, points; p, Holm", "chose")
    return f"{_caption(comparison)}\n\n{table(head, body)}"


def power() -> str:
    """Tabulate the true difference that 80 % of such comparisons find at the level that Holm asks of the smallest p."""
    rows = [
        (trials, arm.arm, *(_points(one) for one in (arm.versus_none, arm.versus_learned)))
        for trials, folder in (("one trial", "compare"), ("four trials", "trials"))
        for arm in _live(folder).arms
    ]
    return table(("comparison", "arm", "detectable against none", "against learned"), rows)


def _points(difference: PairedDifference | None) -> str:
    if difference is None or difference.detectable_holm is None:
        return ""
    return detectable_points(difference.detectable_holm)


def tau2(domain: str) -> str:
    """Tabulate the live comparison of a domain of τ²-bench, with whom the detectors blame for its failures."""
    folder = f"../tau2/{domain}"
    comparison, diagnosed = _live(folder), findings.findings(DATA / folder)
    body = []
    for arm in comparison.arms:
        labels = [diagnosed.labels[episode.id] for episode in diagnosed.of(arm.arm) if episode.id in diagnosed.labels]
        user = f"{sum(label.blame == 'user' for label in labels)} of {len(labels)}"
        body.append((arm.arm, *_against_none(arm), user, _chosen(arm)))
    head = ("arm", *_HEAD, "failures blamed on the user", "chose")
    return f"{_caption(comparison)}\n\n{table(head, body)}"


def _paired(difference: PairedDifference | None) -> str:
    return f"{percent(difference.estimate, 0, signed=True)}; {p_value(difference.p_holm)}" if difference else ""


def _caption(comparison: Comparison) -> str:
    return f"{_frame(comparison)} Computed at commit {(comparison.commit or '')[:7]} by `{public(comparison.command)}`."


def ablation(path: Path) -> str:
    """Return the tables of one ``ablation.json``."""
    result = _read_ablation(path)
    return ablation_markdown(result.model_copy(update={"command": public(result.command)}))


def _read_ablation(path: Path) -> Ablation:
    return Ablation.model_validate_json(path.read_text(encoding="utf-8"))


def _compared(folder: str, *kinds: str) -> dict[str, Callable[[], str]]:
    """Return the tables of one comparison by name: its arms as ``folder``, others as ``folder-kind``."""
    made: dict[str, Callable[[], str]] = {
        "answers": partial(asked_questions, folder),
        "domains": lambda: findings.by_domain(DATA / folder),
        "calls": lambda: mixed_traffic.calls_and_notes(DATA / folder),
        "notes": lambda: mixed_traffic.notes_given(DATA / folder),
        "endings": lambda: mixed_traffic.endings(DATA / folder),
    }
    name = folder.replace(".", "-")
    return {name: partial(selectors, folder), **{f"{name}-{kind}": made[kind] for kind in kinds}}


TABLES: dict[str, Callable[[], str]] = {
    "outcomes": partial(training_table.outcomes, TRAINING),
    "runs": partial(training_table.runs, DATA),
    "repairs": lambda: repairs_table.repairs(DATA / "repairs-train"),
    "repairs-mixed": lambda: repairs_table.repairs(DATA / "repairs-mixed"),
    "repairs-turn": lambda: repairs_table.repairs(DATA / "repairs-turn-mixed"),
    "outcomes-mixed": partial(training_table.outcomes, DATA / "outcomes-mixed.parquet"),
    "outcomes-saas": partial(training_table.outcomes, DATA / "outcomes-saas.parquet"),
    "saas-effects": partial(training_table.helper_effects, DATA / "outcomes-saas.parquet"),
    "training-calls": lambda: training_cost(DATA, "plain-train-mixed", "repairs-mixed", TRAINED_ON),
    "grid-check": lambda: repairs_table.held_against_the_grid(DATA / "repairs-mixed" / "mine-check.json"),
    "note-effects-short": lambda: repairs_table.effects_in_short([DATA / "repairs-mixed", DATA / "repairs-agents"]),
    "note-effects": lambda: repairs_table.effects([DATA / "repairs-mixed", DATA / "repairs-agents"]),
    "lattice": partial(subset_grid, "lattice-test"),
    "grid-saas-dev": partial(subset_grid, "grid-saas-dev"),
    "lattice-0-5b": partial(subset_grid, "lattice-test-0.5b"),
    "solved-subsets": partial(training_table.solved_subsets, TRAINING),
    "helper-effects": partial(training_table.helper_effects, TRAINING),
    "against-none": partial(training_table.outcomes_against_none, TRAINING),
    "selectors": selectors,
    "saas-dev": partial(selectors, "saas-dev"),
    "retrospective": partial(selectors, "retrospective"),
    "unseen": partial(selectors, "mixed"),
    "unseen-short": partial(against_none, "mixed"),
    "unseen-domains": lambda: findings.by_domain(DATA / "mixed"),
    "unseen-answers": partial(asked_questions, "mixed"),
    "unseen-notes": lambda: mixed_traffic.notes_given(DATA / "mixed"),
    "unseen-read": lambda: mixed_traffic.failures_read(DATA / "mixed", DATA / "mixed" / "failures-read.yaml"),
    "unseen-parted": lambda: divergence.parted(DATA / "mixed", "learned per turn", "prompted per turn"),
    "unseen-asked": lambda: divergence.tabulate_asked(DATA / "mixed", ("learned per turn", "prompted per turn")),
    "unseen-partings": lambda: divergence.partings_read(DATA / "mixed", DATA / "mixed" / "decisions-read.yaml"),
    "oracle": partial(selectors, "mixed-oracle"),
    "oracle-solved": partial(training_table.solved_subsets, DATA / "grid-mixed.parquet"),
    "headroom": lambda: mixed_traffic.headroom(_live("mixed-oracle")),
    "within-margins": lambda: training_table.within_margins(DATA),
    "choice-by-trials": lambda: mixed_traffic.choice_by_trials(DATA),
    **_compared("fourth", "answers", "domains", "notes"),
    **_compared("fourth-setfit", "answers"),
    **_compared("fourth-0.5b", "answers", "endings"),
    "fourth-asked": lambda: divergence.tabulate_asked(DATA / "fourth", FOURTH_ROUTERS),
    "both-unseen": lambda: pooled_gains([_live("mixed"), _live("fourth")]),
    **_compared("agents", "answers", "calls", "notes"),
    **_compared("agents-fourth", "answers", "domains", "calls", "notes"),
    "both-agents": lambda: pooled_gains([_live("agents"), _live("agents-fourth")], AGENT_GAINS),
    "unseen-categories": lambda: findings.categories(DATA / "mixed"),
    "seen": partial(selectors, "mixed-seen"),
    "seen-domains": lambda: findings.by_domain(DATA / "mixed-seen"),
    "fitted-diagnosis": lambda: stored_comparisons.tabulate(stored_comparisons.read_comparisons()),
    "kept-gain": lambda: kept_gain(_live("mixed-seen"), _live("mixed")),
    "trials": partial(reliability, "trials"),
    **{f"tau2-{domain}": partial(tau2, domain) for domain in ("mock", "retail", "airline")},
    "power": power,
    "aims": lambda: findings.aims(DATA / "compare"),
    "fresh": lambda: findings.fresh(DATA / "compare", FRESH),
    "categories": lambda: findings.categories(DATA / "compare"),
    "cases": lambda: findings.cases(DATA / "compare"),
    "cases-trials": lambda: findings.cases(DATA / "trials"),
    "remaining": lambda: findings.remaining_failures(DATA / "compare"),
    "read-in-full": lambda: findings.read_in_full(DATA / "compare", DATA / "trials", DATA / "failures-read.yaml"),
    "understanding": lambda: understanding(DATA),
    **{f"readings-{part}": partial(measured_markdown, part) for part in PARTS},
    "real-profiles": real_logs.profiles,
    "real-helpers": real_logs.helpers,
    **paper_grid.TABLES,
    "logged-notes": logged_notes.notes_by_helper,
    "logged-notes-groups": logged_notes.by_group,
    **{f"ablation-{path.stem}": partial(ablation, path) for path in ABLATIONS.glob("*.json")},
}
#: Figures by file, and how each is drawn.
FIGURES: dict[str, Callable[[], Any]] = {
    "docs/images/results.png": lambda: figures(read_comparison(DATA / "compare"))["success_over_tokens"],
    "docs/images/mixed.png": lambda: figures(read_comparison(DATA / "mixed"))["success_over_new_tokens"],
    "docs/images/synthetic-curves.png": lambda: curves(_read_ablation(ABLATIONS / "synthetic.json")),
}
_HEAD = ("solved", "%", "against none, points", "p, Holm", "tokens per episode", "over none, %", "new tokens")


def main(arguments: Sequence[str]) -> int:
    """Rewrite or check the pages; 1 if a checked page is out of date."""
    made = cache(lambda block: TABLES[block]())
    stale = []
    for page in PAGES:
        path = ROOT / page
        old = path.read_text(encoding="utf-8")
        new = fill_tables(old, made)
        if new != old:
            stale.append(page)
            if "--check" not in arguments:
                path.write_text(new, encoding="utf-8")
    if "--check" not in arguments:
        for place, draw in FIGURES.items():
            save_figure(draw(), ROOT / place)
    sys.stdout.write(
        f"{made.cache_info().currsize} tables in {len(PAGES)} pages; {'changed' if stale else 'up to date'}: {stale}\n"
    )
    return 1 if stale and "--check" in arguments else 0


def _against_none(arm: ArmResult) -> tuple[str, ...]:
    versus, measures = arm.versus_none, arm.measures
    return (
        f"{measures.successes}",
        percent(measures.success, 0),
        percent(versus.estimate, 0, signed=True) if versus else "",
        p_value(versus.p_holm) if versus else "",
        count(measures.tokens),
        percent(versus.overhead, 0, signed=True) if versus else "",
        count(measures.new_tokens) if measures.new_tokens else DASH,
    )


def _frame(comparison: Comparison) -> str:
    trials = "one trial, which makes no claim by itself" if comparison.trials == 1 else f"{comparison.trials} trials"
    grid, oracle = comparison.lattice, ""
    if grid:
        oracle = f", the best executed subset of each task {percent(grid.oracle, 0)} %"
        oracle += f" ({grid.subsets_per_task:.0f} subsets per task, {grid.tasks} tasks)"
    return (
        f"{comparison.backbone}, {comparison.strategy}, {comparison.tasks} {comparison.split} tasks, {trials}, "
        f"{comparison.benchmark_version}; "
        "95 % intervals over tasks, p of a sign-flip test with Holm's correction. "
        f"Doing nothing solves {percent(comparison.do_nothing, 0)} %{oracle}."
    )


def _chosen(arm: ArmResult) -> str:
    top = list(arm.subsets.items())[:3]
    counts = ", ".join(f"{name(split_label(subset))} {times}" for subset, times in top)
    return counts + (f", {len(arm.subsets) - 3} others" if len(arm.subsets) > 3 else "")


async def _categories(stem: str) -> dict[str, Counter[str]]:
    """Count the primary categories of failures by subset; one with two causes counts twice."""
    counts: dict[str, Counter[str]] = defaultdict(Counter)
    for episode in read_episodes(DATA / f"{stem}.episodes.jsonl.gz"):
        if episode.outcome.status == "failure":
            label, _ = await diagnose_episode(episode, None, load_taxonomy())
            subset = episode.decisions[0].subset if episode.decisions else ()
            counts[subset_label(subset)].update(label.primary)
    return counts


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
