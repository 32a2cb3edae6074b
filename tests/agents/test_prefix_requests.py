"""Helpers in llm form and the prompted selector send the agent's own request, byte for byte, and one question."""

import asyncio
import json
from collections.abc import Mapping
from typing import Any, get_args

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from fama.agents.agent_request import agent_request
from fama.agents.decision import Decider
from fama.agents.strategies.base import STRATEGIES, Placement
from fama.episodes.state import VisibleState
from fama.helpers.base import Helper
from fama.helpers.pool import build_pool
from fama.models.base import ChatRequest
from fama.models.client import Flavour
from fama.models.wire import build_body
from fama.selection.base import SELECTORS, SelectorContext
from fama.settings import ExperimentSettings, HelperSettings
from fama.subsets import POOL
from tests.support.asking_helpers import asking_pool
from tests.support.note_states import POLICY, TOOLS, busy_state
from tests.support.random_states import SPOKEN, TURNS, messages
from tests.support.slow_models import SlowModel
from tests.support.toy_agents import DEMONSTRATION, setup_for

HELPERS = build_pool(HelperSettings(form="llm"))
ASKING = asking_pool()
FLAVOURS: tuple[Flavour, ...] = get_args(Flavour)


def requests_of(
    state: VisibleState,
    strategy: Any,
    placement: Placement,
    answer: str,
    demonstrations: int = 1,
    asked_at_once: int = 1,
    helpers: Mapping[str, Helper] = HELPERS,
) -> list[ChatRequest]:
    """All requests of one decision in which the prompted selector is asked and takes all six helpers."""

    def reply(request: ChatRequest) -> str:
        if request.role == "agent":
            return '{"tool": "close_case", "arguments": {"outcome": "resolved"}}'
        return f"{request.prefill} {', '.join(POOL) if request.role == 'selector' else answer}"

    model = SlowModel(reply, {})
    shown = [DEMONSTRATION] * demonstrations
    rendering = STRATEGIES.load(strategy)()
    context = SelectorContext(helpers, model, request=lambda seen: agent_request(rendering, seen, shown))
    selector = SELECTORS.load("prompted")(context, form="on_prefix")
    setup = setup_for(model, helpers=list(helpers.values()), selector=selector, demonstrations=shown)
    wanted = ExperimentSettings(
        strategy=strategy,
        placement=placement,
        cadence="turn",
        helpers=HelperSettings(form="llm", concurrency=asked_at_once),
    )
    asyncio.run(Decider(setup, wanted, []).decide(state, 1))
    return model.requests


def split(requests: list[ChatRequest]) -> tuple[ChatRequest, list[ChatRequest]]:
    """The agent's first request, and those of selector and helpers."""
    own = next(request for request in requests if request.role == "agent")
    return own, [request for request in requests if request.role != "agent"]


def same_bytes(one: Any, other: Any) -> bool:
    """Equality of what is sent, the order of keys included."""
    return json.dumps(one, ensure_ascii=False) == json.dumps(other, ensure_ascii=False)


@pytest.mark.parametrize("strategy", STRATEGIES.names())
@given(
    turns=TURNS,
    policy=st.just(POLICY) | SPOKEN,
    demonstrations=st.integers(0, 2),
    answer=st.sampled_from(["none", "Call renew_loan next."]) | SPOKEN,
    asked_at_once=st.sampled_from([1, 6]),
)
@settings(max_examples=20, deadline=None, suppress_health_check=[HealthCheck.too_slow])
def test_the_agents_request_is_a_prefix_of_every_question(
    strategy: str, turns: list[tuple[str, Any]], policy: str, demonstrations: int, answer: str, asked_at_once: int
) -> None:
    state = VisibleState(policy, TOOLS, messages(turns), len(turns))
    own, asked = split(requests_of(state, strategy, "assistant", answer, demonstrations, asked_at_once))
    assert asked[0].role == "selector"
    for request in asked:
        assert same_bytes(request.messages[:-1], own.messages) and same_bytes(request.tools, own.tools)
        assert request.messages[-1]["role"] == "user" and request.prefill == request.prefill.strip() != ""
        for flavour in FLAVOURS:
            theirs, agents = (build_body(r, "m", flavour)["messages"] for r in (request, own))
            openings = int(bool(own.prefill))  # the opening of the agent's answer is a turn on the wire
            prefix = agents[: len(agents) - openings]
            assert same_bytes(theirs[: len(prefix)], prefix)


@pytest.mark.parametrize("placement", get_args(Placement))
@pytest.mark.parametrize("strategy", STRATEGIES.names())
def test_selector_and_all_six_helpers_ask_on_one_prefix(strategy: str, placement: Placement) -> None:
    own, asked = split(requests_of(busy_state(), strategy, placement, "none", helpers=ASKING))
    assert [request.role for request in asked] == ["selector", *(f"helper:{name}" for name in POOL)]
    for request in asked:
        assert same_bytes(request.messages[:-1], own.messages) and same_bytes(request.tools, own.tools)
    questions = {str(request.messages[-1]["content"]) for request in asked}
    assert len(questions) == 7 and all(question.startswith("Not from the customer") for question in questions)


def test_notes_never_reach_the_prefix_of_a_question() -> None:
    """With notes in the last user turn the agent's own last message differs; questions are put behind it unnoted."""
    own, asked = split(requests_of(busy_state(), "act", "user", "Call renew_loan next.", helpers=ASKING))
    assert "Note: Rule: Call renew_loan next." in own.messages[-1]["content"]
    for request in asked:
        assert same_bytes(request.messages[:-2], own.messages[:-1])
        last = request.messages[-2]["content"]
        assert "Note:" not in last and own.messages[-1]["content"].startswith(last)
