"""Tables of the arms of published comparisons: what each solved, against none, its tokens and its choices."""

import asyncio
import tempfile
from collections import Counter, defaultdict
from functools import lru_cache
from pathlib import Path

import yaml

from eval.compare.comparison import run_comparison
from eval.compare.executed import OWN_EPISODES
from eval.compare.schema import ArmResult, Comparison
from eval.metrics.formats import DASH, count, detectable_points, p_value, percent, plain_number
from eval.metrics.measures import PairedDifference
from eval.publish import findings
from eval.publish.markdown import name, public, table
from eval.report.answers_table import answers_table
from eval.report.verification import verify
from fama.diagnosis.diagnose import diagnose_episode
from fama.diagnosis.taxonomy import load_taxonomy
from fama.envs.helpdesk.benchmark import FIRST_VERSIONS
from fama.episodes.outcome_table import read_metadata, read_outcomes
from fama.episodes.store import read_episodes
from fama.settings import CompareSettings
from fama.subsets import split_label, subset_label

ROOT = Path(__file__).resolve().parents[2]
#: The committed tables, episodes and comparisons.
DATA = ROOT / "results" / "helpdesk"
_HEAD = ("solved", "%", "against none, points", "p, Holm", "tokens per episode", "over none, %", "new tokens")


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
    for arm in published_comparison(folder).arms:
        row = _against_none(arm)
        same = next(iter(arm.subsets)) if len(arm.subsets) == 1 else arm.arm
        alike.setdefault((same, *row[1:4], row[5]), []).append(arm.arm)
    body = [(", ".join(arms), *row) for (_, *row), arms in alike.items()]
    return table(("arm", "solved, %", *_HEAD[2:4], "tokens over none, %"), body)


def selectors(folder: str = "compare") -> str:
    """Tabulate a live comparison, in a folder beside the tables: of selectors on test tasks, when no other is named."""
    comparison = published_comparison(folder)
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


def published_comparison(folder: str) -> Comparison:
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
    asked = answers_table(published_comparison(folder))
    if asked is None:
        raise ValueError(f"{folder}: nothing was asked of this comparison")
    return f"{asked.caption}\n\n{table(asked.columns, [[cell.text for cell in row] for row in asked.rows])}"


def reliability(folder: str) -> str:
    """Tabulate a live comparison with several trials of a task: pass^k of each arm."""
    comparison = published_comparison(folder)
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
        for arm in published_comparison(folder).arms
    ]
    return table(("comparison", "arm", "detectable against none", "against learned"), rows)


def _points(difference: PairedDifference | None) -> str:
    if difference is None or difference.detectable_holm is None:
        return ""
    return detectable_points(difference.detectable_holm)


def tau2(domain: str) -> str:
    """Tabulate the live comparison of a domain of τ²-bench, with whom the detectors blame for its failures."""
    folder = f"../tau2/{domain}"
    comparison, diagnosed = published_comparison(folder), findings.findings(DATA / folder)
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
            counts[subset_label(subset)].update(label.causes)
    return counts
