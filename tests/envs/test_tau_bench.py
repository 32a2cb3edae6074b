"""The τ-bench adapter: against a toy checkout of the same shape, and against real checkouts and logs where they are."""

import json
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from fama.cli import main
from fama.envs import checkouts
from fama.envs.base import BENCHMARKS, Action, UserModel
from fama.envs.checkouts import version_of
from fama.envs.episode_replay import replay
from fama.episodes.importers.base import IMPORTERS
from fama.episodes.keys import TRAITS
from fama.episodes.records import Outcome
from fama.episodes.store import EpisodeStore, read_episodes
from fama.errors import BadInput, EnvironmentFault, UserFault
from tests.support.published_logs import FAILURE_LOGS, needs_logs
from tests.support.scripted_player import Player
from tests.support.tau_toys import TOY, forget


@pytest.fixture
def toy(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A toy checkout of τ-bench, named by ``fama benchmarks add``."""
    folder = tmp_path / "clone"
    for name, text in TOY.items():
        path = folder / "tau_bench" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")
    monkeypatch.delenv("FAMA_TAU_BENCH", raising=False)
    monkeypatch.setenv("FAMA_CONFIG_DIR", str(tmp_path / "config"))
    monkeypatch.setattr(sys, "path", list(sys.path))
    forget()
    assert main(["benchmarks", "add", "tau_bench", str(folder)]) == 0
    yield folder
    forget()


def world(*replies: str, task: str = "1") -> tuple[Any, Player]:
    player = Player(*replies)
    return BENCHMARKS.load("tau_bench")().environment("airline", task, UserModel(player)), player


async def test_an_episode_of_the_toy_checkout(toy: Path, capsys: pytest.CaptureFixture[str]) -> None:
    environment, player = world("I want to cancel.", "Thanks. ###STOP###")
    first = await environment.reset(0)
    assert (first.role, first.content) == ("user", "I want to cancel.")
    prompt = player.requests[0].messages[0]["content"]
    assert prompt == "You are a user. Cancel flight 1." and player.requests[0].role == "user"
    assert environment.policy == "Toy policy" and [tool.name for tool in environment.tools] == ["cancel"]
    assert (await environment.step(Action(tool="fly"))).content == "Unknown action fly"
    assert (await environment.step(Action(tool="cancel", arguments={"id": "1"}))).content == "cancelled"
    assert not environment.outcome().success  # nobody has ended it
    last = await environment.step(Action(tool=None, text="Done."))
    assert last.done and last.reason == "user_stop" and last.ledger[0].input_tokens == 4
    verdict = environment.outcome()
    assert verdict.success and verdict.detail == {"r_actions": 1.0}
    assert verdict.gold_actions is not None and verdict.gold_actions[0].name == "cancel"
    with pytest.raises(EnvironmentFault):
        await environment.step(Action(tool=None, text="Hello?"))
    again = await environment.reset(0)
    assert not again.done and not environment.outcome().success
    assert "noise" not in capsys.readouterr().out


async def test_a_transfer_ends_it_and_a_silent_user_is_its_own_fault(toy: Path) -> None:
    environment, _ = world("Hi.")
    await environment.reset(0)
    ended = await environment.step(Action(tool="transfer_to_human_agents", arguments={}))
    assert ended.done and environment.outcome().reward == 0.0
    environment, _ = world(" ")
    with pytest.raises(UserFault):
        await environment.reset(0)


def test_domains_tasks_and_bad_input(toy: Path) -> None:
    benchmark = BENCHMARKS.load("tau_bench")()
    assert benchmark.version("airline").startswith("tau_bench-") and benchmark.task_ids("airline", "test") == (
        "0",
        "1",
        "2",
    )
    with pytest.raises(BadInput, match="no split 'train'; known: test"):
        benchmark.task_ids("airline", "train")
    with pytest.raises(BadInput, match="no task '9'"):
        benchmark.environment("airline", "9", UserModel(Player("a")))
    with pytest.raises(BadInput, match="set user_model"):
        benchmark.environment("airline", "0")
    with pytest.raises(BadInput, match="no domain 'airline-skeptical'"):
        benchmark.splits("airline-skeptical")


def logged(reward: float, cancelled: str) -> dict[str, Any]:
    """A τ-bench record: one call, one sentence."""
    call = {"id": "c", "type": "function", "function": {"name": "cancel", "arguments": json.dumps({"id": cancelled})}}
    turns = [
        {"role": "system", "content": "# Airline Agent Policy"},
        {"role": "user", "content": "Cancel, please."},
        {"role": "assistant", "content": None, "tool_calls": [call]},
        {"role": "tool", "tool_call_id": "c", "content": "cancelled"},
        {"role": "assistant", "content": "Done."},
        {"role": "user", "content": "###STOP###"},
    ]
    info = {"task": {"actions": []}, "reward_info": {"reward": reward}}
    return {"task_id": 1, "trial": 0, "reward": reward, "traj": turns, "info": info}


def test_the_check_replays_logs_and_names_what_differs(toy: Path, tmp_path: Path, capsys: Any) -> None:
    log = tmp_path / "m_fc_airline.json"
    log.write_text(json.dumps([logged(1.0, "1"), logged(0.0, "2")]), encoding="utf-8")
    assert main(["import", "tau-bench", str(log), "--out", str(tmp_path / "good")]) == 0
    assert main(["benchmarks", "check", "tau_bench", str(tmp_path / "good")]) == 0
    assert "2 of 2 rewards as logged (100.0%)" in capsys.readouterr().out
    log.write_text(json.dumps([logged(1.0, "2")]), encoding="utf-8")
    assert main(["import", "tau-bench", str(log), "--out", str(tmp_path / "bad")]) == 0
    assert main(["benchmarks", "check", "tau_bench", str(tmp_path / "bad")]) == 1
    told = capsys.readouterr()
    assert "task 1, trial 0: logged 1, now 0; ended by done in the log" in told.out + told.err
    assert "0 of 1 rewards as logged" in told.out
    known, unknown = read_episodes(tmp_path / "good")
    rest = [unknown.model_copy(update={"reward": None, "outcome": Outcome(status="failure", reason="stated")})]
    EpisodeStore(tmp_path / "half").rewrite([known, *rest])
    assert main(["benchmarks", "check", "tau_bench", str(tmp_path / "half")]) == 0
    assert "1 of 1 rewards as logged (100.0%); 1 episodes without a reward left out" in capsys.readouterr().out


def test_checkouts_that_are_not_there(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: Any) -> None:
    monkeypatch.setenv("FAMA_CONFIG_DIR", str(tmp_path))
    monkeypatch.delenv("FAMA_TAU_TRAIT", raising=False)
    assert main(["benchmarks", "add", "tau_trait", str(tmp_path)]) == 2
    assert "has no tau_trait/envs/base.py; give the folder of a clone of https" in capsys.readouterr().err
    assert main(["benchmarks", "add", "moon", str(tmp_path)]) == 2
    assert "takes no checkout; those that do: acebench, tau_bench, tau_trait" in capsys.readouterr().err
    assert main(["run", "benchmark=tau_trait", "domain=telecom", "split=test", "--out", str(tmp_path / "out")]) == 2
    assert "fama benchmarks add tau_trait PATH" in capsys.readouterr().err
    assert main(["benchmarks", "check", "tau_trait"]) == 2
    assert main(["benchmarks", "list"]) == 0
    listed = [line.split() for line in capsys.readouterr().out.splitlines()]
    assert ["helpdesk", "helpdesk-2.0", "shop,", "saas"] in listed
    assert any(words[:4] == ["tau_trait", "–", "not", "here;"] for words in listed)


def test_traits_are_asked_for_in_the_prompt() -> None:
    from fama.envs.tau_bench.user import TauUser

    for trait in TRAITS:
        system = TauUser("Be a user.", trait, UserModel(Player("x")), 0)._messages[0]["content"]
        assert system.startswith("Be a user.") and "manner" in system and len(system.splitlines()) >= 3
    assert TauUser("Be a user.", None, UserModel(Player("x")), 0)._messages[0]["content"] == "Be a user."


@needs_logs
@pytest.mark.parametrize(
    ("name", "pattern", "few"),
    [
        ("tau_bench", "tau_bench/gpt-4o_fc_airline_4trials.json.gz", 4),
        ("tau_bench", "tau_bench/qwen3-4b_react_airline_run1.json.gz", 3),
        ("tau_trait", "tau_trait/gpt-5_fc_telehealth_none.json.gz", 3),
    ],
)
async def test_logged_rewards_come_out_again(name: str, pattern: str, few: int) -> None:
    try:
        checkouts.find_checkout(name)
    except BadInput as error:
        pytest.skip(str(error))
    pytest.importorskip("litellm", reason="the checkout imports litellm")
    benchmark = BENCHMARKS.load(name)()
    episodes = [e for e in IMPORTERS.load("tau-bench")(FAILURE_LOGS / pattern) if e.outcome.status != "error"][:few]
    replayed = [await replay(benchmark, episode) for episode in episodes]
    assert [r.reward for r in replayed] == [r.episode.reward for r in replayed]


def test_a_copy_inside_another_repository_does_not_have_its_commit(toy: Path) -> None:
    plain = version_of("tau_bench")
    _git(toy.parent, "init", "-q")
    _git(toy.parent, "commit", "-q", "--allow-empty", "-m", "other")
    assert version_of("tau_bench") == plain
    _git(toy, "init", "-q")
    _git(toy, "add", ".")
    _git(toy, "commit", "-q", "-m", "own")
    own = version_of("tau_bench")
    assert re.fullmatch(r"tau_bench-[0-9a-f]{12}", own)
    (toy / "tau_bench" / "envs" / "base.py").write_text("changed = True\n", encoding="utf-8")
    assert version_of("tau_bench") == f"{own}-dirty"


def _git(folder: Path, *arguments: str) -> None:
    who = ("-c", "user.name=x", "-c", "user.email=x@example.org")
    subprocess.run(["git", "-C", str(folder), *who, *arguments], check=True)
