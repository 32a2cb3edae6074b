import json
import os
import shutil
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any, cast

import numpy as np
import pytest
import torch
from lightning.pytorch.callbacks import EarlyStopping, ModelCheckpoint
from pydantic import ValidationError
from safetensors.numpy import load_file

from fama.config import load_settings
from fama.errors import BadInput
from fama.helpers.pool import build_pool
from fama.selection.base import SelectorContext
from fama.selection.router.checkpoint import load_router, read_manifest
from fama.selection.router.checkpoint_files import ADAPTER_CONFIG
from fama.selection.router.features import featurise
from fama.selection.router.manifest import Calibration
from fama.selection.selectors.learned import build
from fama.settings import HelperSettings
from fama.subsets import POOL
from tests.support.asking import choose_now
from tests.support.labelled_tasks import labelled
from tests.support.tiny_encoder import write_tiny_encoder
from training.data.examples import Example, ExampleSet, outcome_examples
from training.data.splits import split_by_task
from training.data.synthetic import best_fixed_regret, make_tasks, outcome_rows, regrets
from training.export.checkpoint import _candidates
from training.network.fit import _resume
from training.network.resume import SameDraws
from training.settings import TrainSettings
from training.train import _with_initial, train_on

torch.set_num_threads(1)
LAM = 0.01
TEST = make_tasks(60, seed=1)
DATA = outcome_examples(outcome_rows(make_tasks(40)), POOL)
CONTEXT = SelectorContext(helpers=build_pool(HelperSettings()))


@pytest.fixture(scope="module")
def tiny(tmp_path_factory: pytest.TempPathFactory) -> str:
    return str(write_tiny_encoder(tmp_path_factory.mktemp("encoder")))


def settings(kind: str = "encoder", **groups: Any) -> TrainSettings:
    tree: dict[str, Any] = {
        "kind": kind,
        "decision": {"lam": LAM},
        "vectors": {"source": "hashed", "buckets": 1024, "components": 32},
        "trainer": {"wandb": "disabled", "progress": False, "accelerator": "cpu", "devices": 1},
        "optimiser": {"epochs": 2, "batch": 32},
    }
    for name, group in groups.items():
        tree[name] = {**tree.get(name, {}), **group} if isinstance(group, dict) else group
    return TrainSettings.model_validate(tree)


def tiny_encoder(tiny: str, lora: bool = True) -> dict[str, Any]:
    return {"name": tiny, "window": 32, "lora": {"rank": 2, "alpha": 4} if lora else None}


def decisions(folder: Path) -> list[tuple[bool, ...]]:
    router = load_router(folder)
    return [router.choose(featurise(task.state)).members for task in TEST[:20]]


@pytest.mark.parametrize(("kind", "count"), [("linear", 300), ("knn", 600), ("boosting", 600)])
def test_baselines_beat_the_best_fixed_subset_on_synthetic_tasks(kind: str, count: int, tmp_path: Path) -> None:
    data = outcome_examples(outcome_rows(make_tasks(count)), POOL)
    few = {"knn": {"folds": 2}, "boosting": {"rounds": [100], "folds": 2}}
    config = settings(kind, linear={"strengths": [0.1, 0.3], "folds": 3}, **few)
    manifest = train_on(config, data, tmp_path)
    assert manifest is not None and manifest.synthetic and manifest.encoder is None
    router = load_router(tmp_path)
    lost = regrets(TEST, [router.choose(featurise(task.state)).members for task in TEST], LAM)
    assert lost.mean() < 0.95 * best_fixed_regret(TEST, LAM)


def test_a_run_of_every_kind_is_repeatable(tiny: str, tmp_path: Path) -> None:
    for kind in ("linear", "knn", "boosting", "prior", "encoder"):
        config = settings(kind, encoder=tiny_encoder(tiny))
        folders = [tmp_path / f"{kind}{n}" for n in range(2)]
        one, two = (train_on(config, DATA, folder) for folder in folders)
        assert one is not None and two is not None
        assert one.files["heads.safetensors"].sha256 == two.files["heads.safetensors"].sha256
        assert decisions(folders[0]) == decisions(folders[1])


@pytest.fixture(scope="module")
def router(tiny: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    folder = tmp_path_factory.mktemp("router")
    config = settings(encoder=tiny_encoder(tiny), optimiser={"lr": 0.01})
    train_on(config, DATA, folder, command="fama train --config x.yaml --out y")
    yield folder


def test_a_loaded_router_decides_like_the_runtime_selector(router: Path) -> None:
    loaded, again = load_router(router), load_router(router)
    selector = build(CONTEXT, checkpoint=router)
    for task in TEST[:20]:
        features = featurise(task.state)
        members = loaded.choose(features).members
        assert again.choose(features).members == members
        selection = choose_now(selector, task.state)
        assert selection.subset == tuple(name for name, flag in zip(POOL, members, strict=True) if flag)


def test_the_checkpoint_is_complete_and_free_of_pickles(router: Path) -> None:
    files = {path.relative_to(router).as_posix() for path in router.rglob("*") if path.is_file()}
    own = {name for name in files if not name.startswith("work/")}
    assert own == {
        "README.md",
        "router.json",
        "heads.safetensors",
        "reliability.svg",
        "adapter/adapter_config.json",
        "adapter/adapter_model.safetensors",
    }
    assert not [name for name in files if name.endswith((".ckpt", ".pkl", ".pt", ".bin"))]
    assert any(name.endswith("metrics.csv") for name in files)
    manifest = read_manifest(router)
    assert manifest.pool == POOL
    assert manifest.data_hash == DATA.digest()
    assert manifest.versions["torch"] == torch.__version__
    assert set(manifest.files) == own - {"README.md", "router.json", "reliability.svg"}
    assert json.loads((router / ADAPTER_CONFIG).read_text())["inference_mode"] is True


def test_the_card_says_what_matters(router: Path) -> None:
    card = (router / "README.md").read_text()
    measured = json.loads((router / "work" / "metrics.json").read_text())
    manifest = read_manifest(router)
    for text in ("SYNTHETIC", "95 % interval", "fama train --config x.yaml --out y", "## Limits", manifest.split_hash):
        assert text in card
    value, low, high, tasks = (measured["metrics"]["log loss"][name] for name in ("value", "low", "high", "n"))
    assert tasks == measured["tasks"]
    assert low <= value <= high
    assert f"| log loss | {value:.4f} | [{low:.4f}, {high:.4f}] |" in card
    assert f"{measured['rows']} rows of {measured['tasks']} tasks" in card
    assert sum(measured["chosen"].values()) == measured["tasks"]


def test_a_missing_adapter_is_refused(router: Path, tmp_path: Path) -> None:
    folder = tmp_path / "copy"
    shutil.copytree(router, folder)
    (folder / "adapter" / "adapter_model.safetensors").unlink()
    with pytest.raises(BadInput, match="adapter_model.safetensors: missing"):
        load_router(folder)


def test_another_encoder_is_refused(router: Path, tmp_path: Path) -> None:
    other = write_tiny_encoder(tmp_path / "other", seed=5)
    with pytest.raises(BadInput, match="other weights"):
        build(CONTEXT, checkpoint=router, encoder=str(other))


def test_a_frozen_encoder_needs_no_adapter(tiny: str, tmp_path: Path) -> None:
    manifest = train_on(settings(encoder=tiny_encoder(tiny, lora=False)), DATA, tmp_path)
    assert manifest is not None and manifest.encoder is not None
    assert not manifest.encoder.adapted
    assert set(manifest.files) == {"heads.safetensors"}
    assert len(decisions(tmp_path)) == 20


def test_training_resumes_where_it_stopped(tiny: str, tmp_path: Path) -> None:
    first = settings(encoder=tiny_encoder(tiny), optimiser={"epochs": 1}, trainer={"keep_state": True})
    train_on(first, DATA, tmp_path)
    assert (tmp_path / "work" / "state" / "last.ckpt").is_file()
    more = settings(encoder=tiny_encoder(tiny), optimiser={"epochs": 3, "patience": 9}, trainer={"keep_state": True})
    train_on(more, DATA, tmp_path, ckpt="last")
    assert "- epochs: 3" in (tmp_path / "README.md").read_text()
    rows = [path.read_text() for path in sorted((tmp_path / "work" / "logs").rglob("metrics.csv"))]
    epochs = {line.split(",")[0] for text in rows[1:] for line in text.splitlines()[1:]}
    assert len(rows) == 2 and epochs
    changed = settings(encoder=tiny_encoder(tiny), network={"hidden": 8})
    with pytest.raises(BadInput, match="network differs from the training to resume"):
        train_on(changed, DATA, tmp_path, ckpt="last")


def test_a_stopped_training_goes_on_with_more_patience(tiny: str, tmp_path: Path) -> None:
    """It ended at once, as with the patience of before."""

    def run(folder: str, patience: int, ckpt: str | None = None) -> str:
        steps = {"epochs": 12, "patience": patience, "lr": 0.2}
        config = settings(encoder=tiny_encoder(tiny), optimiser=steps, trainer={"keep_state": True})
        train_on(config, DATA, tmp_path / folder, ckpt=ckpt)
        card = (tmp_path / folder / "README.md").read_text()
        return next(line for line in card.splitlines() if line.startswith("- epochs: "))

    stopped, whole = run("parts", 1), run("whole", 3)
    assert stopped != whole == run("parts", 3, "last")


def test_the_best_state_is_found_where_its_folder_was_moved_to(tmp_path: Path) -> None:
    """Lightning forgot its score, so that a worse epoch took its place."""
    before, now = (ModelCheckpoint(tmp_path / name, filename="best", monitor="val/outcome") for name in "ab")
    before.best_model_path, before.best_model_score = str(tmp_path / "a" / "best.ckpt"), torch.tensor(0.5)
    before.best_k_models = {before.best_model_path: before.best_model_score}
    loaded: dict[str, Any] = {"callbacks": {"saver": before.state_dict(), "stopper": EarlyStopping("x").state_dict()}}
    draws = SameDraws(torch.Generator(), EarlyStopping("x"), str(now.dirpath))
    draws.on_load_checkpoint(cast(Any, None), cast(Any, None), loaded)
    now.load_state_dict(loaded["callbacks"]["saver"])
    assert now.best_model_score == 0.5
    assert now.best_model_path == str(tmp_path / "b" / "best.ckpt") == next(iter(now.best_k_models))
    assert now.last_model_path == ""


def test_a_state_of_another_folder_is_refused(tmp_path: Path) -> None:
    """Neither the settings nor the best epoch of the training that it is of were known."""
    path = tmp_path / "a" / "last.ckpt"
    path.parent.mkdir()
    torch.save({}, path)
    assert _resume(tmp_path / "b" / ".." / "a", str(path)) == path
    with pytest.raises(BadInput, match="last.ckpt: a state of another training; give the folder where it began as"):
        _resume(tmp_path / "b", str(path))


def test_the_decision_loss_goes_on_at_its_own_price_only(tiny: str, tmp_path: Path) -> None:
    def run(lam: float, weight: float, ckpt: str | None = None) -> None:
        groups: dict[str, Any] = {"decision": {"lam": lam}, "losses": {"decision": weight}, "optimiser": {"epochs": 1}}
        config = settings(encoder=tiny_encoder(tiny, lora=False), trainer={"keep_state": True}, **groups)
        train_on(config, DATA, tmp_path / str(weight), ckpt=ckpt)

    run(0.01, 0.0)
    run(0.02, 0.0, "last")
    run(0.01, 1.0)
    with pytest.raises(BadInput, match="decision differs from the training to resume"):
        run(0.02, 1.0, "last")


def test_choices_can_be_limited_to_executed_subsets(tmp_path: Path) -> None:
    tried = [(False,) * 6, (True, *[False] * 5), (False, True, True, False, False, False)]
    rows = [replace(e, subset=tried[n % 3]) for n, e in enumerate(DATA.examples)]
    config = settings("linear", decision={"lam": 0.0, "candidates": "executed"})
    manifest = train_on(config, ExampleSet(tuple(rows), POOL), tmp_path)
    assert manifest is not None
    assert manifest.candidates == ((), ("DCE",), ("TSA", "TOR"))
    assert set(decisions(tmp_path)) <= set(tried)
    assert "from 3 executed subsets" in (tmp_path / "README.md").read_text()
    assert manifest.lam == 0.0


def test_there_must_be_something_to_resume(tiny: str, tmp_path: Path) -> None:
    with pytest.raises(BadInput, match="no training state to resume from"):
        train_on(settings(encoder=tiny_encoder(tiny)), DATA, tmp_path, ckpt="last")
    with pytest.raises(BadInput, match="fitted in one go"):
        train_on(settings("linear"), DATA, tmp_path, ckpt="last")


def test_labels_alone_can_train_a_router(tiny: str, tmp_path: Path) -> None:
    """Failures tell which helpers cover them; whatever the text says, DCE covers every one here."""
    examples = tuple(
        Example(e.task, e.features, coverage=(True, *[False] * 5), categories=(True, False, False, False))
        for e in DATA.examples[::4]
    )
    config = settings(
        encoder=tiny_encoder(tiny, lora=False),
        losses={"outcome": 0.0, "tokens": 0.0, "coverage": 1.0, "categories": 0.5},
        optimiser={"epochs": 4, "lr": 0.02, "lr_population": 0.05, "batch": 8},
    )
    manifest = train_on(config, ExampleSet(examples, POOL), tmp_path)
    assert manifest is not None
    assert manifest.calibration.rows == 0
    assert {members.index(True) for members in decisions(tmp_path) if any(members)} == {0}


def test_labels_are_learned_where_no_validation_task_has_an_outcome(tiny: str, tmp_path: Path) -> None:
    """The loss of no outcome is 0, which no epoch beats: the network stayed as it started."""
    labels = labelled(make_tasks(40))
    held = {e.task for e in split_by_task([*DATA.examples, *labels.examples], 0.25, 0).validation}
    known = replace(DATA, examples=tuple(e for e in DATA.examples if e.task not in held))
    config = settings(encoder=tiny_encoder(tiny, lora=False), losses={"coverage": 1.0, "categories": 1.0})
    assert train_on(config, known + labels, tmp_path) is not None
    card = (tmp_path / "README.md").read_text()
    assert "- best validation loss: " in card and "(no epoch beat the start" not in card


def test_labels_beside_a_table_that_is_not_learned_from_know_no_success(tmp_path: Path) -> None:
    """The logits of what broke were calibrated and measured as if they were those of success."""
    config = settings("linear", losses={"outcome": 0.0, "coverage": 1.0})
    manifest = train_on(config, DATA + labelled(make_tasks(40)), tmp_path)
    assert manifest is not None and manifest.calibration == Calibration()
    card = (tmp_path / "README.md").read_text()
    assert "learned from no outcome" in card and "P(success)" not in card and "log loss of the" not in card
    measured = json.loads((tmp_path / "work" / "metrics.json").read_text())
    assert measured["metrics"] == {} and measured["rows"] > 0 and not (tmp_path / "reliability.svg").exists()


def test_validation_texts_never_enter_a_fit(tmp_path: Path) -> None:
    """Validation outcomes turned upside down change neither arrays nor split, only the calibration."""
    config = settings("linear")
    held = {e.task for e in split_by_task(DATA.examples, 0.25, 0).validation}
    flipped_rows = [
        replace(e, success=not e.success, tokens=(e.tokens or 1) * 9) if e.task in held else e for e in DATA.examples
    ]
    flipped = ExampleSet(tuple(flipped_rows), POOL)
    one, two = train_on(config, DATA, tmp_path / "a"), train_on(config, flipped, tmp_path / "b")
    assert one is not None and two is not None
    assert one.split_hash == two.split_hash and one.data_hash != two.data_hash
    assert one.files["heads.safetensors"] == two.files["heads.safetensors"]


def test_wandb_stays_offline_and_inside_the_folder(tiny: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    home, out = tmp_path / "home", tmp_path / "out"
    home.mkdir()
    monkeypatch.chdir(home)
    monkeypatch.setenv("HOME", str(home))
    monkeypatch.delenv("WANDB_MODE", raising=False)
    config = settings(encoder=tiny_encoder(tiny, lora=False), trainer={"wandb": "offline"}, optimiser={"epochs": 1})
    train_on(config, DATA, out)
    assert list(out.glob("work/wandb/offline-run-*"))
    assert not [path for path in home.rglob("*") if path.is_file()]
    assert not [name for name in os.environ if name.startswith("WANDB_") and str(out) in os.environ[name]]


@pytest.mark.parametrize(
    ("override", "message"),
    [
        ("losses.outcome=0", "nothing to learn"),
        (
            "kind=forest",
            "unknown router trainer 'forest'; known: boosting, encoder, knn, linear, one_vs_rest, prior, setfit",
        ),
        ("options.trees=3", "options"),
        ("encoder.nane=x", "unknown key 'encoder.nane'"),
        ("data.validation=1.5", "data.validation"),
        ("data.pool=[DCE,DCE]", "names a helper twice"),
    ],
)
def test_bad_settings_are_one_line(override: str, message: str) -> None:
    with pytest.raises(BadInput, match=message) as caught:
        load_settings(TrainSettings, "configs/train/encoder.yaml", [override])
    assert "\n" not in str(caught.value)


def test_shipped_configs_are_valid() -> None:
    for kind in ("encoder", "linear", "knn", "boosting", "prior", "one_vs_rest", "setfit"):
        found = load_settings(TrainSettings, f"configs/train/{kind}.yaml")
        assert found.kind == kind
        assert found.data.outcomes == ("results/helpdesk/outcomes-train.parquet",)


def test_baselines_learn_from_outcomes_and_failures() -> None:
    assert settings("knn", losses={"outcome": 0.0, "coverage": 1.0}).kind == "knn"
    with pytest.raises(ValidationError, match=r"learns from the losses .*: set losses\.distillation to 0"):
        settings("knn", losses={"distillation": 1.0})
    with pytest.raises(ValidationError, match=r"data\.view retrospective learns outcomes from"):
        settings("knn", data={"view": "retrospective"})


def test_arrays_are_finite(router: Path) -> None:
    for values in load_file(router / "heads.safetensors").values():
        assert np.isfinite(values).all()


def test_training_goes_on_from_a_checkpoint(tiny: str, tmp_path: Path) -> None:
    """With steps too small to change anything the router is the one it started from, trained on other tasks."""
    router = tmp_path / "before"
    train_on(settings(encoder=tiny_encoder(tiny)), outcome_examples(outcome_rows(make_tasks(40, seed=5)), POOL), router)
    still = {"lr": 1e-12, "lr_encoder": 1e-12, "lr_population": 1e-12, "decay": 0.0, "decay_heads": 0.0, "epochs": 1}
    again = train_on(settings(encoder=tiny_encoder(tiny), init=str(router), optimiser=still), DATA, tmp_path / "again")
    assert again is not None and decisions(tmp_path / "again") == decisions(router)
    before, after = (load_router(folder).predictor for folder in (router, tmp_path / "again"))
    features = featurise(TEST[0].state)
    masks = np.array([[True, False, True, False, False, True]])
    assert after.scores(features)(masks).logit == pytest.approx(before.scores(features)(masks).logit, abs=1e-4)
    fresh = train_on(settings(encoder=tiny_encoder(tiny), optimiser=still), DATA, tmp_path / "fresh")
    assert fresh is not None
    tasks = {name: set(read_manifest(tmp_path / name).tasks or ()) for name in ("before", "again", "fresh")}
    assert tasks["again"] == tasks["before"] | tasks["fresh"]
    other = load_router(tmp_path / "fresh").predictor.scores(features)(masks).logit
    assert other != pytest.approx(before.scores(features)(masks).logit, abs=1e-4)


def test_where_no_epoch_is_better_all_of_the_start_is_kept(tiny: str, tmp_path: Path) -> None:
    before = tmp_path / "before"
    train_on(settings(encoder=tiny_encoder(tiny), optimiser={"lr_encoder": 0.01}), DATA, before)
    worse = {"lr": 3.0, "lr_population": 3.0, "lr_encoder": 1.0, "epochs": 1}
    train_on(settings(encoder=tiny_encoder(tiny), init=str(before), optimiser=worse), DATA, tmp_path / "again")
    card = (tmp_path / "again" / "README.md").read_text()
    assert "no epoch beat the start" in card and "loss of the initial router (start)" in card
    for name in ("heads.safetensors", "adapter/adapter_model.safetensors"):
        was, now = load_file(before / name), load_file(tmp_path / "again" / name)
        assert all(np.array_equal(was[key], now[key]) for key in was)


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"network": {"hidden": 16}}, "has network"),
        ({"encoder": {"lora": None}}, "has adapters; set encoder.lora"),
        ({"encoder": {"lora": {"rank": 4, "alpha": 4}}}, "adapters with r 2"),
        ({"encoder": {"window": 16}}, "has window 32, this config 16"),
        ({"data": {"cost": "seconds", "outcomes": ["x"]}}, "has data.cost tokens, this config seconds"),
        ({"data": {"view": "retrospective", "plain": ["x"]}}, "has data.view prospective, this config retrospective"),
    ],
)
def test_another_shape_cannot_go_on(
    changes: dict[str, Any], words: str, tiny: str, router: Path, tmp_path: Path
) -> None:
    groups = changes | {"encoder": tiny_encoder(tiny) | changes.get("encoder", {})}
    with pytest.raises(BadInput, match=words):
        train_on(settings(init=str(router), **groups), DATA, tmp_path / "out")


def test_labels_go_on_in_the_unit_of_the_router_that_they_start_from() -> None:
    labels: dict[str, Any] = {
        "losses": {"outcome": 0.0, "tokens": 0.0, "coverage": 1.0},
        "data": {"cost": "seconds"},
    }
    assert settings(init="somewhere", **labels).data.cost == "seconds"
    with pytest.raises(ValidationError, match="labels have no cost; set tokens"):
        settings(**labels)


def test_labels_alone_keep_the_temperature_of_the_router_that_they_start_from(
    tiny: str, router: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = read_manifest(router)
    hot = before.model_copy(update={"calibration": Calibration(temperature=2.5)})
    monkeypatch.setattr("training.export.checkpoint.read_manifest", lambda folder: hot)
    losses = {"outcome": 0.0, "tokens": 0.0, "coverage": 1.0}
    wanted = settings(encoder=tiny_encoder(tiny), init=str(router), losses=losses, optimiser={"epochs": 1})
    found = train_on(wanted, labelled(make_tasks(40)), tmp_path / "again")
    assert found is not None and found.calibration == Calibration(temperature=2.5)
    assert "temperature 2.50, the initial router's" in (tmp_path / "again" / "README.md").read_text()


def test_a_router_says_what_the_one_that_it_starts_from_has_learned(monkeypatch: pytest.MonkeyPatch) -> None:
    """Labels have neither prompts nor candidates, so that both were lost, and with them what warns of other texts."""
    before = read_manifest(Path("checkpoints/helpdesk-encoder"))
    assert before.candidates is not None and before.prompts_hash
    losses = {"outcome": 0.0, "tokens": 0.0, "coverage": 1.0}
    groups: dict[str, Any] = {"init": "checkpoints/helpdesk-encoder", "losses": losses}
    labels = labelled(make_tasks(4))
    wanted = settings(**groups, decision={"candidates": "executed"})
    assert _candidates(wanted, POOL, labels.examples) == before.candidates
    assert _candidates(settings(**groups), POOL, labels.examples) is None
    found = _with_initial(wanted, labels)
    assert (found.prompts_hash, found.benchmark_version) == (before.prompts_hash, before.benchmark_version)
    assert (found.domains, found.backbones, found.synthetic) == (before.domains, before.backbones, True)
    assert found.examples == labels.examples and found.digest() == labels.digest()
    template, agents = (dict.fromkeys(POOL, form) for form in ("template", "llm"))
    told = before.model_copy(update={"forms": template})
    monkeypatch.setattr("training.train.read_manifest", lambda folder: told)
    assert _with_initial(wanted, labels).forms == template
    with pytest.raises(BadInput, match="data: its sources have helpers in other forms"):
        _with_initial(wanted, replace(labels, forms=cast(Any, agents)))


def test_a_linear_router_cannot_go_on() -> None:
    with pytest.raises(ValidationError, match="fitted in one go"):
        settings("linear", init="somewhere")


def test_held_out_backbones_have_their_own_section(tiny: str, tmp_path: Path) -> None:
    twins = tuple(replace(example, backbone="other") for example in DATA.examples)
    data = replace(DATA, examples=DATA.examples + twins)
    config = settings("linear", data={"hold_out_backbones": ["other"]})
    assert train_on(config, data, tmp_path) is not None
    card = (tmp_path / "README.md").read_text()
    assert "## Transfer: other, held out" in card and "held-out states" in card
    apart = json.loads((tmp_path / "work" / "metrics.json").read_text())["held_out"]
    assert apart["rows"] > 0 and apart["tasks"] > 0
    assert f"not trained on, {apart['tasks']} of them validation tasks of other backbones" in card


def test_the_decision_loss_alone_starts_from_the_context_free_model(tiny: str, tmp_path: Path) -> None:
    """It started from zeros, where an episode takes one token and no price is felt."""
    still = {"lr": 1e-12, "lr_encoder": 1e-12, "lr_population": 1e-12, "decay": 0.0, "decay_heads": 0.0, "epochs": 1}
    losses = {"outcome": 0.0, "decision": 1.0}
    config = settings(encoder=tiny_encoder(tiny, lora=False), losses=losses, optimiser=still)
    assert train_on(config, DATA, tmp_path) is not None
    tokens = load_router(tmp_path).scores(featurise(TEST[0].state))(np.array([[False] * 6, [True] * 6])).tokens
    spent = np.mean([example.tokens for example in DATA.examples if example.tokens is not None])
    assert 0.5 * spent < tokens[0] < tokens[1] < 3.0 * spent


def test_the_decision_loss_trains_a_router(tiny: str, tmp_path: Path) -> None:
    config = settings(encoder=tiny_encoder(tiny, lora=False), losses={"decision": 1.0, "tokens": 0.1})
    assert train_on(config, DATA, tmp_path) is not None
    assert "decision × 1.0" in (tmp_path / "README.md").read_text()
    with pytest.raises(ValidationError, match=r"a knn router learns from .*: set losses\.decision to 0"):
        settings("knn", losses={"decision": 1.0})
