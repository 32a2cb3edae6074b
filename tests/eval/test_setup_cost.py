"""Setup costs: paid back by hand, in tables and words, and read from labels, tables and checkpoints."""

from pathlib import Path

import numpy as np
import pytest

from eval.compare.executed import Executed
from eval.compare.results import compare_arms
from eval.compare.setup_cost import Payback, payback, saved_tokens, setup_costs
from eval.metrics.episode_scores import score_of
from eval.metrics.measures import Resampling
from eval.report.narrative import headline_answers
from eval.report.tables import comparison_tables
from fama.diagnosis.diagnose import diagnose, spent_on_labels
from fama.episodes.outcome_table import spent_on_table, write_outcomes
from fama.episodes.records import Outcome, Source
from fama.episodes.spending import Spent, known_sum, spent_on_episodes, unknown
from fama.intervals import Interval
from fama.settings import CompareSettings
from tests.support.eval_builders import build, write_episodes
from tests.support.outcome_rows import row

TABLE = Spent(part="outcome table", source="o.parquet", tokens=9_000, seconds=7200.0)
FIT = Spent(part="training", source="linear", tokens=0, seconds=12.5)


@pytest.mark.parametrize(
    ("ours", "theirs", "saved", "expected"),
    [
        (9_000, 0, (30.0, 10.0, 90.0), (300.0, 100.0, 900.0)),  # 9,000 / 30, between 9,000 / 90 and 9,000 / 10
        (9_000, 6_000, (30.0, 10.0, 90.0), (100.0, 100 / 3, 300.0)),  # the rival needs 6,000 of them, too
        (9_000, 0, (30.0, -5.0, 90.0), (300.0, 100.0, "never")),
        (9_000, 0, (0.0, -5.0, 5.0), ("never", 1800.0, "never")),
        (9_000, 0, (-30.0, -50.0, -5.0), ("never", "never", "never")),
        (9_000, 9_000, (-30.0, -50.0, -5.0), (0.0, 0.0, 0.0)),
        (None, 0, (30.0, 10.0, 90.0), (None, None, None)),
        (9_000, None, (30.0, 10.0, 90.0), (None, None, None)),
        (9_000, 0, (30.0, None, None), (300.0, None, None)),
    ],
)
def test_payback_by_hand(ours: int | None, theirs: int | None, saved: tuple[float, ...], expected: object) -> None:
    got = payback("prompted", ours, theirs, Interval(saved[0], saved[1], saved[2], 5))
    assert (got.episodes, got.low, got.high) == expected


def test_saved_tokens_count_pairs_that_both_have() -> None:
    ours = [score_of(build(f"t{i}", "learned", agent=100)) for i in range(3)]
    theirs = [score_of(build(f"t{i}", "prompted", agent=100, selector=cost)) for i, cost in enumerate((30, 60))]
    theirs.append(score_of(build("t2", "prompted", "error", selector=999)))
    got = saved_tokens(ours, theirs, ("t0", "t1", "t2"), Resampling(0, 200))
    assert got.value == 45.0 and got.n == 2
    assert got.low is not None and got.high is not None and got.low <= 45 <= got.high


def test_the_comparison_its_table_and_its_words() -> None:
    arms = {"none": {}, "prompted": {"selector": 30}, "learned": {}, "best_fixed": {"helper": 60}}
    scores = {
        arm: [score_of(build(f"t{i}", arm, agent=100, **cost)) for i in range(6)]  # type: ignore[arg-type]
        for arm, cost in arms.items()
    }
    settings = CompareSettings.model_validate({"arms": [{"name": arm} for arm in arms], "bootstrap": 200})
    choices = {arm: [(s.task_id, s.subset) for s in group] for arm, group in scores.items()}
    executed = Executed(
        tasks=tuple(f"t{i}" for i in range(6)),
        pool=("DCE",),
        backbone="m",
        scores=scores,
        choices=choices,
        cells=[],
        lattice_source="nowhere",
        setup_costs={"none": (), "prompted": (), "learned": (TABLE, FIT), "best_fixed": (TABLE,)},
    )
    got = compare_arms(settings, "toy-1", executed, (Interval(None, None, None, 0), "unknown"), "")
    learned = got.arm("learned")
    assert learned.one_off == (TABLE, FIT) and got.arm("prompted").payback == ()
    paid = {one.versus: one for one in learned.payback}
    assert (paid["prompted"].tokens, paid["prompted"].episodes) == (9_000, 300.0)
    assert (paid["best_fixed"].tokens, paid["best_fixed"].episodes) == (0, 0.0)
    assert got.arm("best_fixed").payback[0].episodes == "never"
    table = next(table for table in comparison_tables(got) if table.name == "one_off")
    shown = [[cell.text for cell in line] for line in table.rows]
    assert shown[0][:6] == ["learned", "9,000", "–", "12.5", "9,000", "2.00"]
    assert shown[0][6:8] == ["30 [30, 30]", "300 [300, 300]"]
    assert shown[1][:8] == ["best_fixed", "9,000", "–", "–", "9,000", "2.00", "−30 [−30, −30]", "never"]
    told = "learned has a setup cost of 9,000 tokens above that of prompted; break-even after 300 [300, 300] episodes."
    assert told in headline_answers(got).duel
    nothing = learned.measures.model_copy(update={"success": Interval(0.0, 0.0, 0.4, 6)})
    without = tuple(arm.model_copy(update={"measures": nothing}) if arm is learned else arm for arm in got.arms)
    solved_none = got.model_copy(update={"arms": without})
    assert not any("break-even" in line for line in headline_answers(solved_none).duel)
    rows = next(table for table in comparison_tables(solved_none) if table.name == "one_off").rows
    assert [cell.text for cell in rows[0][6:]] == ["30 [30, 30]", "–", "60 [60, 60]", "–"], "nothing is paid back"


def test_what_is_unknown_stays_unknown(tmp_path: Path) -> None:
    assert known_sum([1.0, None]) is None and known_sum([]) is None and known_sum([1.0, 2.0]) == 3.0
    bare = build("t0", "none", ledger=(), seconds=None, source=Source(importer="tau-bench"))
    found = spent_on_episodes("plain run", "x", [build("t1", "none"), bare])
    assert (found.tokens, found.seconds) == (None, None)
    for boundary, tokens in (("environment", 100), ("harness", None)):  # before the first call, or a process that died
        outcome = Outcome.model_validate({"status": "error", "boundary": boundary})
        early = build("t2", "none", "error", ledger=(), outcome=outcome)
        assert spent_on_episodes("plain run", "x", [build("t1", "none"), early]).tokens == tokens, boundary
    assert spent_on_labels(tmp_path / "failures.jsonl") == (
        unknown("plain run", str(tmp_path / "failures.jsonl")),
        unknown("diagnosis", str(tmp_path / "failures.jsonl")),
    )
    settings = CompareSettings.model_validate({"arms": [{"name": "none"}, {"name": "best_fixed"}, {"name": "own"}]})
    costs = setup_costs(settings)
    assert costs["none"] == () and costs["best_fixed"] == (unknown("outcome table", "best_fixed"),)
    assert costs["own"] == (unknown("training", "own"),)


async def test_costs_are_read_from_tables_and_labels(tmp_path: Path) -> None:
    rows = [row("a", "TSA", True), row("a", "", False)]
    write_outcomes(tmp_path / "o.parquet", rows, {})
    assert spent_on_table(tmp_path / "o.parquet").model_dump() == {
        "part": "outcome table",
        "source": str(tmp_path / "o.parquet"),
        "tokens": 20,
        "seconds": 2.0,
    }
    write_episodes(tmp_path / "run" / "episodes.jsonl", [build("t0", "none", "failure"), build("t1", "none")])
    await diagnose(tmp_path / "run", tmp_path / "labels")
    labels = tmp_path / "labels" / "failures.jsonl"
    run, diagnosis = spent_on_labels(labels)
    assert (run.tokens, run.seconds) == (200, 6.0)
    assert (diagnosis.tokens, diagnosis.seconds) == (0, None)  # detectors ask no model
    settings = CompareSettings.model_validate(
        {
            "track": "retrospective",
            "failures": str(labels),
            "outcomes": str(tmp_path / "o.parquet"),
            "arms": [{"name": "none"}, {"name": "prompted"}, {"name": "oracle"}],
        }
    )
    costs = setup_costs(settings)
    assert costs["none"] == () and costs["prompted"] == (run, diagnosis)
    assert [part.part for part in costs["oracle"]] == ["plain run", "diagnosis", "outcome table"]


def test_a_checkpoint_says_what_it_cost(synthetic_table: object, tmp_path: Path) -> None:
    from training.settings import TrainSettings
    from training.train import train

    path = synthetic_table(24)  # type: ignore[operator]
    tree = {"kind": "linear", "data": {"outcomes": [str(path)]}, "vectors": {"source": "hashed"}}
    manifest = train(TrainSettings.model_validate(tree), tmp_path / "router")
    assert manifest is not None and manifest.cost is not None
    table, fit = manifest.cost
    assert table == spent_on_table(path) and table.tokens is not None and table.tokens > 0 and table.seconds is None
    assert fit.part == "training" and fit.tokens == 0 and fit.seconds is not None
    arms = [{"name": "linear", "options": {"checkpoint": str(tmp_path / "router")}}]
    assert setup_costs(CompareSettings.model_validate({"arms": arms}))["linear"] == manifest.cost
    assert "Setup cost:" in (tmp_path / "router" / "README.md").read_text(encoding="utf-8")


def test_payback_survives_the_file() -> None:
    paid = payback("all", 10, 0, Interval(1.0, -1.0, 2.0, 3))
    assert Payback.model_validate_json(paid.model_dump_json()) == paid and paid.high == "never"
    assert not np.isinf(float(paid.low or 0))
