"""A router kind from outside: two classes, registered by name, trained, stored, loaded, asked and compared."""

import json
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
import pytest
import yaml
from pydantic import Field

from eval.collect.outcomes import run_outcomes
from eval.compare.comparison import read_comparison
from fama.cli import main
from fama.errors import BadInput
from fama.selection.base import SELECTORS
from fama.selection.decision_rule import Floats, Masks
from fama.selection.router.checkpoint import load_router, read_manifest
from fama.selection.router.features import Features
from fama.selection.router.kinds.base import ROUTER_KINDS, RouterKind
from fama.selection.router.scores import Predictor, RawScores, StateScores, split_heads
from fama.settings import Settings
from tests.support.toy_world import base, outcomes_settings, toy_world
from training.kinds.base import FitTask, RouterTrainer, Trained
from training.kinds.context_free import OutcomeArrays, fit_context_free
from training.registry import ROUTER_TRAINERS


def named(features: Features, pool: Sequence[str]) -> Floats:
    """1.0 for every helper that the last message names."""
    return np.array([float(name in features.history()[-1].text) for name in pool])


# one file: the kind at inference
class MentionRouter(RouterKind):
    """Has learned what a helper is worth that the user names, and one that is not named; keeps ``notes.txt``, too."""

    title = "helpers by mention"
    selector = "mention"
    files = ("notes.txt",)

    def outcomes(self) -> Predictor:
        """This router."""
        self.worth = np.asarray(self.stored.arrays["worth"], dtype=np.float64)
        self.context_free = split_heads(np.asarray(self.stored.arrays["population"], np.float64), self.stored.helpers)
        if (self.stored.manifest.shape or {}).get("reads") != "mentions":
            raise ValueError("it reads something else")
        return self

    def scores(self, features: Features) -> StateScores:
        """Success by the worth of every member, tokens whatever is said."""
        utility = self.worth[named(features, self.stored.manifest.pool).astype(int)]

        def score(masks: Masks) -> RawScores:
            return RawScores(np.where(masks, utility, -utility).sum(axis=1), self.context_free(masks).log_tokens)

        return score


# another file: its training
class MentionOptions(Settings):
    """Its own settings."""

    weight: float = Field(default=4.0, gt=0.0)


class MentionTrainer(RouterTrainer):
    """Compares rows with and without a helper, where it is named and where not."""

    losses = frozenset({"outcome"})
    options = MentionOptions

    def fit(self, task: FitTask) -> Trained:
        """Count."""
        data, pool = OutcomeArrays(task.split.train, task.settings.losses), task.settings.data.pool
        flags = np.array([named(example.features, pool) for example in data.examples]) > 0.5
        weight = MentionOptions.model_validate(task.settings.options).weight
        success = np.repeat(data.success[:, None], len(pool), axis=1)
        gains = [success[on & data.masks].mean() - success[on & ~data.masks].mean() for on in (~flags, flags)]
        context_free = fit_context_free(data)
        return Trained(
            arrays={
                "population": context_free.astype(np.float32),
                "worth": (weight * (np.array(gains) - 0.1)).astype(np.float32),
            },
            context_free=context_free,
            shape={"reads": "mentions"},
            files={"notes.txt": b"a helper that is named is wanted\n"},
        )


@pytest.fixture(autouse=True)
def world() -> Iterator[None]:
    ROUTER_KINDS.add("mention", MentionRouter)
    ROUTER_TRAINERS.add("mention", MentionTrainer)
    with toy_world():
        yield
    ROUTER_KINDS.remove("mention")
    ROUTER_TRAINERS.remove("mention")


async def outcome_table(folder: Path, split: str) -> str:
    settings = outcomes_settings(
        split=split, tasks=10, trials=1, per_task=4, subsets=[[], ["Alpha"], ["Beta"], ["Alpha", "Beta"]]
    )
    return str((await run_outcomes(settings, folder, command="fama outcomes", progress=False)).path)


@pytest.fixture
async def tables(tmp_path: Path) -> tuple[str, str]:
    """Every subset on ten training tasks, and on ten test tasks."""
    return await outcome_table(tmp_path / "a", "train"), await outcome_table(tmp_path / "b", "test")


def train(table: str, out: Path, *more: str) -> int:
    data = [f"data.outcomes=[{table}]", "data.pool=[Alpha,Beta]", "data.validation=0.2"]
    return main(["train", "--out", str(out), "kind=mention", *data, "decision.lam=0.001", *more])


def test_a_new_kind_is_trained_stored_selected_and_compared(tables: tuple[str, str], tmp_path: Path) -> None:
    learned_from, test = tables
    out = tmp_path / "router"
    assert train(learned_from, out, "options.weight=9.0") == 0
    assert "# Router: helpers by mention" in (out / "README.md").read_text()
    assert json.loads((out / "work" / "config.json").read_text())["settings"]["options"] == {"weight": 9.0}
    manifest = json.loads((out / "router.json").read_text())
    assert manifest["kind"] == "mention" and manifest["shape"] == {"reads": "mentions"}
    assert set(manifest["files"]) == {"heads.safetensors", "notes.txt"}
    assert "mention" in SELECTORS.names()

    arms = [{"name": "none"}, {"name": "all"}, {"name": "mention", "options": {"checkpoint": str(out)}}]
    config = tmp_path / "compare.yaml"
    config.write_text(yaml.safe_dump(base(tasks=10, arms=arms, replay=test, bootstrap=200)))
    assert main(["compare", "--config", str(config), "--out", str(tmp_path / "compare")]) == 0
    got = read_comparison(tmp_path / "compare")
    assert got.kind == "replay"
    assert [arm.measures.success.value for arm in got.arms] == [0.2, 1.0, 1.0]
    assert got.arm("mention").subsets == {"none": 2, "Alpha": 2, "Beta": 3, "Alpha+Beta": 3}


def test_a_new_kind_selects_for_logged_episodes(
    tables: tuple[str, str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert train(tables[0], tmp_path / "router") == 0
    capsys.readouterr()
    assert main(["select", "--router", str(tmp_path / "router"), "--episodes", str(tmp_path / "b"), "--json"]) == 0
    subsets = {tuple(json.loads(line)["subset"]) for line in capsys.readouterr().out.splitlines()}
    assert subsets == {(), ("Alpha",), ("Beta",), ("Alpha", "Beta")}


@pytest.mark.parametrize(
    ("more", "words"),
    [
        (["losses.coverage=1.0"], "a mention router learns from the losses outcome: set losses.coverage to 0"),
        (["init=somewhere"], "a mention router is fitted in one go: leave init out"),
        (["--ckpt", "last"], "--ckpt: a mention router is fitted in one go"),
        (["options.weight=-1"], "options.weight: Input should be greater than 0"),
        (["kind=linear", "options.weight=1"], "a linear router has no options: leave 'weight' out"),
    ],
)
def test_settings_are_checked_against_what_the_kind_declares(
    more: list[str], words: str, tables: tuple[str, str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert train(tables[0], tmp_path / "router", *more) == 2
    said = capsys.readouterr().err
    assert words in said and said.count("\n") == 1


def test_its_files_are_checked_and_go_with_it(tables: tuple[str, str], tmp_path: Path) -> None:
    out = tmp_path / "router"
    assert train(tables[0], out) == 0
    (out / "notes.txt").write_text("changed!")
    with pytest.raises(BadInput, match=r"notes\.txt: .* bytes instead of"):
        load_router(out)
    assert train(tables[0], out, "kind=linear", "vectors.components=2", "linear.folds=2") == 0
    assert not (out / "notes.txt").exists() and load_router(out).manifest.kind == "linear"


def test_a_kind_that_is_not_installed_is_named(tables: tuple[str, str], tmp_path: Path) -> None:
    out = tmp_path / "router"
    assert train(tables[0], out) == 0
    ROUTER_KINDS.remove("mention")
    known = r"unknown router kind 'mention'; known: boosting, encoder, knn, linear, one_vs_rest, prior, setfit; install"
    with pytest.raises(BadInput, match=known) as caught:
        read_manifest(out)
    ROUTER_KINDS.add("mention", MentionRouter)
    assert "\n" not in str(caught.value)


def test_a_selector_cannot_take_the_name_of_a_kind() -> None:
    with pytest.raises(BadInput, match="'mention' is that of a router kind"):
        SELECTORS.add("mention", "fama.selection.selectors.learned:build")
