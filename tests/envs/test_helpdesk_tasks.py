"""Ids, demonstrations, sizes, and that nothing visible tells what a task was built for."""

import json
from collections.abc import Iterator
from typing import Any

import pytest

from fama.envs.helpdesk.benchmark import Helpdesk
from fama.envs.helpdesk.gold import gold_actions, play
from fama.envs.helpdesk.tasks import analysis_of, build_task, generator_of
from fama.envs.helpdesk.user.phrase_sets import FIRST, load_phrase_set
from fama.episodes.state import VisibleState, state_to_json
from fama.errors import BadInput
from fama.text.tokens import estimate_tokens

DOMAINS = ("shop", "saas")
CODES = ("DCV", "WRCO", "CM", "IFU")


@pytest.mark.parametrize(
    ("domain", "task_id"),
    [
        ("shop", "saas-dev-0001"),
        ("shop", "shop-dev-1"),
        ("shop", "shop-dev-00001"),
        ("shop", "shop-prod-0001"),
        ("shop", "shop-demo-0001"),
        ("shop", "shop-dev-123456"),
        ("shop", "nonsense"),
        ("shop", ""),
    ],
)
def test_an_unknown_task_is_bad_input_that_tells_the_form_of_ids(domain: str, task_id: str) -> None:
    with pytest.raises(BadInput, match="shop-dev-0000"):
        Helpdesk().environment(domain, task_id)
    assert len(str(pytest.raises(BadInput, Helpdesk().environment, domain, task_id).value).splitlines()) == 1


def test_unknown_domains_and_splits_name_the_known_ones() -> None:
    with pytest.raises(BadInput, match="shop, saas"):
        Helpdesk().task_ids("airline", "dev")
    with pytest.raises(BadInput, match="dev, train, test"):
        Helpdesk().task_ids("shop", "demo")


def test_a_split_goes_on_after_its_listed_tasks() -> None:
    ids = Helpdesk().task_ids("shop", "test")
    assert (len(ids), ids[17]) == (1000, "shop-test-0017")
    assert Helpdesk().environment("shop", "shop-test-54321").tools


@pytest.mark.parametrize("domain", DOMAINS)
def test_ids_hold_no_family(domain: str) -> None:
    families = [analysis_of(task_id).family for task_id in Helpdesk().task_ids(domain, "dev")[:36]]
    assert families[:18] != families[18:]
    assert families != sorted(families)


@pytest.mark.parametrize("domain", DOMAINS)
def test_demonstrations_are_two_clean_conversations_on_other_tasks(domain: str) -> None:
    demonstrations = Helpdesk().demonstrations(domain)
    assert len(demonstrations) == 2
    assert demonstrations == Helpdesk().demonstrations(domain)
    for messages in demonstrations:
        assert messages[0].role == "user"
        assert "system" not in {message.role for message in messages}
        assert not any("error" in (message.content or "") for message in messages if message.role == "tool")
        calls = [c for message in messages for c in message.tool_calls or ()]
        assert calls[-1].function.name == "close_case"
        assert calls[-1].function.parsed() == {"outcome": "resolved"}
        answered = {message.tool_call_id for message in messages if message.role == "tool"}
        assert answered == {c.id for c in calls}
        assert any(message.role == "assistant" and message.content for message in messages)
    assert demonstrations[0] != demonstrations[1]


@pytest.mark.parametrize("domain", DOMAINS)
def test_policy_and_tools_are_short(domain: str) -> None:
    environment = Helpdesk().environment(domain, f"{domain}-dev-0000")
    assert estimate_tokens(environment.policy) <= 400
    assert 8 <= len(environment.tools) <= 10
    for tool in environment.tools:
        assert "\n" not in tool.description
        schema = tool.schema_dict()
        assert set(schema["required"]) == set(schema["properties"])


@pytest.mark.parametrize("domain", DOMAINS)
async def test_tool_outputs_stay_within_what_a_cpu_can_read(domain: str) -> None:
    for task_id in Helpdesk().task_ids(domain, "dev")[:72]:
        level = analysis_of(task_id).level
        played = await play(Helpdesk().environment(domain, task_id), gold_actions(domain, task_id), 0)
        for message in played.messages:
            if message.role == "tool":
                size = estimate_tokens(message.content or "")  # counts about 1.3 times what the model's tokenizer does
                assert size <= (240 if level < 3 else 480), (task_id, message)
                assert isinstance(json.loads(message.content or ""), dict)


def strings_of(value: Any, depth: int = 0) -> Iterator[str]:
    """Every string that can be reached through public attributes."""
    if isinstance(value, str):
        yield value
    elif isinstance(value, dict):
        for key, item in value.items():
            yield from strings_of(key, depth)
            yield from strings_of(item, depth)
    elif isinstance(value, list | tuple | set | frozenset):
        for item in value:
            yield from strings_of(item, depth)
    elif depth < 3 and not isinstance(value, int | float | bool | type(None)) and not callable(value):
        for name in dir(value):
            if not name.startswith("_") and name not in {"model_fields", "model_computed_fields", "model_extra"}:
                yield from strings_of(getattr(value, name, None), depth + 1)


@pytest.mark.parametrize("domain", DOMAINS)
async def test_nothing_visible_holds_the_traps(domain: str) -> None:
    families = set(generator_of(domain).families)
    for task_id in Helpdesk().task_ids(domain, "dev")[:20]:
        assert analysis_of(task_id).traps
        environment = Helpdesk().environment(domain, task_id)
        played = await play(environment, gold_actions(domain, task_id), 0)
        state = VisibleState(
            policy=environment.policy,
            tools=environment.tools,
            messages=played.messages,
        )
        public = [name for name in dir(environment) if not name.startswith("_")]
        assert sorted(public) == ["outcome", "policy", "reset", "step", "tools"]
        seen = [*strings_of(environment), *strings_of(state), state_to_json(state)]
        words = {word for text in seen for word in text.replace('"', " ").replace(",", " ").split()}
        assert not words & set(CODES)
        assert not words & {"traps", "family", "level", "refused_task", "analysis"}
        task = build_task(domain, task_id)
        assert not {"traps", "family", "level", "analysis"} & set(vars(task))
        assert task_id not in families


def test_there_are_several_hundred_templates() -> None:
    for domain in DOMAINS:
        lists = load_phrase_set(FIRST).domains[domain]
        assert sum(len(values) for values in lists.values()) >= 300
        assert all(len(set(values)) == len(values) for values in lists.values())
        assert all(isinstance(text, str) for values in lists.values() for text in values)
