"""Helpers asked at the same time: same notes and ledger as one after the other, and budgets that hold."""

import asyncio
from collections.abc import Sequence

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fama.agents.agent_request import agent_request
from fama.agents.decision import Decider
from fama.agents.injection import Notes, collect_notes
from fama.agents.loop import run_episode
from fama.agents.runs.run_config import config_hash, run_prompts
from fama.agents.strategies.act import Act
from fama.episodes.records import Episode, LedgerRow, budget_tokens
from fama.episodes.state import VisibleState
from fama.helpers.base import Helper, HelperContext, HelperReply
from fama.models.base import CallFailed, ChatRequest
from fama.selection.base import SELECTORS, SelectorContext
from fama.selection.budget import RunBudget, helper_cap, spent_tokens
from fama.settings import BudgetSettings, ExperimentSettings, HelperSettings, RunSettings, SelectorSettings
from fama.subsets import POOL
from tests.support.asking_helpers import answer, asking_pool
from tests.support.note_states import busy_state
from tests.support.slow_models import SlowModel
from tests.support.toy_agents import GOLD, setup_for

POOL_OF_SIX = asking_pool()
#: The last in pool order answer first.
SLOW = {f"helper:{name}": 0.01 * (len(POOL) - place) for place, name in enumerate(POOL)}


def notes_of(
    model: SlowModel, ledger: list[LedgerRow], concurrency: int, pool: dict[str, Helper] = POOL_OF_SIX
) -> Notes:
    state = busy_state()
    own = agent_request(Act(), state)
    return asyncio.run(collect_notes(state, tuple(pool), pool, model, 7, ledger, 0, own, concurrency))


@pytest.mark.parametrize("concurrency", [2, 3, 6])
def test_notes_and_ledger_do_not_depend_on_how_many_are_asked_at_once(concurrency: int) -> None:
    rows: dict[int, list[LedgerRow]] = {1: [], concurrency: []}
    models = {n: SlowModel(answer, SLOW) for n in rows}
    found = {n: notes_of(models[n], rows[n], n) for n in rows}
    assert (models[1].most, models[concurrency].most) == (1, concurrency)
    assert found[1] == found[concurrency] and len(found[1].passed) == 6
    assert rows[1] == rows[concurrency] and [row.role for row in rows[1]] == [f"helper:{name}" for name in POOL]
    assert {r.role: r for r in models[1].requests} == {r.role: r for r in models[concurrency].requests}


class Reader:
    """A helper that repeats what the others noted before the same decision."""

    name, covers, token_cap, cost_cap = "Reader", frozenset({"CM"}), 80, 0

    async def note(self, state: VisibleState, context: HelperContext) -> HelperReply:
        return HelperReply(" / ".join(note.helper for turn, note in state.noted if turn == state.turn))


def test_a_helper_that_reads_notes_is_asked_after_those_before_it_only() -> None:
    names = ("DCE", "TSA")
    pool: dict[str, Helper] = {**{name: POOL_OF_SIX[name] for name in names}, "Reader": Reader()}
    pool["Memory"] = POOL_OF_SIX["Memory"]
    found = notes_of(SlowModel(answer, SLOW), [], 4, pool)
    assert [note.helper for note in found.passed] == ["DCE", "TSA", "Reader", "Memory"]
    assert found.passed[2].text == "DCE / TSA"


def test_what_was_spent_beside_a_call_that_failed_is_billed() -> None:
    """TSA fails at once and was billed 11 tokens of failed tries, which its error holds; Planner fails later."""
    ledger: list[LedgerRow] = []

    def reply(request: ChatRequest) -> str:
        if request.role in ("helper:TSA", "helper:Planner"):
            raise CallFailed(request.role, (LedgerRow(role=request.role, model="slow", input_tokens=11),))
        return answer(request)

    with pytest.raises(CallFailed, match="helper:TSA"):
        notes_of(SlowModel(reply, {**SLOW, "helper:TSA": 0.0}), ledger, 6)
    assert [row.role for row in ledger] == [f"helper:{n}" for n in ("DCE", "TOR", "Planner", "Verifier", "Memory")]
    assert ledger[2].input_tokens == 11


def test_a_call_that_was_cancelled_from_within_hides_no_other_failure() -> None:
    def reply(request: ChatRequest) -> str:
        if request.role == "helper:Memory":
            raise asyncio.CancelledError
        raise CallFailed(request.role, ())

    with pytest.raises(CallFailed, match="helper:DCE"):
        notes_of(SlowModel(reply, SLOW), [], 6)


async def test_an_interrupted_decision_leaves_no_call_behind() -> None:
    model, state = SlowModel(answer, dict.fromkeys(SLOW, 30.0)), busy_state()
    asked = collect_notes(state, POOL, POOL_OF_SIX, model, 7, [], 0, agent_request(Act(), state), 6)
    task = asyncio.create_task(asked)
    await asyncio.sleep(0.05)
    assert len(model.under_way) == 6
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    await asyncio.sleep(0.01)
    assert model.under_way == set()


async def test_what_has_come_back_before_an_interruption_is_billed() -> None:
    """DCE takes long; the others have answered when the decision is given up, as where an advice takes too long."""
    model, state, ledger = SlowModel(answer, {"helper:DCE": 30.0}), busy_state(), list[LedgerRow]()
    asked = collect_notes(state, POOL, POOL_OF_SIX, model, 7, ledger, 0, agent_request(Act(), state), 6)
    task = asyncio.create_task(asked)
    while len(model.requests) < 6 or model.under_way != {"helper:DCE"}:
        await asyncio.sleep(0.001)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert [row.role for row in ledger] == [f"helper:{name}" for name in POOL if name != "DCE"]


def experiment(concurrency: int = 6) -> ExperimentSettings:
    return ExperimentSettings(cadence="turn", helpers=HelperSettings(form="llm", concurrency=concurrency))


@pytest.mark.parametrize("fits", [0, 1, 3, 6])
def test_a_decision_asks_as_many_as_its_budget_has_room_for(fits: int) -> None:
    state = busy_state()
    prefix = agent_request(Act(), state).most_tokens()
    limit = sum(helper_cap(POOL_OF_SIX[name], prefix) for name in POOL[:fits]) + (1 if fits < 6 else 0)
    budget = BudgetSettings(decision=limit)
    model = SlowModel(lambda r: answer(r) if r.role != "agent" else GOLD[2], SLOW)
    ledger: list[LedgerRow] = []
    setup = setup_for(model, helpers=list(POOL_OF_SIX.values()), budget=budget)
    decided = asyncio.run(Decider(setup, experiment(), ledger).decide(state, 9))
    asked = [row.role for row in ledger if row.role != "agent"]
    assert asked == [f"helper:{name}" for name in POOL[:fits]] and model.most == max(fits, 1)
    assert decided.decision.subset == POOL[:fits] and decided.decision.dropped == tuple(reversed(POOL[fits:]))
    notes = sum(note.tokens for note in decided.decision.notes)
    assert budget_tokens(tuple(ledger), "helper") + notes <= limit


@given(
    limits=st.fixed_dictionaries({}, optional={key: st.integers(0, 9000) for key in ("decision", "episode", "run")}),
    episodes=st.integers(1, 3),
    concurrency=st.integers(1, 6),
)
@settings(max_examples=25, deadline=None)
def test_no_limit_is_passed_by_episodes_and_helpers_side_by_side(
    limits: dict[str, int], episodes: int, concurrency: int
) -> None:
    run = RunBudget(BudgetSettings.model_validate(limits))
    model = SlowModel(lambda r: answer(r) if r.role != "agent" else GOLD[len(r.messages) // 2 % 3], {})
    setups = [setup_for(model, helpers=list(POOL_OF_SIX.values())) for _ in range(episodes)]
    made = [setup.__class__(**{**setup.__dict__, "budget": run.episode()}) for setup in setups]

    async def play() -> Sequence[object]:
        return await asyncio.gather(*(run_episode(setup, experiment(concurrency)) for setup in made))

    done = asyncio.run(play())
    played = [episode for episode in done if isinstance(episode, Episode)]
    assert len(played) == episodes and all(episode.outcome.status != "error" for episode in played)
    assert sum(map(spent_tokens, played)) <= limits.get("run", 10**9)
    for episode in played:
        assert spent_tokens(episode) <= limits.get("episode", 10**9)
        for decision in episode.decisions:
            rows = tuple(row for row in episode.ledger if row.turn == decision.turn)
            spent = budget_tokens(rows, "helper") + sum(note.tokens for note in decision.notes)
            assert spent <= limits.get("decision", 10**9)


def test_how_many_are_asked_at_once_changes_no_hash() -> None:
    assert config_hash(experiment(1)) == config_hash(experiment(6)) != config_hash(ExperimentSettings(cadence="turn"))


def test_runs_that_ask_no_question_have_the_prompts_they_had() -> None:
    plain = run_prompts(RunSettings())
    assert not any(name.startswith("questions/") for name in plain)
    chooser = SelectorSettings(name="prompted", options={"form": "on_prefix"})
    for asking in (RunSettings(helpers=HelperSettings(form="llm")), RunSettings(selector=chooser)):
        more = run_prompts(asking)
        assert {name: more[name] for name in plain} == plain
        assert {name for name in more if name not in plain} >= {"questions/dce.v3", "questions/selection.v2"}


def test_the_selector_is_asked_within_the_budget_too() -> None:
    state = busy_state()
    own = agent_request(Act(), state)
    model = SlowModel(lambda r: f"{r.prefill} TSA, Memory" if r.role == "selector" else GOLD[2], {})
    for room, subset in ((0, ()), (1, ("TSA", "Memory"))):
        context = SelectorContext(POOL_OF_SIX, model, request=lambda _: own)
        selector = SELECTORS.load("prompted")(context, form="on_prefix")
        limit = getattr(selector, "most_tokens")(state) - 1 + room  # noqa: B009
        budget, ledger = BudgetSettings(episode=limit), list[LedgerRow]()
        setup = setup_for(model, helpers=list(POOL_OF_SIX.values()), selector=selector, budget=budget)
        decided = asyncio.run(Decider(setup, experiment(), ledger).decide(state, 9)).decision
        assert (len([row for row in ledger if row.role == "selector"]), decided.dropped) == (
            room,
            tuple(reversed(subset)),
        )
        assert budget_tokens(tuple(ledger), "selector") <= limit
