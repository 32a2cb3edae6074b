"""Checkpoints that somebody changed, with hashes that fit: they decide as numbers or are refused in one line."""

import json
import os
import random
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from safetensors.numpy import load_file, save

from fama.cli import main
from fama.errors import BadInput
from fama.selection.router.checkpoint import load_router
from fama.selection.router.kinds.trees import read_forest
from fama.subsets import POOL
from tests.support.hostile_checkpoints import BAD_NUMBERS, copy_of, decides_or_is_refused, places, reseal
from training.data.examples import outcome_examples
from training.data.synthetic import make_tasks, outcome_rows
from training.settings import TrainSettings
from training.train import train_on

KINDS = ("linear", "knn", "prior", "boosting", "one_vs_rest")
SMALL = {"source": "hashed", "buckets": 64, "components": 4}


@pytest.fixture(scope="module")
def routers(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    examples = outcome_examples(outcome_rows(make_tasks(30)), POOL)
    folders = {kind: tmp_path_factory.mktemp("routers") / kind for kind in KINDS}
    for kind, folder in folders.items():
        options: dict[str, Any] = {kind: {"folds": 2}} if kind != "prior" else {}
        options = {"options": {"folds": 2, "strengths": [1.0], "terms": 50}} if kind == "one_vs_rest" else options
        options |= {"boosting": {"folds": 2, "rounds": [4], "leaves": [4], "least": 2}} if kind == "boosting" else {}
        train_on(TrainSettings.model_validate({"kind": kind, "vectors": SMALL, **options}), examples, folder)
    return folders


@pytest.mark.parametrize("kind", KINDS)
def test_every_number_of_the_manifest(routers: dict[str, Path], tmp_path: Path, kind: str) -> None:
    folder = copy_of(routers[kind], tmp_path)
    whole = json.loads((folder / "router.json").read_text())
    assert decides_or_is_refused(folder)
    refused = 0
    for path in places({key: value for key, value in whole.items() if key not in ("files", "cost")}):
        for bad in BAD_NUMBERS:
            manifest = json.loads(json.dumps(whole))
            node = manifest
            for key in path[:-1]:
                node = node[key]
            node[path[-1]] = bad
            (folder / "router.json").write_text(json.dumps(manifest))
            refused += not decides_or_is_refused(folder)
    assert refused > 20


@pytest.mark.parametrize("kind", KINDS)
def test_every_array(routers: dict[str, Path], tmp_path: Path, kind: str) -> None:
    folder = copy_of(routers[kind], tmp_path)
    arrays = load_file(folder / "heads.safetensors")
    changes: tuple[Callable[[Any], Any], ...] = (
        lambda value: np.full_like(value, np.nan),
        lambda value: np.full_like(value, np.inf),
        lambda value: np.full_like(value, 3e38),
        lambda value: np.full_like(value, -7),
        lambda value: np.zeros_like(value),
        lambda value: value[:-1],
        lambda value: np.concatenate([value, value]),
        lambda value: value[None],
        lambda value: value.astype(np.int64),
    )
    for name, value in arrays.items():
        for place, change in enumerate(changes):
            if value.dtype.kind != "f" and place < 4:
                continue
            (folder / "heads.safetensors").write_bytes(save({**arrays, name: np.ascontiguousarray(change(value))}))
            reseal(folder)
            decides = decides_or_is_refused(folder)
            unknown = place == 0 and name in ("row_log_tokens", "cell_log_tokens", "domain_evidence")
            assert not decides or place >= 3 or unknown, (name, place)


def booster() -> tuple[Any, str, Any]:
    import lightgbm

    rng = np.random.default_rng(5)
    rows = rng.normal(size=(300, 6))
    target = rows[:, 0] + rows[:, 1] * rows[:, 3] + rng.normal(size=300)
    options = {"objective": "regression", "verbosity": -1, "num_leaves": 7, "num_threads": 1, "seed": 0}
    grown = lightgbm.train(options, lightgbm.Dataset(rows, target), num_boost_round=30)
    return grown, grown.model_to_string(), rng.normal(size=(50, 6))


def test_trees_score_as_lightgbm_does_to_the_last_bit() -> None:
    grown, text, rows = booster()
    forest = read_forest(text)
    assert len(forest.roots) == 30 and forest.columns <= 6
    assert np.array_equal(forest.scores(rows), grown.predict(rows, raw_score=True, num_threads=1))
    assert forest.scores(rows[:1])[0] == forest.scores(rows)[0]


def edited(folder: Path, name: str, **changes: Any) -> None:
    tree = json.loads((folder / name).read_text())
    (folder / name).write_text(json.dumps({**tree, **changes}))
    reseal(folder)


def big_network(folder: Path) -> None:
    network = json.loads((folder / "router.json").read_text())["network"]
    edited(folder, "router.json", network={**network, "hidden": 60_000, "attention": 60_000})


def big_adapter(folder: Path) -> None:
    edited(folder, "adapter/adapter_config.json", r=4096)


def adapter_of_another_sort(folder: Path) -> None:
    edited(folder, "adapter/adapter_config.json", peft_type="PREFIX_TUNING")


def nan_adapter(folder: Path) -> None:
    path = folder / "adapter" / "adapter_model.safetensors"
    path.write_bytes(save({name: np.full_like(value, np.nan) for name, value in load_file(path).items()}))
    reseal(folder)


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        pytest.param(big_network, "has shape", marks=pytest.mark.slow),
        (big_adapter, "LoRA"),
        (adapter_of_another_sort, "LoRA"),
        (nan_adapter, "not finite"),
    ],
)
def test_a_changed_encoder_router(tmp_path: Path, change: Callable[[Path], None], reason: str) -> None:
    folder = copy_of(Path("checkpoints/helpdesk-encoder"), tmp_path)
    change(folder)
    with pytest.raises(BadInput, match=reason):
        load_router(folder)


WORDS = ("-1", "0", "1", "99999999999", "nan", "inf", "", "-5", "1e999", "x")


def test_changed_trees_end_in_time() -> None:
    _, text, rows = booster()
    rng = random.Random(1)
    read = 0
    for _ in range(400):
        lines = text.splitlines(keepends=True)
        place = rng.randrange(200)
        words = lines[place].split(" ")
        words[rng.randrange(len(words))] = rng.choice(
            ["-1", "0", "1", "99999999999", "nan", "inf", "", "-5", "1e999", "x"]
        )
        lines[place] = " ".join(words) if rng.random() < 0.8 else ""
        try:
            forest = read_forest("".join(lines))
        except ValueError as error:
            assert "\n" not in str(error)
            continue
        read += 1
        if forest.columns <= 6:
            assert np.isfinite(forest.scores(rows)).all()
    assert 0 < read < 400


@pytest.mark.parametrize(
    ("old", "new", "reason"),
    [
        ("left_child=1 ", "left_child=0 ", "named twice"),
        ("num_cat=0", "num_cat=3", "categorical"),
        ("num_leaves=7", "num_leaves=2000000000", "num_leaves"),
        ("num_class=1", "num_class=4", "num_class"),
        ("split_feature=", "split_feature=-9 ", "split_feature"),
        ("end of trees", "end of", "no whole"),
    ],
)
def test_what_is_wrong_with_trees(old: str, new: str, reason: str) -> None:
    text = booster()[1]
    assert old in text
    with pytest.raises(ValueError, match=reason):
        read_forest(text.replace(old, new, 1))


def test_trees_that_read_past_a_row(routers: dict[str, Path], tmp_path: Path) -> None:
    folder = copy_of(routers["boosting"], tmp_path)
    (folder / "trees.json").write_text(
        json.dumps({"success": booster()[1].replace("split_feature=0", "split_feature=70000")})
    )
    reseal(folder)
    with pytest.raises(BadInput, match="trees read more than"):
        load_router(folder)


def linked_card(folder: Path, secret: Path) -> None:
    (folder / "README.md").unlink()
    (folder / "README.md").symlink_to(secret)


def linked_heads(folder: Path, secret: Path) -> None:
    shutil.move(folder / "heads.safetensors", secret.with_name("heads"))
    (folder / "heads.safetensors").symlink_to(secret.with_name("heads"))


def linked_manifest(folder: Path, secret: Path) -> None:
    shutil.move(folder / "router.json", secret.with_name("manifest"))
    (folder / "router.json").symlink_to(secret.with_name("manifest"))


def linked_folder(folder: Path, secret: Path) -> None:
    (folder / "adapter").symlink_to(secret.parent)


def name_outside(folder: Path, secret: Path) -> None:
    manifest = json.loads((folder / "router.json").read_text())
    manifest["files"]["../x"] = {"size": 1, "sha256": "0" * 64}
    (folder / "router.json").write_text(json.dumps(manifest))


def another_name(folder: Path, secret: Path) -> None:
    shutil.copy(secret, folder / "work" / "notes")
    manifest = json.loads((folder / "router.json").read_text())
    manifest["files"]["work/notes"] = manifest["files"]["heads.safetensors"]
    (folder / "router.json").write_text(json.dumps(manifest))
    reseal(folder)


def a_pipe(folder: Path, secret: Path) -> None:
    (folder / "README.md").unlink()
    os.mkfifo(folder / "README.md")


@pytest.mark.parametrize(
    "attack", [linked_card, linked_heads, linked_manifest, linked_folder, name_outside, another_name, a_pipe]
)
def test_only_regular_files_inside_the_checkpoint_are_read_or_exported(
    routers: dict[str, Path],
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    attack: Callable[[Path, Path], None],
) -> None:
    folder = copy_of(routers["linear"], tmp_path)
    (secret := tmp_path / "home" / "secret").parent.mkdir()
    secret.write_text("private")
    attack(folder, secret)
    out = tmp_path / "deep" / "out"
    assert main(["export", str(folder), "--to", "hf", "--out", str(out)]) == 2
    error = capsys.readouterr().err
    assert error.count("\n") == 1 and "copy" in error
    assert not out.exists() and not (tmp_path / "deep" / "x").exists()
    with pytest.raises(BadInput):
        load_router(folder)


def test_a_folder_that_is_itself_a_link_is_the_users_choice(routers: dict[str, Path], tmp_path: Path) -> None:
    (tmp_path / "latest").symlink_to(routers["linear"])
    assert decides_or_is_refused(tmp_path / "latest")
