"""The contract of every registered benchmark and its environments."""

import json
from typing import Any

import pytest

from fama.envs.base import BENCHMARKS, Action, Benchmark, Environment, Observation, UserModel
from fama.errors import BadInput
from fama.models.scripted import ScriptedModel

USER = UserModel(ScriptedModel("scripted:user", lambda _: "Hello, I need help."))


def benchmark_of(name: str) -> Benchmark:
    try:
        return BENCHMARKS.load(name)()
    except BadInput as error:  # an adapter whose benchmark is not installed says so
        pytest.skip(str(error))


def world(benchmark: Benchmark, domain: str) -> Environment:
    """The first task of a domain; with a scripted model as the user, where the benchmark has no user of its own."""
    task_id = benchmark.task_ids(domain, benchmark.splits(domain)[0])[0]
    try:
        return benchmark.environment(domain, task_id)
    except BadInput as error:
        assert "set user_model" in str(error)
        return benchmark.environment(domain, task_id, USER)


@pytest.mark.parametrize("name", BENCHMARKS.names())
class TestContract:
    def test_it_names_its_domains_splits_and_tasks(self, name: str) -> None:
        benchmark = benchmark_of(name)
        assert benchmark.name == name
        assert benchmark.domains()
        for domain in benchmark.domains():
            assert benchmark.version(domain)
            seen: set[str] = set()
            for split in benchmark.splits(domain):
                ids = list(benchmark.task_ids(domain, split))
                assert ids and len(ids) == len(set(ids)) and len(ids) <= 1000
                assert ids == list(benchmark.task_ids(domain, split))
                if split == "base":  # what a benchmark calls all of its tasks
                    continue
                assert not seen & set(ids)
                seen |= set(ids)

    def test_an_unknown_task_is_bad_input(self, name: str) -> None:
        benchmark = benchmark_of(name)
        with pytest.raises(BadInput):
            benchmark.environment(benchmark.domains()[0], "no such task")

    async def test_a_fresh_world_has_policy_tools_and_a_user(self, name: str) -> None:
        benchmark = benchmark_of(name)
        for domain in benchmark.domains():
            environment = world(benchmark, domain)
            assert environment.policy
            names = [tool.name for tool in environment.tools]
            assert names and len(names) == len(set(names))
            assert "respond" not in names
            for tool in environment.tools:
                assert tool.schema_dict()["type"] == "object"
            first = await environment.reset(0)
            assert (first.role, first.done) == ("user", False)
            assert first.content
            reward = environment.outcome()
            assert not reward.success
            assert 0.0 <= reward.reward < 1.0
            assert all(0.0 <= value <= 1.0 for value in reward.detail.values())

    @pytest.mark.parametrize(
        ("tool", "arguments"),
        [
            ("no_such_tool", {}),
            (None, {}),
            ("", {}),
            ("FIRST", {}),
            ("FIRST", {"nonsense": [1]}),
            ("FIRST", {"a": None}),
        ],
    )
    async def test_wrong_actions_are_observations(self, name: str, tool: str | None, arguments: dict[str, Any]) -> None:
        benchmark = benchmark_of(name)
        domain = benchmark.domains()[0]
        environment = world(benchmark, domain)
        await environment.reset(0)
        called = environment.tools[0].name if tool == "FIRST" else tool
        observation = await environment.step(Action(tool=called, arguments=arguments))
        assert isinstance(observation, Observation)
        assert observation.role == ("user" if called is None else "tool")
        assert not observation.done

    async def test_equal_seeds_give_equal_openings_and_reset_starts_over(self, name: str) -> None:
        benchmark = benchmark_of(name)
        for domain in benchmark.domains():
            one, two = world(benchmark, domain), world(benchmark, domain)
            first = await one.reset(3)
            assert first == await two.reset(3)
            await one.step(Action(tool=None, text="Hello?"))
            assert await one.reset(3) == first

    def test_demonstrations_are_conversations_that_start_with_the_user(self, name: str) -> None:
        benchmark = benchmark_of(name)
        for domain in benchmark.domains():
            for messages in benchmark.demonstrations(domain):
                assert messages[0].role == "user"
                for message in messages:
                    assert message.role in ("user", "assistant", "tool")
                    for call in message.tool_calls or ():
                        assert isinstance(json.loads(call.function.arguments), dict)
