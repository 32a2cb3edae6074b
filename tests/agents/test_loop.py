import logging
from dataclasses import replace
from pathlib import Path

import pytest

from fama.agents.loop import run_episode
from fama.episodes.records import Episode, LedgerRow
from fama.episodes.state import VisibleState, state_at
from fama.errors import EnvironmentFault, ModelError, UserFault
from fama.helpers.base import HelperContext, HelperReply
from fama.models.base import CallFailed, ChatModel, ChatReply, ChatRequest
from fama.models.cache import CachedChat
from fama.randomness import derive_seed
from fama.selection.base import Allowance, Selection
from fama.selection.budget import spent_tokens
from fama.settings import BudgetSettings, ExperimentSettings, LimitSettings
from tests.support.toy_agents import DEMONSTRATION, GOLD, POLICY, Guide, LampWorld, Recorder, act_line, lines, setup_for

ACT = ExperimentSettings()


def limits(**values: float) -> ExperimentSettings:
    return ExperimentSettings(limits=LimitSettings.model_validate(values))


async def test_gold_replies_solve_the_task() -> None:
    world = LampWorld()
    model = lines(*GOLD)
    episode = await run_episode(setup_for(model, world, demonstrations=[DEMONSTRATION]), ACT)
    assert episode.outcome.status == "success"
    assert episode.outcome.reason == "closed"
    assert (episode.reward, episode.reward_detail) == (1.0, {"state": 1.0})
    assert [m.role for m in episode.messages] == [
        "system",
        "user",
        "assistant",
        "tool",
        "assistant",
        "tool",
        "assistant",
    ]
    assert episode.messages[0].content == POLICY
    assert [d.message_index for d in episode.decisions] == [2, 4, 6]
    assert [row.turn for row in episode.ledger] == [0, 1, 2]
    assert world.seed == 11
    assert len({request.seed for request in model.requests}) == 3
    assert Episode.model_validate_json(episode.model_dump_json()) == episode
    assert state_at(episode, 1).messages == episode.messages[1:4]


async def test_calls_answered_from_the_response_cache_count_with_the_seconds_they_once_took(tmp_path: Path) -> None:
    row = LedgerRow(role="agent", model="toy", input_tokens=9, output_tokens=1, seconds=100.0)
    setup = setup_for(lines())
    first, again = [
        await run_episode(
            replace(
                setup, model=CachedChat(Recorder(lambda _, n: ChatReply(text=GOLD[n], usage=row), "toy"), tmp_path)
            ),
            ACT,
        )
        for _ in range(2)
    ]
    assert first.outcome.status == again.outcome.status == "success"
    assert [row.cache_hit for row in again.ledger] == [True] * 3
    assert first.seconds is not None and first.seconds < 100
    assert again.seconds is not None and 300 <= again.seconds < 400


async def test_note_is_in_the_prompt_but_not_in_the_history() -> None:
    model = lines(*GOLD)
    episode = await run_episode(setup_for(model, helpers=[Guide()]), ACT)
    assert model.requests[0].prefill == 'Note: Call find_lamp first.\n{"tool": "'
    assert "find_lamp first" not in "".join(m.model_dump_json() for m in episode.messages)
    assert "find_lamp first" not in "".join(str(m) for request in model.requests for m in request.messages)
    assert [(d.subset, d.propensity, len(d.notes)) for d in episode.decisions] == [(("Guide",), 1.0, 1)] * 3


async def test_rejected_note_is_dropped_and_counted() -> None:
    model = lines(*GOLD)
    episode = await run_episode(setup_for(model, helpers=[Guide(text="Call the tool fly_away now.")]), ACT)
    assert model.requests[0].prefill == '{"tool": "'
    assert episode.decisions[0].notes == ()
    assert "fly_away" in episode.decisions[0].rejected[0].reason


async def test_several_notes_share_one_line() -> None:
    model = lines(*GOLD)
    await run_episode(setup_for(model, helpers=[Guide(), Guide("Other", "Be brief.")]), ACT)
    assert model.requests[0].prefill == 'Note: Call find_lamp first. Be brief.\n{"tool": "'


@pytest.mark.parametrize(
    ("settings", "reason", "decisions"),
    [(limits(steps=2), "max_steps", 2), (limits(tokens=1), "max_tokens", 1), (limits(seconds=1e-9), "wall_time", 0)],
)
async def test_each_limit_has_its_own_reason(settings: ExperimentSettings, reason: str, decisions: int) -> None:
    episode = await run_episode(setup_for(lines(*GOLD)), settings)
    assert (episode.outcome.status, episode.outcome.reason) == ("failure", reason)
    assert len(episode.decisions) == decisions
    assert episode.reward == 0.0


async def test_cycle_of_calls_is_a_loop() -> None:
    world = LampWorld()
    other = act_line("find_lamp", room="attic")
    replies = [GOLD[0], other, act_line("respond", text="One moment."), GOLD[0], other, GOLD[0], GOLD[2]]
    episode = await run_episode(setup_for(lines(*replies), world), ACT)
    assert (episode.outcome.reason, len(episode.decisions)) == ("loop", 6)
    assert len(world.actions) == 5  # the third identical call is not carried out


async def test_same_words_to_the_same_words_are_a_loop() -> None:
    episode = await run_episode(setup_for(lines(act_line("respond", text="Hm?"))), ACT)
    assert (episode.outcome.reason, len(episode.decisions)) == ("loop", 4)  # the first one answered other words


async def test_repair_round_is_billed_and_leaves_no_trace() -> None:
    model = lines('{"tool": "find_lamp", "arguments": [1]}', *GOLD)
    episode = await run_episode(setup_for(model, helpers=[Guide()]), ACT)
    assert episode.outcome.status == "success"
    assert [row.parsed for row in episode.ledger] == [False, True, True, True]
    assert [row.turn for row in episode.ledger] == [0, 0, 1, 2]
    repair = model.requests[1]
    assert [m["role"] for m in repair.messages[-2:]] == ["assistant", "user"]
    assert "not a JSON object" in repair.messages[-1]["content"]
    assert repair.prefill == '{"tool": "'
    assert len(model.requests[2].messages) == len(model.requests[0].messages) + 2
    assert "Format error" not in episode.model_dump_json()


async def test_every_request_has_the_seed_of_its_turn_and_attempt() -> None:
    """Below 2^31, as servers want them."""
    model = lines('{"tool": "find_lamp", "arguments": [1]}', *GOLD)
    await run_episode(setup_for(model), ACT)
    wanted = [derive_seed(12, "decision", turn, attempt) % 2**31 for turn, attempt in ((0, 0), (0, 1), (1, 0), (2, 0))]
    assert [request.seed for request in model.requests] == wanted


async def test_helpers_ask_their_own_model_if_there_is_one() -> None:
    asked: list[ChatModel | None] = []

    class Asking(Guide):
        async def note(self, state: VisibleState, context: HelperContext) -> HelperReply:
            asked.append(context.model)
            return HelperReply(None)

    backbone, own = lines(*GOLD), lines("never asked", name="own")
    setup = setup_for(backbone, helpers=[Asking()])
    await run_episode(setup, ACT)
    await run_episode(replace(setup, helper_model=own, model=lines(*GOLD)), ACT)
    assert asked == [backbone] * 3 + [own] * 3


async def test_two_bad_replies_end_the_episode() -> None:
    episode = await run_episode(setup_for(lines("no idea", "none at all")), ACT)
    assert (episode.outcome.status, episode.outcome.reason) == ("failure", "unparseable")
    assert [row.parsed for row in episode.ledger] == [False, False]
    assert episode.messages[-1].content == '{"tool": "none at all'
    assert episode.decisions[0].message_index == len(episode.messages) - 1


@pytest.mark.parametrize(
    ("fault", "boundary", "reason"),
    [
        (EnvironmentFault("no fuse"), "environment", "no fuse"),
        (UserFault("asleep"), "user", "asleep"),
        (KeyError("lamp"), "harness", "KeyError: 'lamp'"),
    ],
)
async def test_errors_name_their_boundary_and_keep_the_bill(
    fault: Exception, boundary: str, reason: str, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.CRITICAL + 1)
    episode = await run_episode(setup_for(lines(*GOLD), LampWorld(fault=fault)), ACT)
    assert (episode.outcome.status, episode.outcome.boundary, episode.outcome.reason) == ("error", boundary, reason)
    assert episode.reward is None
    assert len(episode.ledger) == 1
    assert len(episode.decisions) == 1


async def test_model_error_in_the_second_decision() -> None:
    episode = await run_episode(setup_for(lines(GOLD[0], ModelError("gone"))), ACT)
    assert (episode.outcome.status, episode.outcome.boundary) == ("error", "model")
    assert len(episode.ledger) == len(episode.decisions) == 1


class Coin:
    """Counts how often it is asked; says that the subset was drawn by a coin."""

    name = "coin"
    track = "prospective"
    cost_cap = 50

    def __init__(self) -> None:
        self.asked: list[Allowance] = []

    async def select(self, state: VisibleState, allowance: Allowance, rng: object) -> Selection:
        self.asked.append(allowance)
        row = LedgerRow(role="selector", model="m", input_tokens=30, output_tokens=10)
        return Selection(("Guide", "Other"), {"Guide": 0.9, "Other": 0.2}, propensity=0.5, ledger=(row,))


@pytest.mark.parametrize(("cadence", "times"), [("episode", 1), ("turn", 3)])
async def test_cadence(cadence: str, times: int) -> None:
    coin = Coin()
    settings = ExperimentSettings.model_validate({"cadence": cadence})
    helpers = [Guide(), Guide("Other", None)]
    episode = await run_episode(setup_for(lines(*GOLD), helpers=helpers, selector=coin), settings)
    assert len(coin.asked) == times
    assert [d.subset for d in episode.decisions] == [("Guide", "Other")] * 3
    assert [row.turn for row in episode.ledger if row.role == "selector"] == list(range(times))


async def test_the_cadence_change_selects_only_while_a_change_is_ahead(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("fama.agents.preparation.change_ahead", lambda state: state.turn == 1)
    coin = Coin()
    settings = ExperimentSettings.model_validate({"cadence": "change"})
    episode = await run_episode(
        setup_for(lines(*GOLD), helpers=[Guide(), Guide("Other", None)], selector=coin), settings
    )
    assert [d.subset for d in episode.decisions] == [(), ("Guide", "Other"), ()]
    assert [d.propensity for d in episode.decisions] == [1.0, 0.5, 1.0] and len(coin.asked) == 1


async def test_budget_drops_the_least_promising_and_voids_the_propensity() -> None:
    coin = Coin()
    setup = setup_for(
        lines(*GOLD), helpers=[Guide(), Guide("Other", "Be brief.")], selector=coin, budget=BudgetSettings(decision=75)
    )
    episode = await run_episode(setup, ACT)
    first, second = episode.decisions[:2]
    assert coin.asked == [Allowance(75)]
    assert (first.subset, first.dropped, first.propensity) == (("Guide",), ("Other",), None)  # 75 - 40 < 2 caps of 20
    assert (second.subset, second.dropped, second.propensity) == (("Guide", "Other"), (), 0.5)
    assert setup.budget.run.reserved == 0
    notes = sum(note.tokens for d in episode.decisions for note in d.notes)
    assert setup.budget.run.spent == 40 + notes


async def test_selector_that_could_overspend_is_not_asked() -> None:
    coin = Coin()
    setup = setup_for(lines(*GOLD), helpers=[Guide()], selector=coin, budget=BudgetSettings(run=49))
    episode = await run_episode(setup, ACT)
    assert coin.asked == []
    assert (episode.decisions[0].subset, episode.decisions[0].propensity) == ((), None)


async def test_tokens_are_held_for_who_is_asked_and_given_back() -> None:
    """The selector's cap while it chooses, once, those of its two helpers, 20 each, while they write, nothing after."""
    held: list[tuple[str, int]] = []

    class Watched(Coin):
        async def select(self, state: VisibleState, allowance: Allowance, rng: object) -> Selection:
            held.append(("selector", setup.budget.run.reserved))
            return await super().select(state, allowance, rng)

    class Watching(Guide):
        async def note(self, state: VisibleState, context: HelperContext) -> HelperReply:
            held.append((self.name, setup.budget.run.reserved))
            return HelperReply(None)

    class Remembering(Recorder):
        async def complete(self, request: ChatRequest) -> ChatReply:
            held.append(("agent", setup.budget.run.reserved))
            return await super().complete(request)

    helpers = [Watching(), Watching("Other")]
    model = Remembering(lambda _, n: GOLD[n], "toy")
    setup = setup_for(model, helpers=helpers, selector=Watched(), budget=BudgetSettings(run=1000))
    await run_episode(setup, ACT)
    assert held == [("selector", 50), *[("Guide", 40), ("Other", 40), ("agent", 0)] * 3]


@pytest.mark.parametrize(("missing", "kept"), [(0, True), (1, False)])
async def test_the_request_counts_for_a_helper_that_sends_it_along(missing: int, kept: bool) -> None:
    sizes: list[int] = []

    class Riding(Guide):
        on_prefix = True

        async def note(self, state: VisibleState, context: HelperContext) -> HelperReply:
            assert context.request is not None
            sizes.append(context.request.most_tokens())
            return HelperReply(None)

    await run_episode(setup_for(lines(*GOLD), helpers=[Riding()]), ACT)
    budget = BudgetSettings(decision=sizes[0] + 20 - missing)
    episode = await run_episode(setup_for(lines(*GOLD), helpers=[Riding()], budget=budget), ACT)
    assert (episode.decisions[0].subset, episode.decisions[0].dropped) == (
        (("Guide",), ()) if kept else ((), ("Guide",))
    )


async def test_the_seconds_of_decisions_are_a_part_of_the_episodes() -> None:
    episode = await run_episode(setup_for(lines(*GOLD), helpers=[Guide()]), ACT)
    assert episode.seconds is not None
    assert 0 < sum(decision.seconds or 0 for decision in episode.decisions) <= episode.seconds + 0.001


class Costly(Guide):
    async def note(self, state: VisibleState, context: HelperContext) -> HelperReply:
        row = LedgerRow(role=f"helper:{self.name}", model="m", input_tokens=7)
        if state.turn == 1:
            raise ModelError("gone")
        return HelperReply("Be brief.", (row,))


async def test_a_selector_that_names_a_helper_which_the_pool_lacks_is_an_error_not_a_choice_of_nobody() -> None:
    episode = await run_episode(setup_for(lines(*GOLD), helpers=[Guide()], selector=Coin()), ACT)
    assert episode.outcome.boundary == "harness"
    assert "selector coin: chose 'Other', which is not in the pool; known: Guide" in (episode.outcome.reason or "")


async def test_failing_helper_is_an_error_and_what_was_spent_stays() -> None:
    setup = setup_for(lines(*GOLD), helpers=[Costly()])
    episode = await run_episode(setup, ACT)
    assert episode.outcome.boundary == "model"
    assert [row.role for row in episode.ledger] == ["helper:Guide", "agent"]
    assert setup.budget.run.reserved == 0


async def test_environment_that_cannot_be_made_is_an_error_of_its_episode(caplog: pytest.LogCaptureFixture) -> None:
    def broken() -> LampWorld:
        raise EnvironmentFault("no house")

    episode = await run_episode(replace(setup_for(lines(*GOLD)), environment=broken), ACT)
    assert episode.outcome.boundary == "environment"
    assert episode.messages == ()


async def test_lone_surrogates_can_be_stored() -> None:
    model = Recorder(lambda request, n: act_line("respond", text="a\ud800b") if n == 0 else GOLD[2], "toy")
    episode = await run_episode(setup_for(model), ACT)
    assert episode.messages[2].content == "a?b"
    assert episode.model_dump_json()


async def test_what_failed_calls_of_a_helper_were_billed_counts_on_the_limit_of_the_run() -> None:
    class Failing(Guide):
        cost_cap = 30

        async def note(self, state: VisibleState, context: HelperContext) -> HelperReply:
            row = LedgerRow(role="helper:Guide", model="m", input_tokens=20, output_tokens=5, parsed=False)
            raise CallFailed("gone", (row,))

    setup = setup_for(lines(*GOLD), helpers=[Failing()], budget=BudgetSettings(run=100))
    episode = await run_episode(setup, ACT)
    assert episode.outcome.boundary == "model"
    run = setup.budget.run
    assert (run.spent, run.reserved) == (spent_tokens(episode), 0) == (25, 0)
