"""Makes every table of measured numbers in README and docs from the committed data: ``python -m eval.publish.build``.

A table stands between ``<!-- table NAME -->`` and ``<!-- end NAME -->`` in a Markdown file; what is between them is
replaced. ``--check`` writes nothing and fails where a file differs. Nothing is run or simulated: the inputs are the
outcome tables, episodes and comparisons in ``results``.
"""

import asyncio
import sys
from collections.abc import Callable, Sequence
from functools import cache, partial
from pathlib import Path
from typing import Any

from eval.ablation.figure import curves
from eval.ablation.table import ablation_markdown
from eval.ablation.variant_runs import Ablation
from eval.compare.comparison import read_comparison
from eval.compare.schema import Comparison
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
from eval.publish.arm_tables import (
    DATA,
    ROOT,
    against_none,
    asked_questions,
    power,
    published_comparison,
    reliability,
    selectors,
    subset_grid,
    tau2,
)
from eval.publish.markdown import fill_tables, public
from eval.publish.training_cost import training_cost
from eval.publish.wording import AGENT_GAINS, TRIO, kept_gain, pooled_gains
from eval.readings.fitted import stored_comparisons
from eval.readings.measured import measured_markdown
from eval.readings.readings import PARTS
from eval.report.figures import figures, save_figure
from eval.understanding.hearing import hear
from eval.understanding.hearing_tables import hearing_tables as understood
from eval.understanding.labelled_replies import LABELS, read_reply_labels

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


def _published(*folders: str) -> list[Comparison]:
    return [published_comparison(folder) for folder in folders]


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
    "note-effects-questions": lambda: repairs_table.effects_of_questions(
        [DATA / "repairs-agents", DATA / "repairs-agents-third"]
    ),
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
    "headroom": lambda: mixed_traffic.headroom(published_comparison("mixed-oracle")),
    "within-margins": lambda: training_table.within_margins(DATA),
    "choice-by-trials": lambda: mixed_traffic.choice_by_trials(DATA),
    **_compared("fourth", "answers", "domains", "notes"),
    **_compared("fourth-setfit", "answers"),
    **_compared("fourth-0.5b", "answers", "endings"),
    "fourth-asked": lambda: divergence.tabulate_asked(DATA / "fourth", FOURTH_ROUTERS),
    **_compared("rounds", "answers", "domains", "notes"),
    "all-unseen": lambda: pooled_gains(_published("mixed", "fourth", "rounds"), ((TRIO, "all"),)),
    "both-unseen": lambda: pooled_gains(_published("mixed", "fourth")),
    **_compared("agents", "answers", "calls", "notes"),
    **_compared("agents-fourth", "answers", "domains", "calls", "notes"),
    "both-agents": lambda: pooled_gains(_published("agents", "agents-fourth"), AGENT_GAINS),
    "unseen-categories": lambda: findings.categories(DATA / "mixed"),
    "seen": partial(selectors, "mixed-seen"),
    "seen-domains": lambda: findings.by_domain(DATA / "mixed-seen"),
    "fitted-diagnosis": lambda: stored_comparisons.tabulate(stored_comparisons.read_comparisons()),
    "kept-gain": lambda: kept_gain(_published("mixed-seen"), _published("mixed")),
    **_compared("fourth-seen", "domains"),
    "kept-gain-both": lambda: kept_gain(_published("mixed-seen", "fourth-seen"), _published("mixed", "fourth")),
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


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
