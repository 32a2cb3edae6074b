"""Every registered selector keeps the contract: what it chooses, what it declares, what it gets to see."""

import dataclasses
import inspect
import json
import random
from typing import Any

import pytest

from fama.agents.loop import run_episode
from fama.episodes.keys import EpisodeKey, TaskKey
from fama.episodes.records import FunctionCall, Message, ToolCall, ToolSpec
from fama.episodes.state import VisibleState
from fama.errors import BadInput
from fama.selection.base import (
    SELECTORS,
    Allowance,
    AnySelector,
    KeyedSelector,
    Priced,
    Selection,
    SelectorContext,
)
from fama.selection.traits import SelectorTraits, declare, declared
from fama.settings import RunSettings
from tests.support.asking import KEY, choose
from tests.support.every_selector import CASES, HELPERS, Inputs
from tests.support.toy_agents import gold_model, setup_for

SCHEMA = json.dumps({"type": "object", "properties": {"loan_id": {"type": "string"}}, "required": ["loan_id"]})
TOOLS = tuple(ToolSpec(name=f"{verb}_loan", description="A loan.", parameters=SCHEMA) for verb in ("get", "renew"))
CALL = ToolCall(id="1", function=FunctionCall(name="get_loan", arguments='{"loan_id": "L1"}'))
MESSAGES = (
    Message(role="user", content="Renew loan L1."),
    Message(role="assistant", tool_calls=(CALL,)),
    Message(role="tool", content='{"loan_id": "L1", "status": "active"}', tool_call_id="1"),
    Message(role="assistant", content="Shall I?"),
    Message(role="user", content="Yes."),
)
STATES = [VisibleState("Be kind.", TOOLS, MESSAGES[:size], size) for size in (0, 1, 3, 5)]


@pytest.fixture(scope="module")
def inputs(tmp_path_factory: pytest.TempPathFactory) -> Inputs:
    return Inputs(tmp_path_factory.mktemp("selectors"))


@pytest.mark.parametrize(("name", "place"), CASES)
async def test_a_selection_is_well_formed_and_follows_its_stream(name: str, place: int, inputs: Inputs) -> None:
    selector, twin = inputs.build(name, place), inputs.build(name, place)
    for state in STATES:
        for seed in range(6):
            one = await choose(selector, state, seed=seed)
            assert list(one.subset) == [helper for helper in HELPERS if helper in one.subset]
            assert one.propensity is not None and 0 < one.propensity <= 1
            assert set(one.probabilities) == set(HELPERS)
            assert all(0 <= value <= 1 for value in one.probabilities.values())
            assert one.seconds >= 0
            assert all(row.role in ("selector", "mitigation") for row in one.ledger)
            again = await choose(twin, state, seed=seed)
            said = (one.subset, one.propensity, one.probabilities, one.ledger)
            assert (again.subset, again.propensity, again.probabilities, again.ledger) == said


@pytest.mark.parametrize(("name", "place"), CASES)
async def test_a_selector_is_what_it_declares(name: str, place: int, inputs: Inputs) -> None:
    selector, traits = inputs.build(name, place), SELECTORS.traits(name)
    assert selector.name == name
    assert selector.track in ("prospective", "retrospective")
    if traits.blind:
        for seed in range(6):
            said = [await choose(selector, state, seed=seed) for state in STATES]
            assert len({(one.subset, one.propensity) for one in said}) == 1
    if traits.plain:
        assert traits.blind and [(await choose(selector, state)).subset for state in STATES] == [()] * len(STATES)
    assert traits.lead is None or traits.setup == "checkpoint"
    asked = [row for state in STATES for row in (await choose(selector, state)).ledger]
    assert traits.asks_model == (name == "prompted") and (traits.asks_model or not asked)
    if isinstance(selector, Priced):
        priced = selector.at(1e9)
        assert (priced.name, priced.track) == (selector.name, selector.track)


@pytest.mark.parametrize(("name", "place"), CASES)
def test_only_retrospective_selectors_can_get_a_key(name: str, place: int, inputs: Inputs) -> None:
    selector = inputs.build(name, place)
    if isinstance(selector, KeyedSelector):
        assert selector.track == "retrospective" and not hasattr(selector, "select")
    else:
        assert list(inspect.signature(selector.select).parameters) == ["state", "allowance", "rng"]


def test_the_visible_state_names_no_task_and_has_no_field_from_the_future() -> None:
    names = {field.name for field in dataclasses.fields(VisibleState)}
    assert names == {"policy", "tools", "messages", "turn", "noted", "benchmark", "domain", "readings"}
    for kind in (Message, ToolSpec):
        future = {"reward", "gold", "gold_actions", "outcome", "success", "task_id", "trial"}
        assert not future & set(kind.model_fields)


@dataclasses.dataclass
class Snoop:
    """Keeps whatever it is given, and chooses no helper."""

    name: str = "snoop"
    track: str = "prospective"
    got: list[Any] = dataclasses.field(default_factory=list)

    async def select(self, state: VisibleState, allowance: Allowance, rng: random.Random) -> Selection:
        self.got += [state, allowance]
        return Selection((), {})


@dataclasses.dataclass
class KeyedSnoop:
    """Asks for the key."""

    name: str = "keyed"
    track: str = "retrospective"
    got: list[Any] = dataclasses.field(default_factory=list)

    async def select_keyed(
        self, key: EpisodeKey, state: VisibleState, allowance: Allowance, rng: random.Random
    ) -> Selection:
        self.got.append(key)
        return Selection((), {})


async def test_in_a_run_a_prospective_selector_learns_neither_task_nor_trial() -> None:
    """The user of this world names the task; its words are all that tells it apart."""
    snoop, keyed = Snoop(), KeyedSnoop()
    both: list[AnySelector] = [snoop, keyed]
    for selector in both:
        setup = setup_for(gold_model(), selector=selector)
        await run_episode(dataclasses.replace(setup, key=dataclasses.replace(setup.key, task_id="77")), RunSettings())
    assert snoop.got and "77" not in repr(snoop.got) and "task_id" not in repr(snoop.got)
    assert [key.task_id for key in keyed.got] == ["77"]


async def test_a_prospective_selector_that_looks_tasks_up_is_refused() -> None:
    with pytest.raises(BadInput, match="selector keyed: looks tasks up, so its track must be retrospective"):
        await choose(KeyedSnoop(track="prospective"), STATES[0])


async def test_a_selector_is_not_asked_about_tasks_that_it_learned_from() -> None:
    class Informed(Snoop):
        def knows(self, task: TaskKey) -> bool:
            return task.task_id == "t1"

    selector = Informed(name="informed")
    with pytest.raises(BadInput, match="selector informed: was built from a failure of t1 itself"):
        await choose(selector, STATES[0])
    assert not selector.got
    await choose(selector, STATES[0], key=dataclasses.replace(KEY, task_id="t2"))
    assert selector.got


def own(context: SelectorContext, **options: object) -> AnySelector:
    return Snoop()


def test_a_plug_in_that_declares_nothing_reads_the_state_and_needs_nothing() -> None:
    assert declared(own) == SelectorTraits() == SelectorTraits(blind=False, plain=False, setup="nothing")
    marked = declare(SelectorTraits(setup="outcomes", rival=7))(lambda context, **options: own(context))
    SELECTORS.add("own", marked)
    try:
        assert SELECTORS.traits("own").rival == 7
    finally:
        SELECTORS.remove("own")
    assert SELECTORS.traits("own").setup == "unknown"
