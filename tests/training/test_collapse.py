"""A router that chooses the same everywhere says so; on SYNTHETIC tasks with needs none does."""

import json
import logging
from pathlib import Path
from typing import Any

import pytest

from fama.episodes.outcome_table import OutcomeRow
from fama.subsets import POOL
from training.data.examples import outcome_examples
from training.data.synthetic import EFFECTS, make_tasks, outcome_rows
from training.export.collapse import collapse
from training.settings import TrainSettings
from training.train import train_on

ALL = "+".join(POOL)


@pytest.mark.parametrize(
    ("chosen", "words"),
    [
        ({"none": 20}, "no helper in 20 of 20 validation states; the selector none does"),
        ({ALL: 96, "DCE": 4}, "all helpers in 96 of 100 validation states; the selector all does"),
        ({"DCE+TSA": 14}, "DCE+TSA in 14 of 14 validation states; the selector best_fixed or fixed does"),
        ({"none": 19, "DCE": 2}, None),
        ({"none": 9}, None),
        ({}, None),
    ],
)
def test_by_hand(chosen: dict[str, int], words: str | None) -> None:
    said = collapse(chosen, POOL)
    assert said is None if words is None else said is not None and words in said


def train(rows: list[OutcomeRow], out: Path, lam: float, **more: Any) -> dict[str, int]:
    """The chosen subsets of a linear router on hashed words, by the states of its validation tasks."""
    vectors = {"source": "hashed", "buckets": 512, "components": 24}
    linear = {"strengths": [0.1, 0.3], "folds": 2}
    settings = {"kind": "linear", "vectors": vectors, "linear": linear, "decision": {"lam": lam}, **more}
    train_on(TrainSettings.model_validate(settings), outcome_examples(rows, POOL), out)
    found: dict[str, int] = json.loads((out / "work" / "metrics.json").read_text())["chosen"]
    return found


def test_where_needs_differ_neither_all_nor_none_takes_over(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    tasks = make_tasks(400, effects=EFFECTS["strong"])
    with caplog.at_level(logging.WARNING):
        chosen = train(outcome_rows(tasks), tmp_path, 0.01)
    assert "Collapsed" not in caplog.text and "Collapsed" not in (tmp_path / "README.md").read_text()
    states = sum(chosen.values())
    assert len(chosen) >= 6 and chosen.get("none", 0) < states / 2 and chosen.get(ALL, 0) < states / 4


def test_tokens_that_cost_more_than_they_bring_end_in_none_and_are_told(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.WARNING):
        chosen = train(outcome_rows(make_tasks(80)), tmp_path, 100.0)
    assert set(chosen) == {"none"}
    assert (
        "it chooses no helper in" in caplog.text and "it chooses no helper in" in (tmp_path / "README.md").read_text()
    )


def test_helpers_that_always_help_end_in_all_and_are_told(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """Success if and only if every helper was there."""
    rows = [row.model_copy(update={"success": row.subset == ALL}) for row in outcome_rows(make_tasks(120))]
    with caplog.at_level(logging.WARNING):
        chosen = train(rows, tmp_path, 0.0)
    assert set(chosen) == {ALL}
    assert "it chooses all helpers in" in caplog.text
