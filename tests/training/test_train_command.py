import json
from collections.abc import Callable
from pathlib import Path

import pytest

from fama.cli import main
from fama.config import load_settings
from fama.episodes.records import Decision, Episode, Outcome
from fama.subsets import POOL
from tests.support.tiny_encoder import write_tiny_encoder
from training.data.synthetic import make_tasks
from training.settings import TrainSettings

HASHED = ["kind=linear", "vectors.source=hashed", "vectors.components=8", "vectors.buckets=256", "linear.folds=2"]
LAM = "decision.lam=0.01"


@pytest.fixture(scope="module")
def table(synthetic_table: Callable[[int], Path]) -> Path:
    return synthetic_table(50)


@pytest.fixture(scope="module")
def episodes(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("episodes")
    with (folder / "episodes.jsonl").open("w") as file:
        for task in make_tasks(3, seed=4):
            messages = [
                {"role": "system", "content": task.state.policy},
                *(message.model_dump(exclude_none=True) for message in task.state.messages),
                {"role": "assistant", "content": "Done."},
            ]
            episode = Episode.model_validate(
                {
                    "id": task.task_id,
                    "benchmark": "synthetic",
                    "domain": "synthetic",
                    "task_id": task.task_id,
                    "messages": messages,
                    "tools": task.state.tools,
                    "decisions": (Decision(turn=0, message_index=len(messages) - 1),),
                    "outcome": Outcome(status="success"),
                }
            )
            file.write(episode.model_dump_json() + "\n")
    return folder


def test_train_then_select(table: Path, episodes: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out = tmp_path / "router"
    code = main(["train", "--out", str(out), "seed=3", f"data.outcomes=[{table}]", *HASHED, LAM])
    assert code == 0
    assert "card:" in capsys.readouterr().out
    card = (out / "README.md").read_text()
    assert "fama train --out" in card and "decision.lam=0.01" in card
    again = load_settings(TrainSettings, out / "work" / "config.json")
    assert again == load_settings(TrainSettings, None, ["seed=3", f"data.outcomes=[{table}]", *HASHED, LAM])

    assert main(["select", "--router", str(out), "--episodes", str(episodes), "--json"]) == 0
    lines = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert [line["turn"] for line in lines] == [0, 0, 0]
    for line in lines:
        assert set(line["subset"]) <= set(POOL)
        assert list(line["probabilities"]) == list(POOL)
        assert line["seconds"] > 0.0

    assert main(["select", "--router", str(out), "--episodes", str(episodes), "--allowance", "0", "--limit", "2"]) == 0
    shown = capsys.readouterr().out
    assert "none" in shown and "2 decisions of 2 episodes" in shown


def test_an_allowance_counts_the_request_that_a_helper_agent_asks_behind(
    table: Path, episodes: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "router"
    assert main(["train", "--out", str(out), f"data.outcomes=[{table}]", *HASHED, "decision.lam=0"]) == 0
    manifest = json.loads((out / "router.json").read_text())
    for form, most in (("template", 1000), ("llm", 0)):
        (out / "router.json").write_text(json.dumps({**manifest, "forms": dict.fromkeys(POOL, form)}))
        capsys.readouterr()
        # six notes and six questions fit into it; a question with the request before it does not
        words = ["--router", str(out), "--episodes", str(episodes), "--allowance", "1000", "--limit", "1", "--json"]
        assert main(["select", *words]) == 0
        subset = json.loads(capsys.readouterr().out)["subset"]
        assert bool(subset) == bool(most), (form, subset)


def test_an_interrupted_training_says_what_goes_on_from_where(
    table: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Without --ckpt the same command starts anew, and its first step is to drop what was kept."""

    def ctrl_c(*arguments: object, **named: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("training.train.finish", ctrl_c)
    tiny = write_tiny_encoder(tmp_path / "tiny")
    encoder = ["kind=encoder", f"encoder={{name: {tiny}, window: 32, lora: null}}", "optimiser.epochs=1"]
    common = ["train", f"data.outcomes=[{table}]", "trainer={wandb: disabled, progress: false}", "--out"]
    for own, told in (
        (HASHED, "the same command starts anew"),
        (encoder, "--ckpt last goes on from it, without it starts anew"),
    ):
        assert main([*common, str(tmp_path / "out"), *own]) == 1
        error = capsys.readouterr().err.splitlines()[-1]
        assert error.startswith("fama: interrupted") and error.endswith(told)
    assert (tmp_path / "out" / "work" / "state" / "last.ckpt").is_file()
    monkeypatch.undo()
    assert main([*common, str(tmp_path / "out"), *encoder, "--ckpt", "last"]) == 0


def test_print_config_trains_nothing(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out = tmp_path / "router"
    assert main(["train", "--config", "configs/train/knn.yaml", "--out", str(out), "--print_config", "seed=7"]) == 0
    assert "seed: 7" in capsys.readouterr().out
    assert not out.exists()


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["data.outcomes=[]"], "data.outcomes is empty"),
        (["data.outcomes=[no/such.parquet]"], "no/such.parquet: no such file"),
        (["data.pool=[DCE,TSA]"], "data.pool is DCE+TSA"),
        (["data.benchmark_version=other-2"], "benchmark_version is synthetic-1"),
        (["--ckpt", "last"], "leave --ckpt out"),
        (["losses.distillation=1"], "a linear router learns from the losses categories, coverage, outcome"),
        (["kind=encoder", "losses.distillation=1"], "data.prompted is empty"),
    ],
)
def test_bad_input_is_one_line_and_writes_nothing(
    table: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], arguments: list[str], message: str
) -> None:
    out = tmp_path / "router"
    assert main(["train", "--out", str(out), f"data.outcomes=[{table}]", *HASHED, *arguments]) == 2
    error = capsys.readouterr().err
    assert message in error and error.count("\n") == 1
    assert not out.exists()


def test_select_needs_a_router(episodes: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["select", "--router", str(tmp_path), "--episodes", str(episodes)]) == 2
    assert "no router checkpoint" in capsys.readouterr().err
