"""A router as a hub folder: loads as before, nothing of the training goes along, nothing is uploaded unasked."""

import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml

from fama.cli import main
from fama.selection.router.checkpoint import load_router
from fama.selection.router.features import featurise
from fama.selection.router.hub import header
from fama.selection.router.manifest import EncoderShape
from fama.subsets import POOL
from training.data.examples import outcome_examples
from training.data.synthetic import make_tasks, outcome_rows
from training.settings import TrainSettings
from training.train import train_on

SETTINGS = {"kind": "linear", "vectors": {"source": "hashed", "buckets": 128, "components": 8}, "linear": {"folds": 2}}


class Hub:
    """Stands in for the hub's client; keeps what it was asked."""

    asked: list[tuple[str, dict[str, Any]]]
    broken: Exception | None = None

    def __init__(self) -> None:
        Hub.asked.append(("client", {}))

    def create_repo(self, name: str, **more: Any) -> str:
        Hub.asked.append(("create", {"name": name, **more}))
        if Hub.broken is not None:
            raise Hub.broken
        return f"https://hub.invalid/{name}"

    def upload_folder(self, **more: Any) -> None:
        Hub.asked.append(("upload", more))


@pytest.fixture
def hub(monkeypatch: pytest.MonkeyPatch) -> type[Hub]:
    Hub.asked, Hub.broken = [], None
    monkeypatch.setattr("huggingface_hub.HfApi", Hub)
    return Hub


@pytest.fixture(scope="module")
def router(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("router") / "it"
    train_on(TrainSettings.model_validate(SETTINGS), outcome_examples(outcome_rows(make_tasks(60)), POOL), folder)
    return folder


def test_the_folder_decides_as_the_checkpoint(
    router: Path, tmp_path: Path, hub: type[Hub], capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "hub"
    assert main(["export", str(router), "--to", "hf", "--out", str(out)]) == 0
    assert "nothing was uploaded" in capsys.readouterr().out and hub.asked == []
    names = {path.relative_to(out).as_posix() for path in out.rglob("*") if path.is_file()}
    assert names == {"README.md", "heads.safetensors", "router.json", "reliability.svg"}
    (out / ".gitattributes").write_text("*.safetensors filter=lfs\n")  # what the hub adds to every repository
    noted = out / ".cache" / "huggingface" / "download" / "router.json.metadata"  # by hf download --local-dir
    noted.parent.mkdir(parents=True)
    noted.write_text("a commit\n")
    assert (out / "router.json").read_bytes() == (router / "router.json").read_bytes()
    before, after = load_router(router), load_router(out)
    for task in make_tasks(20, seed=1):
        assert before.choose(featurise(task.state)).members == after.choose(featurise(task.state)).members


def test_the_card_starts_with_the_hubs_header(router: Path, tmp_path: Path) -> None:
    assert main(["export", str(router), "--to", "hf", "--out", str(tmp_path / "hub")]) == 0
    card = (tmp_path / "hub" / "README.md").read_text()
    block, rest = card.removeprefix("---\n").split("---\n\n", 1)
    told = yaml.safe_load(block)
    assert "license" not in told  # the router is its trainer's
    assert "router-linear" in told["tags"] and "synthetic" in told["tags"]
    assert "base_model" not in told and rest == (router / "README.md").read_text()


def test_the_header_states_the_licence_that_was_given(router: Path, tmp_path: Path) -> None:
    out = tmp_path / "hub"
    assert main(["export", str(router), "--to", "hf", "--out", str(out), "--license", "mit"]) == 0
    block = (out / "README.md").read_text().removeprefix("---\n").split("---\n\n", 1)[0]
    assert yaml.safe_load(block)["license"] == "mit"


def test_a_card_from_the_hub_has_one_header(router: Path, tmp_path: Path) -> None:
    """Exported again, it got a second one, of which the hub shows the marks."""
    folders = [tmp_path / name for name in ("first", "again", "licensed")]
    for before, out, flags in zip([router, *folders], folders, [[], [], ["--license", "mit"]], strict=False):
        assert main(["export", str(before), "--to", "hf", "--out", str(out), *flags]) == 0
    first, again, licensed = ((folder / "README.md").read_text() for folder in folders)
    assert first == again and first.count("library_name") == licensed.count("library_name") == 1
    assert "license: mit" in licensed and licensed.endswith((router / "README.md").read_text())


def test_only_a_name_of_the_hub_is_a_base_model(router: Path, tmp_path: Path) -> None:
    manifest = load_router(router).manifest

    def named(name: str) -> str:
        shape = EncoderShape(name=name, window=16)
        return header(manifest.model_copy(update={"encoder": shape}))

    folder = tmp_path / "encoder"
    folder.mkdir()
    assert "base_model: owner/encoder" in named("owner/encoder")
    assert "base_model" not in named(str(folder)) and "base_model" not in named("packaged-encoder")


@pytest.mark.parametrize(("flag", "private"), [([], True), (["--public"], False)])
def test_pushed_only_when_asked_and_privately(
    router: Path, tmp_path: Path, hub: type[Hub], flag: list[str], private: bool
) -> None:
    out = tmp_path / "hub"
    assert main(["export", str(router), "--to", "hf", "--out", str(out), "--push", "me/router", *flag]) == 0
    assert hub.asked[1:] == [
        ("create", {"name": "me/router", "private": private, "exist_ok": True}),
        ("upload", {"repo_id": "me/router", "folder_path": out}),
    ]


def test_a_hub_that_refuses_is_one_line(
    router: Path, tmp_path: Path, hub: type[Hub], capsys: pytest.CaptureFixture[str]
) -> None:
    hub.broken = OSError("no route\nto host")
    out = tmp_path / "hub"
    assert main(["export", str(router), "--to", "hf", "--out", str(out), "--push", "me/router"]) == 1
    said = capsys.readouterr().err
    assert said.count("\n") == 1 and "me/router: not pushed (OSError: no route to host)" in said
    assert load_router(out).manifest.kind == "linear"


def cut(folder: Path) -> None:
    path = folder / "heads.safetensors"
    path.write_bytes(path.read_bytes()[:-5])


def no_manifest(folder: Path) -> None:
    (folder / "router.json").unlink()


@pytest.mark.parametrize(
    ("damage", "words"), [(cut, "truncated"), (no_manifest, "no router checkpoint")], ids=["cut", "no manifest"]
)
def test_a_damaged_router_is_not_exported(
    router: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], damage: Callable[[Path], None], words: str
) -> None:
    copy = tmp_path / "copy"
    shutil.copytree(router, copy)
    damage(copy)
    assert main(["export", str(copy), "--to", "hf", "--out", str(tmp_path / "hub")]) == 2
    assert words in capsys.readouterr().err and not (tmp_path / "hub").exists()


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["--to", "inspect", "--push", "me/router"], "--push: only with --to hf"),
        (["--to", "hf", "--public"], "--public: only with --push"),
    ],
)
def test_flags_that_do_not_go_together(
    router: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], arguments: list[str], words: str
) -> None:
    assert main(["export", str(router), "--out", str(tmp_path / "hub"), *arguments]) == 2
    assert words in capsys.readouterr().err


def test_a_folder_with_something_in_it_is_left_alone(
    router: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "mine.txt").write_text("mine")
    assert main(["export", str(router), "--to", "hf", "--out", str(tmp_path)]) == 2
    assert "already there" in capsys.readouterr().err
    assert [path.name for path in tmp_path.iterdir()] == ["mine.txt"]
