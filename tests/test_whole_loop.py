"""The whole loop through the command line, with a scripted backbone whose one flaw is known."""

import asyncio
import json
import os
import signal
from collections.abc import Iterator
from pathlib import Path

import pytest

from fama import cli
from fama.envs.helpdesk.benchmark import Helpdesk
from fama.envs.helpdesk.gold import gold_actions, play
from fama.episodes.outcome_table import read_outcomes
from fama.episodes.store import read_episodes, read_failures
from fama.models.base import ChatReply, ChatRequest
from fama.models.scripted import SCRIPTED, ScriptedModel
from fama.randomness import derive_seed
from tests.support.scripted_backbone import quitter

TRAIN, TEST = 24, 12
COMMON = ("model.name=scripted:quitter", "domain=shop")


@pytest.fixture(autouse=True)
def backbone() -> Iterator[None]:
    SCRIPTED.add("quitter", quitter("scripted:quitter", "shop", {"train": TRAIN, "test": TEST}))
    yield
    SCRIPTED.remove("quitter")


def busy_tasks(split: str, count: int) -> set[str]:
    """The tasks whose reference conversation meets a busy tool: exactly those that the backbone fails alone."""
    found = set()
    for task_id in Helpdesk().task_ids("shop", split)[:count]:
        seed = derive_seed(0, "environment", "helpdesk", "shop", task_id, 0)
        played = asyncio.run(play(Helpdesk().environment("shop", task_id), gold_actions("shop", task_id), seed))
        assert played.reward.success
        if any('"busy' in (message.content or "") for message in played.messages if message.role == "tool"):
            found.add(task_id)
    return found


def fama(*arguments: str) -> None:
    assert cli.main(arguments) == 0


class Terminated(ScriptedModel):
    """Says hello for ever; at its 50th call the process gets SIGTERM."""

    def __init__(self) -> None:
        super().__init__("scripted:terminated", lambda _: 'respond", "arguments": {"text": "Hello."}}')
        self._calls = 0

    async def complete(self, request: ChatRequest) -> ChatReply:
        self._calls += 1
        if self._calls == 50:
            os.kill(os.getpid(), signal.SIGTERM)
        await asyncio.sleep(0)  # a real model's answer is waited for, too
        return await super().complete(request)


@pytest.fixture
def terminated() -> Iterator[str]:
    SCRIPTED.add("terminated", Terminated())
    handler = signal.getsignal(signal.SIGTERM)
    yield "scripted:terminated"
    signal.signal(signal.SIGTERM, handler)
    SCRIPTED.remove("terminated")


def test_a_terminated_outcomes_run_keeps_its_table_and_goes_on(
    tmp_path: Path, terminated: str, capsys: pytest.CaptureFixture[str]
) -> None:
    settings = (f"model.name={terminated}", "domain=shop", "split=train", "tasks=12", "per_task=2")
    command = ("outcomes", *settings, "subsets=[[], [TSA]]", "--out", str(tmp_path))
    assert cli.main(command) == 1
    assert "interrupted" in capsys.readouterr().err
    kept = read_outcomes(tmp_path / "outcomes.parquet")
    assert 0 < len(kept) < 24
    assert cli.main(command) == 0
    rows = read_outcomes(tmp_path / "outcomes.parquet")
    assert len(rows) == 24
    assert {row.episode_id for row in kept} < {row.episode_id for row in rows}


def test_run_diagnose_outcomes_train_compare_report(tmp_path: Path) -> None:
    hard = busy_tasks("train", TRAIN)
    assert 0 < len(hard) < TRAIN

    fama("run", *COMMON, "split=train", f"tasks={TRAIN}", "--out", str(tmp_path / "run"))
    episodes = {episode.task_id: episode for episode in read_episodes(tmp_path / "run")}
    assert {task for task, episode in episodes.items() if episode.outcome.status == "failure"} == hard
    assert len(episodes) == TRAIN

    fama("diagnose", str(tmp_path / "run"), "--out", str(tmp_path / "failures"))
    failures = read_failures(tmp_path / "failures" / "failures.jsonl")
    assert {failure.task_id for failure in failures} == hard
    assert all("IFU" in failure.primary and failure.blame == "agent" for failure in failures)
    for failure in failures:
        assert failure.step is not None
        around = episodes[failure.task_id].messages[failure.step - 1 : failure.step + 2]
        assert any("busy" in (message.content or "") for message in around)  # the busy call, or giving up after it

    table = tmp_path / "outcomes" / "outcomes.parquet"
    subsets = "subsets=[[], [TSA], [Verifier]]"
    fama("outcomes", *COMMON, "split=train", f"tasks={TRAIN}", "per_task=3", subsets, "--out", str(table.parent))
    rows = read_outcomes(table)
    assert len(rows) == 3 * TRAIN
    assert all(row.propensity == 1.0 for row in rows)  # all three of three are drawn
    assert sum(bool(row.success) for row in rows) == 3 * TRAIN - 2 * len(hard)

    router = tmp_path / "router"
    config = Path(__file__).resolve().parents[1] / "configs/train/linear.yaml"
    fama("train", "--config", str(config), f"data.outcomes=[{table}]", "--out", str(router))

    arms = json.dumps(
        [
            {"name": "none"},
            {"name": "fixed", "label": "tsa", "options": {"subset": ["TSA"]}},
            {"name": "best_fixed"},
            {"name": "linear", "options": {"checkpoint": str(router)}},
        ]
    )
    out = tmp_path / "comparison"
    compare = ("compare", *COMMON, "split=test", f"tasks={TEST}", f"arms={arms}", f"outcomes={table}")
    fama(*compare, "--out", str(out))
    alone = TEST - len(busy_tasks("test", TEST))
    solved: dict[str, int] = {}
    for episode in read_episodes(out):
        solved[str(episode.selector)] = solved.get(str(episode.selector), 0) + (episode.outcome.status == "success")
    assert solved == {"none": alone, "tsa": alone, "best_fixed": TEST, "linear": TEST}
    subsets_of_linear = {e.decisions[0].subset for e in read_episodes(out) if e.selector == "linear"}
    assert subsets_of_linear == {("Verifier",)}

    comparison = json.loads((out / "comparison.json").read_text(encoding="utf-8"))
    before = (out / "episodes.jsonl").read_bytes()
    fama(*compare, "--out", str(out))  # everything is there: nothing is run again
    assert (out / "episodes.jsonl").read_bytes() == before
    assert json.loads((out / "comparison.json").read_text(encoding="utf-8"))["arms"] == comparison["arms"]

    fama("report", str(out))
    page = (out / "report.html").read_text(encoding="utf-8")
    assert "scripted:quitter" in page
    assert "http://" not in page.replace("http://www.w3.org", "") and "https://" not in page
    assert (out / "report.md").is_file() and list((out / "figures").iterdir()) and list((out / "tables").iterdir())
