from pathlib import Path

import pytest

from eval.collect.do_nothing import do_nothing
from eval.compare.arm_replay import select_rows
from eval.report.verification import verify
from fama.agents.runs.plan import load_benchmark, select_tasks
from fama.cli import main
from fama.envs.base import Observation, UserModel
from fama.envs.mixed import MixedDomains
from fama.episodes.store import read_episodes
from fama.errors import BadInput
from fama.randomness import derive_seed
from fama.settings import CompareSettings, ExperimentSettings
from tests.support.outcome_rows import row
from tests.support.toy_world import ToyBenchmark, ToyEnvironment


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
        how = ["tasks=[saas-dev-0003]", "model.name=scripted:echo", "options={phrases: first}"]
        assert main(["run", f"domain={domain}", *how, "--out", str(tmp_path / out)]) == 0
    mixed, own = (next(read_episodes(tmp_path / out)) for out in ("mixed", "own"))
    same = {"messages", "tools", "outcome", "reward", "domain", "seeds", "benchmark_version"}
    assert mixed.model_dump(include=same) == own.model_dump(include=same)
    assert own.benchmark_version == "helpdesk-1.3"  # the shop's is 1.1


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


@pytest.mark.parametrize("splits", [("test", "test"), ("test", "train")])
def test_domains_that_share_ids_are_refused(splits: tuple[str, str]) -> None:
    class Two(ToyBenchmark):
        def task_ids(self, domain: str, split: str) -> list[str]:
            return ["t1"] if split == splits[domain == "moods"] else [f"{domain}2"]

    with pytest.raises(BadInput, match="tasks of the same id"):
        MixedDomains(Two()).task_ids("d+moods", "test")


async def test_doing_nothing_starts_a_task_as_its_own_domain_does() -> None:
    seeds: list[int] = []

    class Seen(ToyEnvironment):
        async def reset(self, seed: int) -> Observation:
            seeds.append(seed)
            return await super().reset(seed)

    class One(ToyBenchmark):
        def environment(self, domain: str, task_id: str, user: UserModel | None = None) -> ToyEnvironment:
            return Seen(task_id)

        def task_ids(self, domain: str, split: str) -> list[str]:
            return ["t1"] if domain == "moods" else ["t2"]

    for domain in ("d+moods", "moods"):
        await do_nothing(ExperimentSettings(benchmark="toy", domain=domain), One(), ["t1"])
    assert seeds == [derive_seed(0, "environment", "toy", "moods", "t1", 0)] * 2


def test_a_table_of_tasks_that_share_ids_is_not_replayed() -> None:
    rows = [row("5", "", True).model_copy(update={"domain": domain}) for domain in ("shop", "saas")]
    settings = CompareSettings(benchmark=rows[0].benchmark, domain="shop+saas", strategy=rows[0].strategy, tasks=1)
    with pytest.raises(BadInput, match="tasks of the same id in t; replay one domain"):
        select_rows(rows, settings, "t", {})


def test_a_mixed_comparison_is_verified(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    how = ["domain=shop+saas", "tasks=2", "options={phrases: first}", "model.name=scripted:echo"]
    how += ["helpers.reading=patterns", "bootstrap=100"]
    out = tmp_path / "out"
    assert main(["compare", *how, "arms=[{name: none}, {name: all}]", "--out", str(out)]) == 0
    board = ["report", str(out), "--leaderboard", str(tmp_path / "board")]
    assert main(board) == 0
    assert verify(out).comparison == verify(out, benchmark=False).comparison
    path = out / "episodes.jsonl"
    text = path.read_text(encoding="utf-8")
    for was, now, part in (
        ('"domain":"saas"', '"domain":"shop"', "domain of episode .* is 'shop', but .* 'saas'"),
        ('"helpdesk-1.3"', '"helpdesk-1.1"', "benchmark_version of episode .* is 'helpdesk-1.1'"),
        ('"domain":"saas"', '"domain":"tele"', "domain of episode .* is 'tele'"),
    ):
        path.write_text(text.replace(was, now), encoding="utf-8")
        with pytest.raises(BadInput, match=part):
            verify(out)
