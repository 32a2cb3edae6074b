from pathlib import Path

import pytest

from fama.agents.runs.plan import load_benchmark, select_tasks
from fama.cli import main
from fama.envs.mixed import MixedDomains
from fama.envs.tau2.benchmark import Tau2
from fama.episodes.store import read_episodes
from fama.errors import BadInput
from fama.settings import ExperimentSettings


def test_tasks_of_several_domains_take_turns_each_in_its_own_world(tmp_path: Path) -> None:
    command = ["run", "benchmark=helpdesk", "domain=shop+saas", "tasks=4", "model.name=scripted:echo"]
    assert main([*command, "--out", str(tmp_path)]) == 0
    episodes = list(read_episodes(tmp_path))
    assert [(e.domain, e.task_id) for e in episodes] == [
        ("shop", "shop-dev-0000"),
        ("saas", "saas-dev-0000"),
        ("shop", "shop-dev-0001"),
        ("saas", "saas-dev-0001"),
    ]
    tools = [{tool.name for tool in episode.tools} for episode in episodes[:2]]
    assert "change_seats" in tools[1] and not tools[0] & {"change_seats"}
    policies = [episode.messages[0].content or "" for episode in episodes[:2]]
    assert "software company" in policies[1] and "software company" not in policies[0]


def test_an_episode_is_the_same_in_a_mixed_run_and_in_its_own_domain(tmp_path: Path) -> None:
    for domain, out in (("shop+saas", "mixed"), ("saas", "own")):
        tasks = "tasks=[saas-dev-0003]"
        assert main(["run", f"domain={domain}", tasks, "model.name=scripted:echo", "--out", str(tmp_path / out)]) == 0
    mixed, own = (next(read_episodes(tmp_path / out)) for out in ("mixed", "own"))
    same = {"messages", "tools", "outcome", "reward", "domain", "seeds", "benchmark_version"}
    assert mixed.model_dump(include=same) == own.model_dump(include=same)


def test_what_cannot_be_mixed_is_told_in_one_line() -> None:
    def told(domain: str, benchmark: str = "helpdesk", **more: object) -> str:
        settings = ExperimentSettings.model_validate({"benchmark": benchmark, "domain": domain, **more})
        with pytest.raises(BadInput) as caught:
            select_tasks(settings, load_benchmark(settings))
        return str(caught.value)

    assert "no domain 'shopp'" in told("shopp+saas")
    assert "names one twice" in told("shop+shop")
    assert "no domain ''" in told("shop+")
    assert "has a task 'tele-dev-0000'" in told("shop+saas", tasks=["tele-dev-0000"])


def test_a_task_beyond_the_listed_ones_finds_its_domain() -> None:
    world = load_benchmark(ExperimentSettings(domain="shop+saas"))
    assert [world.domain_of("shop+saas", one) for one in ("saas-dev-1500", "shop-test-0007")] == ["saas", "shop"]
    assert MixedDomains(world).version("shop+saas") == world.version("shop") == "helpdesk-2.0"


def test_domains_that_share_ids_are_refused() -> None:
    with pytest.raises(BadInput, match="tasks of the same id"):
        MixedDomains(Tau2()).task_ids("airline+retail", "test")
