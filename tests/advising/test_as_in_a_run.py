"""Advice is what a run does: the same subsets, notes and rejected notes, at the same place of the same request."""

import asyncio
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

import fama
from fama.agents.agent_request import agent_request
from fama.agents.injection import collect_notes
from fama.agents.loop import run_episode
from fama.agents.strategies.base import Placement
from fama.agents.strategies.fc import FunctionCalling
from fama.episodes.records import Decision, Episode, LedgerRow, Note
from fama.episodes.state import state_at
from fama.helpers.pool import build_pool
from fama.models.base import ChatRequest
from fama.models.prefill import Prefill
from fama.models.wire import build_body, plain_call_ids
from fama.selection.base import SELECTORS, SelectorContext
from fama.settings import BudgetSettings, ExperimentSettings, HelperSettings
from tests.support.openai_shapes import request_before
from tests.support.toy_agents import GOLD, POLICY, LampWorld, Recorder, act_line, setup_for

ROOT = Path(__file__).resolve().parents[2]
PATTERNS = HelperSettings(reading="patterns")
ARMS: dict[str, str | Path] = {
    "all": "all",
    "irma": "irma",
    "rule": "rule",
    "linear": ROOT / "checkpoints/helpdesk-linear",
}


def logged(decision: Decision) -> dict[str, Any]:
    """Return the compared part of decisions: all but the clock."""
    return decision.model_dump(exclude={"seconds"})


@pytest.fixture(scope="module")
def committed() -> dict[str, list[Episode]]:
    """The first four episodes of each arm of a committed comparison, run at cadence ``episode``."""
    found: dict[str, list[Episode]] = {arm: [] for arm in ARMS}
    for episode in fama.load_episodes(ROOT / "results/helpdesk/compare/episodes.jsonl.gz"):
        if episode.selector in found and len(found[episode.selector]) < 4:
            found[episode.selector].append(episode)
    return found


def decided_today(episode: Episode) -> Iterator[Decision]:
    """The logged decisions with the notes that a run's own code writes today, after its own earlier ones."""
    pool, noted = build_pool(PATTERNS), list[tuple[int, Note]]()
    for turn, decision in enumerate(episode.decisions):
        state = replace(state_at(episode, turn), noted=tuple(noted))
        notes = asyncio.run(collect_notes(state, decision.subset, pool, None, 0, []))
        noted += [(turn, note) for note in notes.passed]
        yield decision.model_copy(update={"notes": notes.passed, "rejected": notes.rejected})


@pytest.mark.parametrize("arm", ARMS)
def test_committed_decisions_are_advised_again(arm: str, committed: dict[str, list[Episode]]) -> None:
    notes = 0
    with fama.Advisor(ARMS[arm], helpers=PATTERNS, cadence="episode", benchmark="helpdesk", domain="shop") as advisor:
        for episode in committed[arm]:
            for turn, decision in enumerate(decided_today(episode)):
                advice = advisor.advise(*request_before(episode, turn))
                got, want = logged(advice.decision), logged(decision)
                assert got.pop("selection") in ("chosen", "by_cadence")
                want.pop("selection", None)  # these records are older than the field
                assert got == want
                assert advice.history == episode.messages[: decision.message_index]
                notes += len(advice.notes)
    assert (notes > 0) == (arm != "rule")  # asked before the first decision only, the rule chooses nobody


def reply(request: ChatRequest, number: int) -> str:
    """A backbone that solves the task in four turns, a selector, and helpers whose notes are not all good."""
    turn = sum(message["role"] == "assistant" for message in request.messages)
    if request.role == "selector":
        return ("TSA, Memory", "Verifier", "none", "TSA, Planner")[turn]
    if request.role.startswith("helper:"):
        return "Call fly_away next." if turn == 1 or request.role == "helper:Planner" else "Call find_lamp next."
    return (act_line("respond", text="One moment, please."), *GOLD)[turn]


HELPERS = HelperSettings(pool=("TSA", "Planner", "Verifier", "Memory"), form="llm", reading="patterns")
LIMITED = BudgetSettings(decision=5000, episode=12_000)


def played(placement: Placement, budget: BudgetSettings) -> tuple[Episode, list[ChatRequest]]:
    pool, model = build_pool(HELPERS), Recorder(reply, "toy")

    def request(state: Any) -> Any:
        return agent_request(FunctionCalling(), state)

    selector = SELECTORS.load("prompted")(SelectorContext(pool, model, request=request), form="on_prefix")
    settings = ExperimentSettings(strategy="fc", placement=placement, cadence="turn", helpers=HELPERS)
    setup = setup_for(model, LampWorld(), helpers=list(pool.values()), selector=selector, budget=budget)
    return asyncio.run(run_episode(setup, settings)), model.requests


def of_helpers(requests: list[ChatRequest]) -> Iterator[tuple[str, Any, Any]]:
    """Return the requests besides the agent's own; seeds are named by the episode, which an advisor cannot know."""
    return ((one.role, one.messages, one.tools) for one in requests if one.role != "agent")


@pytest.mark.parametrize(
    ("placement", "prefill"),
    [("assistant", "message"), ("assistant", "flag"), ("assistant", "words"), ("user", "message"), ("system", "flag")],
)
def test_a_scripted_run_is_advised_as_it_went(placement: Placement, prefill: Prefill) -> None:
    episode, requests = played(placement, LIMITED)
    assert episode.outcome.status == "success" and len(episode.decisions) == 4
    assert any(d.notes for d in episode.decisions) and any(d.rejected for d in episode.decisions)
    sent = [request for request in requests if request.role == "agent"]
    model = Recorder(reply, "toy")
    options = {"form": "on_prefix"}
    with fama.Advisor(
        "prompted",
        helpers=HELPERS,
        model=model,
        options=options,
        budget=LIMITED,
        placement=placement,
        prefill=prefill,
        benchmark="lamps",
        domain="house",
    ) as advisor:
        rows: list[LedgerRow] = []
        for turn, decision in enumerate(episode.decisions):
            own = agent_request(FunctionCalling(), state_at(episode, turn))
            advice = advisor.advise(own.messages, own.tools, policy=POLICY)
            assert logged(advice.decision) == logged(decision)
            body = build_body(sent[turn], "m", "openai", prefill=prefill)
            assert plain_call_ids(advice.messages()) == body["messages"]
            assert advice.extra_body == body.get("extra_body", {})
            rows += advice.usage.ledger
    assert list(of_helpers(model.requests)) == list(of_helpers(requests))
    spent = [row for row in episode.ledger if row.role not in ("agent", "user")]
    assert [(row.role, row.turn, row.total_tokens) for row in rows] == [
        (row.role, row.turn, row.total_tokens) for row in spent
    ]


def test_a_budget_drops_the_same_helpers() -> None:
    tight = BudgetSettings(decision=2000)
    episode, _ = played("assistant", tight)
    assert any(decision.dropped for decision in episode.decisions)
    with fama.Advisor(
        "prompted", helpers=HELPERS, model=Recorder(reply, "toy"), options={"form": "on_prefix"}, budget=tight
    ) as advisor:
        for turn, decision in enumerate(episode.decisions):
            own = agent_request(FunctionCalling(), state_at(episode, turn))
            assert logged(advisor.advise(own.messages, own.tools, policy=POLICY).decision) == logged(decision)
