"""The examples of CONTRIBUTING.md run as they stand there."""

import json
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from fama import cli
from fama.envs.base import BENCHMARKS
from fama.episodes.importers.base import IMPORTERS
from fama.episodes.state import VisibleState
from fama.episodes.store import read_episodes
from fama.helpers.base import HELPERS, HelperContext
from fama.helpers.pool import build_pool
from fama.selection.base import SELECTORS, SelectorContext
from fama.settings import HelperSettings
from tests.support.asking import choose

TEXT = (Path(__file__).resolve().parents[1] / "CONTRIBUTING.md").read_text(encoding="utf-8")
STATE = VisibleState(policy="", tools=(), messages=())


def block(language: str, name: str) -> str:
    found = re.findall(rf"```{language} {name}\n(.*?)```", TEXT, re.S)
    assert len(found) == 1
    assert isinstance(found[0], str)
    return found[0]


def run(name: str) -> None:
    exec(compile(block("python", name), f"CONTRIBUTING.md:{name}", "exec"), {"__name__": name})  # noqa: S102


@pytest.fixture(autouse=True)
def forget() -> Iterator[None]:
    yield
    for registry, name in (
        (HELPERS, "Politeness"),
        (SELECTORS, "long_talk"),
        (IMPORTERS, "pairs"),
        (BENCHMARKS, "echo"),
    ):
        registry.remove(name)


async def test_helper() -> None:
    run("helper")
    pool = build_pool(HelperSettings(pool=("DCE", "Politeness")))
    assert (await pool["Politeness"].note(STATE, HelperContext())).text == "Greet the customer."


def test_yaml_helper(tmp_path: Path) -> None:
    file = tmp_path / "tone.yaml"
    file.write_text(block("yaml", "helper"), encoding="utf-8")
    pool = build_pool(HelperSettings(pool=(str(file),), forms={str(file): "llm"}))
    assert pool["Tone"].covers == {"CM"}
    assert pool["Tone"].token_cap == 24


async def test_selector() -> None:
    run("selector")
    context = SelectorContext(helpers=build_pool(HelperSettings(pool=("TSA", "Memory"))))
    selection = await choose(SELECTORS.load("long_talk")(context), STATE)
    assert selection.subset == ()
    assert selection.probabilities == {"TSA": 0.0, "Memory": 0.0}


def test_importer(tmp_path: Path) -> None:
    run("importer")
    file = tmp_path / "pairs.jsonl"
    file.write_text("\n".join(json.dumps(row) for row in (["2+2?", "4", True], ["3+3?", "7", False])), encoding="utf-8")
    assert cli.main(["import", "pairs", str(file), "--out", str(tmp_path / "out")]) == 0
    episodes = list(read_episodes(tmp_path / "out"))
    assert [e.outcome.status for e in episodes] == ["success", "failure"]


def test_environment(tmp_path: Path) -> None:
    run("environment")
    arguments = ["benchmark=echo", "domain=words", "split=test", "tasks=2", "model.name=scripted:echo"]
    assert cli.main(["run", "--out", str(tmp_path / "out"), *arguments]) == 0
    episodes = list(read_episodes(tmp_path / "out"))
    assert [e.task_id for e in episodes] == ["apple", "pear"]
    assert all(e.outcome.reason for e in episodes)
