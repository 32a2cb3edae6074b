"""Replies of recorded episodes in a response cache: an arm that was run before asks its model nothing."""

import asyncio
import json
import re
from dataclasses import replace
from pathlib import Path
from typing import Any
from unittest.mock import Mock

import pytest

from fama.agents.recorded_calls import CUT, OTHER_BENCHMARK, OTHER_PROMPT, OTHER_RUN, UNREADABLE, RecordedReplies
from fama.agents.runs.plan import Planned, load_benchmark
from fama.agents.runs.run_config import read_run_settings
from fama.agents.runs.runner import run_planned
from fama.cli import main
from fama.episodes.records import Episode, FunctionCall, ToolCall
from fama.episodes.store import EpisodeStore, read_episodes
from fama.models.base import ChatReply, ChatRequest
from fama.models.cache import CachedChat, ReplyCache
from fama.models.scripted import scripted_usage
from fama.settings import RunSettings, SelectorSettings
from tests.support.toy_agents import GOLD, Recorder

pytestmark = pytest.mark.usefixtures("lamps")

MIXED = Path(__file__).resolve().parents[2] / "results/helpdesk/mixed"


def settings(**values: Any) -> RunSettings:
    tree: dict[str, Any] = {"benchmark": "lamps", "domain": "house", "tasks": 3, "helpers": {"pool": []}, **values}
    return RunSettings.model_validate(tree)


def plan(tasks: int = 3, trials: int = 1) -> list[Planned]:
    return [Planned(f"t{task}", trial, SelectorSettings()) for trial in range(trials) for task in range(tasks)]


def silent(name: str) -> Recorder:
    """A model that nobody may ask."""
    return Recorder(lambda request, number: AssertionError(f"asked {request.messages[-1]}"), name)


def speaking(strategy: str) -> Recorder:
    """The toy's gold replies in a strategy's form, the last one again and again."""

    def reply(request: ChatRequest, number: int) -> str | ChatReply:
        seen = sum(message["role"] != "assistant" for message in request.messages) - (5 if strategy == "fc" else 4)
        action = GOLD[min(seen, 2)]
        if strategy == "fc":
            made = json.loads(action)
            call = FunctionCall(name=made["tool"], arguments=json.dumps(made["arguments"]))
            usage = scripted_usage("gold", request, action)
            return ChatReply("I look.", usage, (ToolCall(id="x9", function=call),), "tool_calls")
        return f"Thought: step {seen}.\nAction: {action}" if strategy == "react" else action

    return Recorder(reply, "gold")


def told(episode: Episode) -> tuple[Any, ...]:
    usage = [(row.role, row.input_tokens, row.output_tokens, row.turn) for row in episode.ledger]
    return episode.messages, usage, episode.reward


@pytest.mark.parametrize("strategy", ["act", "react", "fc"])
async def test_an_arm_that_was_run_asks_nothing_again(
    strategy: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    wanted = settings(strategy=strategy, trials=2)
    await run_planned(wanted, plan(3, 2), tmp_path / "first", model=speaking(strategy))
    first = list(read_episodes(tmp_path / "first"))
    assert all(episode.reward == 1 for episode in first)
    benchmark = load_benchmark(wanted)
    monkeypatch.setattr(benchmark, "demonstrations", shown := Mock(wraps=benchmark.demonstrations))
    replies = RecordedReplies(wanted, benchmark)
    kept = replies.keep(first, tmp_path / "cache")
    assert (kept.new, kept.there, dict(kept.left_out)) == (18, 0, {})
    shown.assert_called_once_with("house")
    again = replies.keep(first, tmp_path / "cache")
    assert (again.new, again.there, again.other) == (0, 18, 0)
    await run_planned(wanted, plan(3, 2), tmp_path / "second", model=CachedChat(silent("gold"), tmp_path / "cache"))
    second = list(read_episodes(tmp_path / "second"))
    assert [told(one) for one in first] == [told(one) for one in second]
    assert all(row.cache_hit for one in second for row in one.ledger if row.role == "agent")


async def test_a_reply_that_is_there_stays(tmp_path: Path) -> None:
    await run_planned(settings(), plan(1), tmp_path / "run", model=speaking("act"))
    replies = RecordedReplies(settings(), load_benchmark(settings()))
    (episode,) = read_episodes(tmp_path / "run")
    found = replies.rebuild(episode, episode.decisions[0])
    assert not isinstance(found, str)
    cache = ReplyCache(tmp_path / "cache", "gold")
    cache.keep(found.request, replace(found.reply, text="mine"))
    assert replies.keep([episode], tmp_path / "cache") == (2, 1, 1, {})
    kept = cache.get(found.request)
    assert kept is not None and kept.text == "mine"


async def test_what_cannot_be_rebuilt_is_left_out_with_its_reason(tmp_path: Path) -> None:
    long = f'{{"tool": "respond", "arguments": {{"text": "{"a" * 1200}"}}}}'
    lines = [long, "no json", GOLD[0], GOLD[1], GOLD[2]]
    wanted = settings(limits={"message_chars": 1000})
    await run_planned(wanted, plan(1), tmp_path, model=Recorder(lambda _, number: lines[number], "gold"))
    replies = RecordedReplies(wanted, load_benchmark(wanted))
    (episode,) = read_episodes(tmp_path)
    kept = replies.keep([episode], tmp_path / "cache")
    assert (kept.new, dict(kept.left_out)) == (2, {CUT: 1, UNREADABLE: 1})
    changes: dict[str, dict[str, Any]] = {
        OTHER_RUN: {"config_hash": "0" * 16},
        OTHER_BENCHMARK: {"benchmark_version": "2"},
        OTHER_PROMPT: {"prompt_hashes": {"agents/act.v1": "0" * 16}},
    }
    for reason, change in changes.items():
        other = episode.model_copy(update=change)
        assert replies.keep([other], tmp_path / "cache") == (0, 0, 0, {reason: 4})
    imported = episode.model_copy(update={"seeds": {}, "config_hash": None})
    assert replies.keep([imported], tmp_path / "cache") == (0, 0, 0, {OTHER_RUN: 4})


async def test_another_placement_is_another_call(tmp_path: Path) -> None:
    """The settings of the run itself decide, never those of the run to come."""
    await run_planned(settings(placement="user"), plan(1), tmp_path / "run", model=speaking("act"))
    assert read_run_settings(tmp_path / "run").placement == "user"
    assert main(["cache", str(tmp_path / "run"), "--out", str(tmp_path / "cache")]) == 0
    default = RecordedReplies(settings(), load_benchmark(settings()))
    assert default.keep(read_episodes(tmp_path / "run"), tmp_path / "other") == (0, 0, 0, {OTHER_RUN: 3})


@pytest.mark.parametrize(
    ("files", "told"),
    [
        ({}, "no folder with a config.json; give one of `fama run` or `fama compare`"),
        ({"config.json": "{"}, "config.json: not the settings of a run of this version"),
        ({"config.json": "[]"}, "config.json: not the settings of a run of this version; give a folder of"),
        ({"config.json": '{"settings": {"trials": 0}}'}, "config.json: not the settings of a run of this version"),
        ({"comparison.json": '{"config": 3}'}, "comparison.json: not the settings of a run of this version"),
        ({"config.json": '{"settings": {"benchmark": "lamps", "domain": "house"}}'}, "episodes.jsonl"),
    ],
)
def test_what_holds_no_run_is_refused(
    files: dict[str, str], told: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    run = tmp_path / "run"
    run.mkdir()
    for name, text in files.items():
        (run / name).write_text(text)
    assert main(["cache", str(run), "--out", str(tmp_path / "cache")]) == 2
    said = capsys.readouterr().err
    assert told in said and said.count("\n") == 1
    assert not (tmp_path / "cache").exists()


def test_a_file_is_no_run(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["cache", str(MIXED / "episodes.jsonl.gz"), "--out", str(tmp_path / "cache")]) == 2
    assert "episodes.jsonl.gz: no folder with a config.json; give one of" in capsys.readouterr().err


def test_the_command_says_what_it_kept_and_refuses_what_has_nothing(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    wanted = settings()
    asyncio.run(run_planned(wanted, plan(2), tmp_path / "run", model=speaking("act")))
    command = ["cache", str(tmp_path / "run"), "--out", str(tmp_path / "cache")]
    assert main(command) == 0
    assert re.search(r"run +6 +0 +0", capsys.readouterr().out)
    store = EpisodeStore(tmp_path / "run")
    store.rewrite(one.model_copy(update={"benchmark_version": "0"}) for one in list(read_episodes(tmp_path / "run")))
    assert main(command) == 2
    assert f"no reply to keep (6 {OTHER_BENCHMARK})" in capsys.readouterr().err


def test_published_arms_run_again_from_their_own_replies(tmp_path: Path) -> None:
    """Two arms of the published comparison on its first tasks: the same dialogues, rewards and tokens, no model."""
    wanted = read_run_settings(MIXED)
    benchmark = load_benchmark(wanted)
    assert isinstance(wanted.tasks, tuple)
    tasks, arms = wanted.tasks[:4], (SelectorSettings(), SelectorSettings(name="all"))
    published = [one for one in read_episodes(MIXED) if one.task_id in tasks and one.selector in ("none", "all")]
    replies = RecordedReplies(wanted, benchmark)
    assert replies.keep(published, tmp_path / "cache").left_out == {}
    model = CachedChat(silent(wanted.model.name), tmp_path / "cache")
    todo = [Planned(task, 0, arm) for task in tasks for arm in arms]
    asyncio.run(run_planned(wanted, todo, tmp_path / "run", benchmark=benchmark, model=model))
    again = {one.id: one for one in read_episodes(tmp_path / "run")}
    assert len(published) == len(again) == 8
    for one in published:
        assert told(one) == told(again[one.id])
