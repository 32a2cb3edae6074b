"""Every file in configs/ and every command of the README runs, on toy input."""

import asyncio
import json
import re
import shlex
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from fama import cli
from fama.config_layers import ConfigLayers
from fama.envs import checkouts
from fama.errors import BadInput
from fama.mining.runner import mine_folder
from fama.mining.settings import MineSettings
from fama.models.scripted import SCRIPTED
from tests.support.mining_worlds import Backbone, plain_run, puzzles, random_puzzle
from tests.support.tiny_encoder import write_tiny_encoder

ROOT = Path(__file__).resolve().parents[1]
CONFIGS = sorted(path.relative_to(ROOT).as_posix() for path in (ROOT / "configs").rglob("*.yaml"))
GRID = [config for config in CONFIGS if "/paper-" in config]
BACKBONES = ("Qwen/Qwen3-4B", "Qwen/Qwen3-14B", "Qwen/Qwen3-32B", "Qwen/Qwen2.5-72B-Instruct")
TOY = ("model.name=scripted:echo", "tasks=1", "limits.steps=4")
QUICK = ("encoder.lora=null", "optimiser.epochs=1")


@pytest.fixture(scope="module")
def table(synthetic_table: Callable[[int], Path]) -> Path:
    """A SYNTHETIC outcome table of 24 tasks."""
    return synthetic_table(24)


@pytest.fixture(scope="module")
def tiny(tmp_path_factory: pytest.TempPathFactory) -> str:
    """A random encoder of one layer, with positions for every window; one config trains on the real one."""
    return str(write_tiny_encoder(tmp_path_factory.mktemp("encoder"), positions=512))


@pytest.fixture(scope="module")
def router(table: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A linear router trained on synthetic rows."""
    out = tmp_path_factory.mktemp("router") / "linear"
    assert (
        cli.main(["train", "--config", str(ROOT / "configs/train/linear.yaml"), *learn(table), "--out", str(out)]) == 0
    )
    return out


@pytest.fixture(scope="module")
def subset_grids(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """Every subset on one test task, run with a scripted model, by the domain of the grid's config."""
    made = {}
    for domain, config in {"shop": "helpdesk-test", "shop+saas": "helpdesk-mixed-test"}.items():
        out = tmp_path_factory.mktemp("grid")
        words = command_of(f"configs/outcomes/{config}.yaml")
        words[words.index("--out") + 1] = str(out)
        assert cli.main([*(str(ROOT / word) if word.endswith(".yaml") else word for word in words), *TOY]) == 0
        made[domain] = out / "outcomes.parquet"
    return made


@pytest.fixture(scope="module")
def mined(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """Settings that name mined repairs of SYNTHETIC puzzles, whose helpers stay registered."""
    out = tmp_path_factory.mktemp("mined")
    with puzzles({f"p{number}": random_puzzle(number) for number in range(24)}):
        plain = asyncio.run(plain_run(out / "plain"))
        asyncio.run(mine_folder(plain, MineSettings(), out / "repairs", model=Backbone()))
        SCRIPTED.add("puzzles", Backbone())
        yield f"data={{pool: [Alpha, Beta], repairs: [{{repairs: {out / 'repairs'}, episodes: {plain}}}]}}"
        SCRIPTED.remove("puzzles")


def learn(table: Path) -> list[str]:
    return [f"data.outcomes=[{table}]"]


@pytest.fixture(scope="module")
def failed(tmp_path_factory: pytest.TempPathFactory) -> str:
    """Settings that name labelled failures of a scripted model on a dozen development tasks."""
    out = tmp_path_factory.mktemp("failed")
    assert cli.main(["run", *TOY, "tasks=12", "--out", str(out / "plain")]) == 0
    assert cli.main(["diagnose", str(out / "plain"), "--judge", "none", "--out", str(out / "labels")]) == 0
    return f"data.failures=[{{failures: {out / 'labels' / 'failures.jsonl'}, episodes: {out / 'plain'}}}]"


def command_of(config: str) -> list[str]:
    """The command in a config's first line, which lays the config over its base where it has one."""
    first = (ROOT / config).read_text(encoding="utf-8").splitlines()[0]
    assert first.startswith("# fama "), f"{config}: no command in the first line"
    return shlex.split(first.removeprefix("# fama "))


def files_of(words: list[str]) -> list[str]:
    return [words[place + 1] for place, word in enumerate(words) if word == "--config"]


def merged(files: list[str]) -> dict[str, Any]:
    """The files' own keys, without defaults."""
    layers = ConfigLayers()
    for file in files:
        layers.add(yaml.safe_load((ROOT / file).read_text(encoding="utf-8")), file)
    return layers.tree


def toy_arms(
    tree: dict[str, Any], router: Path, labels: str = "", subset_grids: dict[str, Path] | None = None
) -> list[str]:
    """The config's own arms on toy input: labels, the oracle's table, and checkpoints but those for failed episodes."""
    arms = tree["arms"]
    for arm in arms:
        own = arm.get("options", {})
        toys = {"failures": labels, "outcomes": str((subset_grids or {}).get(tree.get("domain", "shop")))}
        if "episodes" not in own:
            toys["checkpoint"] = str(router)
        own.update({key: toys[key] for key in own if key in toys})
    return [f"arms={yaml.safe_dump(arms, default_flow_style=True, width=10_000)}"]


def toy_ablation(tree: dict[str, Any], table: Path, tiny: str, failed: str) -> list[str]:
    """One variant a kind, on hashed words; of the encoders only a frozen one, on the outcome table."""
    kinds = {variant["set"].get("kind", "encoder"): variant for variant in tree["variants"]}
    if "test_outcomes" not in tree:
        kinds.pop("encoder")
    if "setfit" in kinds:
        kinds["setfit"]["set"]["options"] = {"steps": 0}  # setfit itself is of an extra
    variants = yaml.safe_dump(list(kinds.values()), default_flow_style=True, width=10_000)
    small = [f"variants={variants}", f"reference={next(iter(kinds.values()))['name']}", "bootstrap=100"]
    small += [
        "train.vectors={source: hashed, components: 4}",
        f"train.encoder={{name: {tiny}, lora: null}}",
        "train.trainer={wandb: disabled}",
        "train.optimiser={epochs: 1}",
    ]
    if "synthetic" in tree:
        return [*small, "synthetic.tasks=30", "synthetic.test_tasks=8", "rows=[40, null]"]
    if "test_outcomes" in tree:
        labels = [f"train.{failed}"] if "failures" in tree["train"]["data"] else []
        apart = [f"train.data.outcomes=[{table}]", "test_outcomes=[]", "train_backbones=[]", "tests=[{name: all}]"]
        return [*small, *labels, *apart, "rows=[40, null]"]
    return [*small, f"train.{failed}", "train_backbones=[]", "tests=[{name: all}]"]


def toy_round() -> list[str]:
    """A round of correction on two of the puzzles that the repairs are of."""
    run = {"benchmark": "puzzles", "domain": "d", "tasks": 2, "demonstrations": 0, "model.name": "scripted:puzzles"}
    return [f"correction.run.{key}={value}" for key, value in run.items()] + [
        "correction.run.helpers.pool=[Alpha, Beta]"
    ]


def toy(
    words: list[str],
    table: Path,
    router: Path,
    subset_grids: dict[str, Path],
    tiny: str,
    failed: str = "",
    mined: str = "",
) -> list[str]:
    """A documented command with overrides that make it small."""
    quick = [*QUICK]
    if "configs/train/encoder.yaml" not in words:  # the one that trains on the real encoder, and logs as it says
        quick += [f"encoder.name={tiny}", "trainer.wandb=disabled"]
    if "configs/train/failures.yaml" in words:
        return [*words, failed, *quick]
    tree = merged(files_of(words))
    if words[0] == "ablate":
        return [*words, *toy_ablation(tree, table, tiny, failed)]
    if "configs/train/retrospective.yaml" in words:
        return [*words, *quick]  # the committed table and its own plain episodes: seconds
    if words[0] == "mine":
        return [*words, "helpers.pool=[DCE, Verifier]", "solved=1", "budget.calls=5"]
    if words[0] == "train" and "repairs" in tree["data"]:
        return [*words, mined, *quick, *(toy_round() if "rounds" in tree else [])]
    if words[0] == "train":
        untuned = ["options.steps=0"] if tree["kind"] == "setfit" else []
        return [*words, *learn(table), *quick, *untuned]
    if words[0] == "compare":
        labels = yaml.safe_load(failed.partition("=")[2])[0]["failures"] if failed else ""
        grid = subset_grids.get(tree.get("domain", "shop"))
        toys = {"outcomes": table, "replay": grid, "lattice": grid, "failures": labels}
        tables = [f"{key}={toys[key]}" for key in toys if key in tree]
        user = ["user_model.name=scripted:echo"] if "user_model" in tree else []
        return [*words, *TOY, *user, *toy_arms(tree, router, labels, subset_grids), *tables]
    if "user_model" in tree:
        words = [*words, "user_model.name=scripted:echo"]
    return [*words, *TOY] if words[0] in ("run", "outcomes") else words


def need_benchmark(tree: dict[str, Any]) -> None:
    """Skip, with the reason, where a config's benchmark is not here."""
    name = tree.get("benchmark", "helpdesk")
    if name == "tau2":
        pytest.importorskip("tau2", reason="tau2 is not installed: pip install -e '.[tau2]'")
    if name in checkouts.KNOWN:
        try:
            checkouts.find_checkout(name)
        except BadInput as error:
            pytest.skip(str(error))


@pytest.mark.parametrize("backbone", BACKBONES)
@pytest.mark.parametrize("config", GRID)
def test_the_papers_grid_can_be_planned(
    config: str, backbone: str, router: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(ROOT)
    words = [*command_of(config), f"model.name={backbone}"]
    tree = merged(files_of(words))
    assert cli.main([*words, "--print_config"]) == 0
    assert yaml.safe_load(capsys.readouterr().out)["model"]["name"] == backbone
    assert cli.main([*words, "--plan", *toy_arms(tree, router)]) == 0
    shown = " ".join(capsys.readouterr().out.split())
    assert "4 arms" in shown and "checkpoint" not in shown


def test_the_grid_is_whole() -> None:
    names = {config.split("paper-")[1].removesuffix(".yaml") for config in GRID}
    assert names == {"airline", "retail", "telecom", "telehealth", "acebench"}
    for config in GRID:
        tree = merged(files_of(command_of(config)))
        assert tree["trials"] == 5 and [arm["name"] for arm in tree["arms"]] == ["none", "irma", "prompted", "learned"]


@pytest.mark.parametrize("config", CONFIGS)
def test_config_runs(
    config: str,
    table: Path,
    router: Path,
    subset_grids: dict[str, Path],
    tiny: str,
    failed: str,
    mined: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    words = command_of(config)
    need_benchmark(merged(files_of(words)))
    assert words[0] == config.split("/")[1] and files_of(words)[-1] == config
    monkeypatch.chdir(ROOT)
    words[words.index("--out") + 1] = str(tmp_path / "out")
    if words[0] == "mine":
        words[1] = str(Path(failed.partition("episodes: ")[2].rstrip("}]")))
    assert cli.main(toy(words, table, router, subset_grids, tiny, failed, mined)) == 0
    assert any((tmp_path / "out").iterdir())


def commands_of_readme() -> list[list[str]]:
    blocks = re.findall(r"```bash\n(.*?)```", (ROOT / "README.md").read_text(encoding="utf-8"), re.S)
    lines = [line.partition(" #")[0] for block in blocks for line in block.splitlines()]
    # serving ends when it is told to; tests/serving runs it
    return [shlex.split(line)[1:] for line in lines if line.startswith("fama ") and not line.startswith("fama serve ")]


def test_readme_commands_run_in_order(
    table: Path, router: Path, subset_grids: dict[str, Path], tiny: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("configs", "checkpoints"):
        (tmp_path / name).symlink_to(ROOT / name)
    monkeypatch.chdir(tmp_path)
    commands = commands_of_readme()
    assert {words[0] for words in commands} >= {"run", "score", "diagnose", "outcomes", "train", "compare"}
    for words in commands:
        assert cli.main(toy(words, table, router, subset_grids, tiny)) == 0, words


def test_the_ablation_and_the_query_of_the_docs(table: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import duckdb

    page = (ROOT / "docs/comparison.md").read_text(encoding="utf-8")
    config, query = (re.findall(rf"```{kind}\n(.*?)```", page, re.S)[0] for kind in ("yaml", "sql"))
    (tmp_path / "mine.yaml").write_text(config, encoding="utf-8")
    monkeypatch.chdir(tmp_path)
    words = ["compare", "--config", "mine.yaml", "--out", "out", *TOY, "trials=1", f"outcomes={table}"]
    assert cli.main(words) == 0
    arms = json.loads(Path("out/comparison.json").read_text(encoding="utf-8"))["arms"]
    monkeypatch.chdir(tmp_path / "out")
    relation = duckdb.sql(query)
    assert relation is not None
    found = {arm: (success, tokens) for arm, success, tokens in relation.fetchall()}
    wanted = {a["arm"]: (a["measures"]["success"]["value"], a["measures"]["tokens"]["value"]) for a in arms}
    assert set(found) == set(wanted) == {"none", "best_fixed"}
    assert all(found[arm] == pytest.approx(wanted[arm]) for arm in wanted)


def test_every_ablation_is_in_the_docs_and_differs_where_it_says() -> None:
    page = (ROOT / "docs/comparison.md").read_text(encoding="utf-8")
    listed = set(re.findall(r"`ablations/([a-z-]+)\.yaml`", page))
    here = {path for path in (ROOT / "configs/compare/ablations").glob("*.yaml") if path.stem != "base"}
    assert listed == {path.stem for path in here} and len(here) == 13
    for path in here:
        tree = merged(files_of(command_of(path.relative_to(ROOT).as_posix())))
        assert tree["trials"] >= 4 and tree["arms"][0] == {"name": "none"}, path.name


def leaves(tree: dict[str, Any], above: tuple[str, ...] = ()) -> dict[tuple[str, ...], Any]:
    found: dict[tuple[str, ...], Any] = {}
    for key, value in tree.items():
        found |= leaves(value, (*above, key)) if isinstance(value, dict) else {(*above, key): value}
    return found


def test_a_config_with_a_base_keeps_only_what_it_changes() -> None:
    layered = {config: files_of(command_of(config)) for config in CONFIGS}
    layered = {config: files for config, files in layered.items() if len(files) > 1}
    assert len(layered) >= 19
    for config, (*bases, _) in layered.items():
        before, own = leaves(merged(bases)), leaves(merged([config]))
        assert not [".".join(key) for key in own if key in before and before[key] == own[key]], config


def test_make_targets_of_the_readme_exist() -> None:
    makefile = (ROOT / "Makefile").read_text(encoding="utf-8")
    for target in re.findall(r"^make (\S+)", (ROOT / "README.md").read_text(encoding="utf-8"), re.M):
        assert re.search(rf"^{target}:", makefile, re.M), target
