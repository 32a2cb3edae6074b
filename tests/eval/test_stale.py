"""Tables and routers of other helper texts are pointed out where they meet a comparison."""

from pathlib import Path

import pytest

from eval.compare.stale_inputs import stale_inputs
from fama.agents.runs.run_config import prompt_hashes, with_reading
from fama.cli import main
from fama.envs.helpdesk.benchmark import Helpdesk
from fama.episodes.outcome_table import write_outcomes
from fama.hashing import content_hash
from fama.helpers.base import TEMPLATE_TEXTS
from fama.settings import CompareSettings, HelperSettings, SelectorSettings
from fama.subsets import POOL
from tests.support.outcome_rows import row
from training.data.examples import outcome_examples
from training.data.synthetic import make_tasks, outcome_rows
from training.settings import TrainSettings
from training.train import train_on

NOW = content_hash(with_reading(prompt_hashes("act"), HelperSettings()))


def table(path: Path, prompts: str) -> str:
    here = {"benchmark": "helpdesk", "benchmark_version": Helpdesk().version("shop"), "prompts_hash": prompts}
    write_outcomes(path, [row("a", "", True).model_copy(update=here)], {"synthetic": True})
    return str(path)


def test_the_version_of_the_template_texts_is_among_the_prompts() -> None:
    assert prompt_hashes("act")["helpers/template"] == TEMPLATE_TEXTS
    assert prompt_hashes("act") != prompt_hashes("react")


def test_a_table_of_these_texts_is_fine_and_one_of_others_is_named(tmp_path: Path) -> None:
    fresh, old = table(tmp_path / "new.parquet", NOW), table(tmp_path / "old.parquet", "0" * 16)
    assert stale_inputs(CompareSettings(outcomes=fresh, lattice=fresh)) == []
    (warning,) = stale_inputs(CompareSettings(outcomes=fresh, lattice=old))
    assert warning.startswith("lattice: ") and "old.parquet was run with other helper texts" in warning


def test_a_table_that_was_just_made_is_fine_and_one_read_another_way_is_named(tmp_path: Path) -> None:
    command = ["outcomes", "tasks=1", "per_task=1", "model.name=scripted:echo", "--out", str(tmp_path)]
    assert main(command) == 0
    made = str(tmp_path / "outcomes.parquet")
    assert stale_inputs(CompareSettings(outcomes=made)) == []
    (warning,) = stale_inputs(CompareSettings(outcomes=made, helpers=HelperSettings(reading="patterns")))
    assert "other helper texts" in warning


def test_of_a_table_of_before_its_helper_files_are_not_said_to_be_others(tmp_path: Path) -> None:
    """It did not say what they held; one that says other content is named."""
    file = tmp_path / "tone.yaml"
    file.write_text("name: Tone\nprompt: Be kind.\n")
    ours = HelperSettings(pool=(str(file),))
    before = table(tmp_path / "before.parquet", content_hash(with_reading(prompt_hashes("act"), ours)))
    assert stale_inputs(CompareSettings(outcomes=before, helpers=ours)) == []
    other = {**prompt_hashes("act"), "helpers/tone.yaml": "0" * 16}
    edited = table(tmp_path / "edited.parquet", content_hash(with_reading(other, ours)))
    assert len(stale_inputs(CompareSettings(outcomes=edited, helpers=ours))) == 1


def test_the_strategy_makes_no_other_texts(tmp_path: Path) -> None:
    fresh = table(tmp_path / "new.parquet", NOW)
    assert stale_inputs(CompareSettings(outcomes=fresh, strategy="fc")) == []


def test_a_router_of_other_texts_is_named(tmp_path: Path) -> None:
    tree = {"kind": "linear", "vectors": {"source": "hashed", "components": 4}, "linear": {"folds": 2}}
    data = outcome_examples(outcome_rows(make_tasks(12)), POOL)
    assert train_on(TrainSettings.model_validate(tree), data, tmp_path / "router") is not None
    arm = SelectorSettings(name="linear", options={"checkpoint": str(tmp_path / "router")})
    (warning,) = stale_inputs(CompareSettings(arms=(arm,)))
    assert warning.startswith("linear: ") and "learned from outcomes of other helper texts" in warning


def test_a_run_names_a_router_of_another_form(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    chosen = "selector={name: learned, cadence: turn, options: {checkpoint: checkpoints/helpdesk-turn}}"
    run = ["run", "model.name=scripted:echo", "tasks=1", "limits.steps=2", "domain=shop", chosen]
    said = "checkpoints/helpdesk-turn learned from outcomes of other helper texts or prompts"
    for form, warned in (("template", False), ("llm", True)):
        caplog.clear()
        main([*run, f"helpers.form={form}", "--out", str(tmp_path / form)])
        assert (said in caplog.text) is warned, form
