"""The health of a selector in a run, and prompted selection asked before every decision."""

import json
from pathlib import Path
from typing import Any

import pytest

from fama.agents.runs.plan import Planned
from fama.agents.runs.runner import run_planned
from fama.agents.runs.summary import RunSummary
from fama.cli import main
from fama.episodes.records import Episode
from fama.episodes.store import read_episodes
from fama.models.base import ChatRequest
from fama.models.scripted import SCRIPTED
from fama.selection.health import SelectorHealth
from fama.settings import RunSettings
from tests.support.toy_agents import GOLD, Recorder

pytestmark = pytest.mark.usefixtures("lamps")
PROSE = "I believe that the agent needs careful help."


def model(*answers: str) -> Recorder:
    """Solves every task; as a selector it gives these answers in turn, and the last one for ever."""
    asked: list[ChatRequest] = []

    def reply(request: ChatRequest, number: int) -> str:
        if request.role == "selector":
            asked.append(request)
            return f"{request.prefill} {answers[min(len(asked), len(answers)) - 1]}".strip()
        text = json.dumps([m["content"] for m in request.messages[-3:]])
        return GOLD[2] if "Tool result: ok" in text else GOLD[1] if "L1" in text else GOLD[0]

    return Recorder(reply, "toy")


def settings(form: str, cadence: str = "turn", **more: Any) -> RunSettings:
    options = {"form": form, **more.pop("options", {})}
    tree: dict[str, Any] = {
        **{
            "benchmark": "lamps",
            "domain": "house",
            "tasks": 2,
            "cadence": cadence,
            "helpers": {"pool": ["DCE", "TSA"]},
        },
        **{"selector": {"name": "prompted", "options": options}, **more},
    }
    return RunSettings.model_validate(tree)


async def run(out: Path, wanted: RunSettings, recorder: Recorder, tasks: int = 2) -> tuple[RunSummary, list[Episode]]:
    plan = [Planned(f"t{task}", 0, wanted.selector) for task in range(tasks)]
    return await run_planned(wanted, plan, out, model=recorder, progress=False), list(read_episodes(out))


@pytest.mark.parametrize("form", ["one_call", "on_prefix"])
async def test_one_call_before_every_decision(tmp_path: Path, form: str) -> None:
    """Three decisions per task, three different choices in turn, one call each, logged at its decision."""
    answers = ['{"helpers": ["TSA"]}', '{"helpers": []}', '{"helpers": ["DCE", "TSA"]}']
    if form == "on_prefix":
        answers = ["TSA", "none", "TSA, DCE"]
    recorder = model(*answers, answers[0])
    summary, (first, second) = await run(tmp_path, settings(form), recorder)
    assert [d.subset for d in first.decisions] == [("TSA",), (), ("DCE", "TSA")]
    assert [d.subset for d in second.decisions] == [("TSA",)] * 3
    for episode in (first, second):
        assert [d.selection for d in episode.decisions] == ["chosen"] * 3
        calls = [row for row in episode.ledger if row.role == "selector"]
        assert [(row.turn, row.parsed, row.truncated) for row in calls] == [(t, True, False) for t in range(3)]
    health = summary.arms["prompted"].health
    assert health == SelectorHealth(selections=6, subsets=3) and summary.overall.health == health
    if form == "on_prefix":  # the question stands behind the agent's own request of the same decision
        agent = [r for r in recorder.requests if r.role == "agent"]
        asked = [r for r in recorder.requests if r.role == "selector"]
        assert len(agent) == len(asked) == 6
        assert all(a.messages == q.messages[:-1] and a.tools == q.tools for a, q in zip(agent, asked, strict=True))


async def test_a_repair_stays_on_the_prefix(tmp_path: Path) -> None:
    recorder = model(PROSE, "TSA")
    summary, (episode,) = await run(tmp_path, settings("on_prefix"), recorder, tasks=1)
    first, again = [r for r in recorder.requests if r.role == "selector"][:2]
    assert again.messages[: len(first.messages)] == first.messages and again.prefill == first.prefill
    assert [m["role"] for m in again.messages[len(first.messages) :]] == ["assistant", "user"]
    assert episode.decisions[0].subset == ("TSA",)
    assert summary.arms["prompted"].health == SelectorHealth(selections=3, repaired=1, subsets=1, only_subset="TSA")


async def test_an_unparsed_selection_is_no_choice_of_nobody(tmp_path: Path) -> None:
    """Once per episode, asked again once: two episodes, two selections, four calls, none readable."""
    recorder = model(PROSE)
    summary, found = await run(tmp_path, settings("one_call", "episode"), recorder)
    for episode in found:
        assert [d.selection for d in episode.decisions] == ["unparsed", "by_cadence", "by_cadence"]
        assert all(d.subset == () for d in episode.decisions)
    health = summary.arms["prompted"].health
    assert health == SelectorHealth(selections=2, unparsed=2, fell_back=2, repaired=2)
    assert health.broken and sum(r.role == "selector" for r in recorder.requests) == 4
    written = json.loads((tmp_path / "summary.json").read_text(encoding="utf-8"))
    assert written["arms"]["prompted"]["health"]["unparsed"] == 2


@pytest.mark.parametrize("form", ["one_call", "on_prefix"])
async def test_calls_and_repairs_keep_within_an_episodes_budget(tmp_path: Path, form: str) -> None:
    for limit in (200, 600, 1000, 1500, 2500):
        out = tmp_path / str(limit)
        summary, (episode,) = await run(out, settings(form, budget={"episode": limit}), model(PROSE), tasks=1)
        health = summary.arms["prompted"].health
        assert health is not None and health.selections + health.unaffordable == 3
        assert sum(row.budget_tokens for row in episode.ledger if row.role == "selector") <= limit
    assert health is not None and health.selections > 0 and not episode.decisions[0].subset


async def test_a_budget_without_room_is_said(tmp_path: Path) -> None:
    recorder = model("TSA")
    summary, (episode,) = await run(tmp_path, settings("on_prefix", budget={"decision": 100}), recorder, tasks=1)
    assert [(d.selection, d.propensity) for d in episode.decisions] == [("unaffordable", None)] * 3
    health = summary.arms["prompted"].health
    assert health == SelectorHealth(unaffordable=3) and health.broken
    assert not any(r.role == "selector" for r in recorder.requests)


def test_the_run_prints_what_was_unparsed(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    SCRIPTED.add("prose", model(PROSE))
    try:
        words = ["run", "benchmark=lamps", "domain=house", "split=dev", "tasks=2", "model.name=scripted:prose"]
        arm = 'selector={"name": "prompted", "options": {"form": "one_call", "repairs": 2}}'
        assert main([*words, "helpers.pool=[DCE, TSA]", arm, "--out", str(tmp_path / "run")]) == 0
    finally:
        SCRIPTED.remove("prose")
    told = capsys.readouterr().out
    assert "prompted: 2 of 2 (100 %) selections unparsed, 2 of these ran without helpers." in told
    assert "prompted: broken selector" in told
    rows = [line.split("  ", 1) for line in told.splitlines() if "  " in line]
    cells = {row[0]: row[1].strip() for row in rows}
    assert cells["of these asked again"] == cells["left without helpers"] == "2 of 2 (100 %)"
    assert cells["of these truncated"] == "0 of 2 (0 %)" and cells["subsets chosen"] == "0 in 0 selections"
