"""Provenance of a comparison's episodes: second attempts, commits, clock stops, tasks that are known to be wrong."""

import json
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from eval.metrics.formats import percent
from eval.report.tables import comparison_tables
from fama.agents.runs.run_config import CONFIG
from fama.cli import main
from fama.envs.exclusions import known_wrong
from fama.episodes.records import Episode, Outcome
from fama.episodes.store import EpisodeStore, read_episodes
from fama.errors import BadInput
from tests.support.comparisons import comparison, live, table
from tests.support.eval_builders import build
from tests.support.toy_world import ToyHelper, toy_world


@pytest.fixture(autouse=True)
def world() -> Iterator[None]:
    with toy_world():
        yield


async def test_second_attempts_and_commits_are_counted(tmp_path: Path) -> None:
    first = await live(tmp_path)
    assert [arm.second_attempts for arm in first.arms] == [0, 0, 0]
    stored = list(read_episodes(tmp_path))
    assert {episode.attempt for episode in stored} == {1}
    failed = [
        episode.model_copy(update={"outcome": Outcome(status="error", boundary="model", reason="gone")})
        if episode.selector == "none" and episode.task_id in ("t10", "t11")
        else episode
        for episode in stored
    ]
    EpisodeStore(tmp_path).rewrite(failed)
    again = await live(tmp_path)
    assert [arm.second_attempts for arm in again.arms] == [2, 0, 0]
    assert "Episodes that were run again after an error: none 2 of 4 (50 %)." in again.warnings
    assert again.commits == {again.commit or "not recorded": 12}
    elsewhere = [e.model_copy(update={"commit": "abc"}) if e.selector == "all" else e for e in read_episodes(tmp_path)]
    EpisodeStore(tmp_path).rewrite(elsewhere)
    mixed = await live(tmp_path)
    assert mixed.commits["abc"] == 4
    assert any(line.startswith("Episodes ran at 2 commits: 8 at ") for line in mixed.warnings)


async def test_a_later_arm_may_bring_prompts_and_take_them_away_but_not_change_them(tmp_path: Path) -> None:
    none = {"name": "none"}
    asks = {"name": "prompted", "options": {"form": "on_prefix"}}
    await live(tmp_path, arms=[none])
    await live(tmp_path, arms=[none, asks])
    await live(tmp_path, arms=[none])
    path = tmp_path / CONFIG
    config = json.loads(path.read_text())
    (question,) = (name for name in config["prompts"] if name.startswith("questions/selection"))
    config["prompts"][question] = "another"
    path.write_text(json.dumps(config))
    with pytest.raises(BadInput, match=f'prompts.{question} was "another" and is now'):
        await live(tmp_path, arms=[none, asks])


def test_what_older_records_do_not_say_is_unknown() -> None:
    found = comparison({"none": [build("a", "none")], "all": [build("a", "all")]})
    assert [arm.second_attempts for arm in found.arms] == [None, None]
    assert found.commits == {"not recorded": 2}


def test_the_clock_is_a_limit_by_choice_and_its_episodes_are_counted() -> None:
    late = build("a", "all", "failure")
    late = late.model_copy(update={"outcome": Outcome(status="failure", reason="wall_time")})
    found = comparison({"none": [build("a", "none"), build("b", "none")], "all": [late, build("b", "all")]})
    assert [arm.out_of_time for arm in found.arms] == [0, 1]
    assert found.arm("all").measures.errors == {} and found.arm("all").measures.failures == 1
    (line,) = [line for line in found.warnings if "limits.seconds" in line]
    assert "(900 s), a limit by choice and no error" in line and line.count("all 1 of 2 (50 %)") == 1


def test_results_without_tasks_that_are_known_to_be_wrong(monkeypatch: pytest.MonkeyPatch) -> None:
    """Two of four tasks are wrong; without them none solves 0 of 2 and all 2 of 2."""
    monkeypatch.setattr("eval.compare.results.known_wrong", lambda *_: dict.fromkeys("abz", "wrong"))
    arms: dict[str, list[Episode]] = {
        "none": [build(t, "none", "success" if t in "ab" else "failure") for t in "abcd"],
        "all": [build(t, "all", "success" if t in "cd" else "failure") for t in "abcd"],
    }
    found = comparison(arms)
    assert found.wrong_tasks == ("a", "b")
    whole, right = found.arm("all"), found.arm("all").corrected
    assert whole.measures.success.value == 0.5 and whole.versus_none is not None and right is not None
    assert whole.versus_none.estimate.value == 0.0
    assert (right.tasks, right.success.value) == (2, 1.0)
    assert right.versus_none is not None and right.versus_none.estimate.value == 1.0
    (shown,) = [table for table in comparison_tables(found) if table.name == "corrected"]
    assert [row[2].text for row in shown.rows] == [
        percent(arm.corrected.success) for arm in found.arms if arm.corrected
    ]
    monkeypatch.undo()
    assert known_wrong("toy", "d") == {} and comparison(arms).arm("all").corrected is None


async def test_a_task_that_is_named_twice_is_refused(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(BadInput, match="task 't11' is named 2 times"):
        await live(tmp_path / "out", tasks=("t10", "t11", "t11"))
    assert not (tmp_path / "out").exists()
    path = await table(tmp_path / "table")
    with pytest.raises(BadInput, match="task 't11' is named 2 times"):
        await live(tmp_path / "replayed", tasks=("t11", "t11"), replay=str(path))
    words = ["run", "benchmark=toy", "domain=d", "split=test", "tasks=[t10,t10]", "model.name=scripted:toy"]
    assert main([*words, "demonstrations=0", "helpers.pool=[Alpha]", "--out", str(tmp_path / "run")]) == 2
    assert capsys.readouterr().err.count("\n") == 1


@pytest.mark.parametrize("limit", [{"run": 45}, {"run": 1_000_000}])
async def test_a_budget_that_ended_before_the_run_is_told(tmp_path: Path, limit: dict[str, int]) -> None:
    """Later episodes of the arms ran with fewer helpers than these chose; the means do not show it."""
    found = await live(tmp_path, budget=limit)
    told = [line for line in found.warnings if "the budget left chosen helpers out" in line]
    cut = Counter(e.selector for e in read_episodes(tmp_path) for d in e.decisions if d.dropped)
    if limit["run"] > 45:
        assert not told and not cut
        return
    (line,) = told
    assert cut["all"] > 0 and f"all {cut['all']} of " in line and "none" not in line
    assert line.endswith("That of the run is shared by the arms and ends for what comes last.")


async def test_a_replayed_budget_says_what_it_cut_and_what_it_cannot_hold(tmp_path: Path) -> None:
    path = str(await table(tmp_path / "table"))
    found = await live(tmp_path / "decision", replay=path, budget={"decision": 25})
    (line,) = [line for line in found.warnings if "the budget left chosen helpers out" in line]
    assert line.endswith("left chosen helpers out: all 4 of 4 (100 %).") and found.arm("all").subsets == {"Alpha": 4}
    assert not [line for line in found.warnings if "a replay drops helpers" in line]
    found = await live(tmp_path / "episode", replay=path, budget={"episode": 1000})
    (line,) = [line for line in found.warnings if "a replay drops helpers" in line]
    assert line.startswith("budget.episode: ") and found.arm("all").subsets == {"Alpha+Beta": 4}


async def test_a_replay_counts_the_agents_request_that_helpers_send_along(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A helper at the end of the agent's request costs that request, too: a live run has no room for it."""
    path = str(await table(tmp_path / "table"))
    monkeypatch.setattr(ToyHelper, "on_prefix", True, raising=False)
    tight: dict[str, Any] = {"budget": {"decision": 60}}
    ran = await live(tmp_path / "live", **tight)
    replayed = await live(tmp_path / "replayed", replay=path, **tight)
    assert [arm.subsets for arm in replayed.arms] == [arm.subsets for arm in ran.arms] == [{"none": 4}] * 3


async def test_what_a_table_does_not_say_is_unknown_in_a_replay(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """Seconds and number of notes, the user's tokens, what helpers found in a cache: all were 0."""
    asked = [{"arm": "alpha", "than": "all", "tokens": 0.7}]
    found = await live(tmp_path / "replayed", replay=str(await table(tmp_path / "table")), questions=asked)
    plain, helped = found.arm("none").measures, found.arm("all").measures
    assert (plain.notes, plain.rejected_notes, plain.decision_seconds.value) == (0, 0, 0)
    assert (helped.notes, helped.rejected_notes, helped.decision_seconds.value) == (None, None, None)
    assert helped.tokens_by_role == {"agent": 207.25, "helper": 80, "selector": 0, "user": None, "judge": None}
    share = found.answers[0].token_share
    assert share is not None and (share.value, share.n) == (None, 4) and found.answers[0].tokens_shown is None
    assert "questions: tokens: a table does not say what helpers took of a cache; run it live" in caplog.text


def test_run_and_score_tell_what_a_budget_left_out(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Four of six episodes of "all" ran without a helper: its rate is not that of all helpers."""
    words = ["run", "benchmark=toy", "domain=d", "split=test", "tasks=6", "model.name=scripted:toy", "demonstrations=0"]
    words += ["helpers.pool=[Alpha,Beta]", "selector.name=all"]
    line = "all: the budget left chosen helpers out at 4 decisions"
    assert main([*words, "budget.run=150", "--out", str(tmp_path / "cut")]) == 0
    assert line in " ".join(capsys.readouterr().out.split())
    assert main([*words, "--out", str(tmp_path / "whole")]) == 0
    for folder in ("cut", "whole"):
        assert main(["score", str(tmp_path / folder)]) == 0
    shown = " ".join(capsys.readouterr().out.split())
    assert shown.count("the budget left chosen helpers out") == 1 and line in shown
    told = json.loads((tmp_path / "cut" / "summary.json").read_text(encoding="utf-8"))
    assert told["arms"]["all"]["cut"] == told["overall"]["cut"] == 4
