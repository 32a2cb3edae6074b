"""The advisor's memory of conversations, and what it refuses."""

import asyncio
import json
import random
import shutil
import threading
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

import fama
from fama.advising.arguments import is_quick, pool_settings, warn_of_other_notes
from fama.advising.conversation import read_conversation
from fama.advising.session import Session, Sessions
from fama.agents.strategies.base import Placement
from fama.episodes.state import TurnReading, VisibleState
from fama.errors import BadInput, FamaError, ModelError
from fama.helpers.base import HELPERS, HelperContext, HelperReply
from fama.helpers.pool import build_pool, forms_of
from fama.models.base import ChatRequest
from fama.selection.base import Allowance, Selection, SelectorContext
from fama.selection.router.checkpoint import load_router
from fama.selection.selectors.learned import LearnedSelector
from fama.settings import HelperSettings
from tests.support.order_requests import AGREED, BUSY, LOOKED_UP, PATTERNS, SYSTEM, TOOLS, USER, outcome
from tests.support.slow_models import SlowModel
from tests.support.toy_agents import Recorder

ASKING = HelperSettings(pool=("TSA:llm",), reading="patterns")
LINEAR = Path(__file__).resolve().parents[2] / "checkpoints/helpdesk-linear"


def test_a_note_is_remembered_and_a_repeated_request_gets_what_it_got() -> None:
    with fama.Advisor("all", helpers=PATTERNS) as advisor:
        first = advisor.advise(LOOKED_UP, TOOLS)
        assert [note.text for note in first.notes] == ["Suggested next tool: respond. Ask for a yes to cancel_order."]
        assert first.session.noted == ((1, first.notes[0]),)
        second = advisor.advise(AGREED, TOOLS)
        assert [note.text for note in second.notes] == ['Suggested next tool: cancel_order with order_id "W1".']
        assert second.session.noted == ((1, first.notes[0]), (2, second.notes[0]))
        assert second.session.spent == first.notes[0].tokens + second.notes[0].tokens
        assert outcome(advisor.advise(LOOKED_UP, TOOLS)) == outcome(first)
        assert outcome(advisor.advise(AGREED, TOOLS)) == outcome(second)
    with fama.Advisor("all", helpers=PATTERNS) as other:
        assert other.advise(AGREED, TOOLS, session=first.session).session == second.session
        assert other.advise(AGREED, TOOLS, session=second.session).session.noted == second.session.noted


def test_a_router_that_learned_from_notes_of_another_form_is_told(caplog: pytest.LogCaptureFixture) -> None:
    """A checkpoint of before does not name its helpers' forms: one of helper agents got templates without a word."""
    turn = LINEAR.with_name("helpdesk-turn")
    for pool, told in ((HelperSettings(), False), (HelperSettings(form="llm"), True), (PATTERNS, True)):
        caplog.clear()
        warn_of_other_notes(turn, pool)
        assert ("helpdesk-turn learned from outcomes of other helper texts" in caplog.text) is told, pool
        assert ("if it was trained with another form, set that one" in caplog.text) is told, pool
    caplog.clear()
    with fama.Advisor(turn, helpers=PATTERNS):
        assert "helpdesk-turn learned from outcomes of other helper texts" in caplog.text
    caplog.clear()
    with fama.Advisor("all", helpers=PATTERNS):
        assert caplog.text == ""


def test_a_router_that_names_its_helpers_forms_is_given_notes_of_these(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    folder = tmp_path / "router"
    shutil.copytree(LINEAR, folder)
    manifest = json.loads((folder / "router.json").read_text(encoding="utf-8"))
    forms = {**dict.fromkeys(manifest["pool"], "template"), "TSA": "llm"}
    (folder / "router.json").write_text(json.dumps({**manifest, "forms": forms}), encoding="utf-8")
    assert forms_of(pool_settings(None, folder)) == forms
    with pytest.raises(BadInput, match="a model writes the notes of TSA; give model, or its form template"):
        fama.Advisor(folder)
    warn_of_other_notes(folder, HelperSettings(pool=manifest["pool"], forms={"TSA": "llm"}))
    assert "TSA (llm)" not in caplog.text
    with fama.Advisor(folder, helpers=PATTERNS):
        assert "router learned from notes of TSA (llm), here TSA (template); if it was" in caplog.text
    (folder / "router.json").write_text(json.dumps({**manifest, "forms": {"TSA": "llm"}}), encoding="utf-8")
    with pytest.raises(BadInput, match=r"router.json.*forms: are not of the helpers of the pool"):
        fama.Advisor(folder)


@pytest.mark.parametrize("placement", ["assistant", "user", "system"])
async def test_a_reply_that_the_caller_began_gets_no_note(placement: Placement) -> None:
    begun = [*LOOKED_UP, {"role": "assistant", "content": "Sure,"}]
    with fama.Advisor("all", helpers=PATTERNS, placement=placement, prefill="flag") as advisor:
        for advice in (
            advisor.advise(begun, TOOLS),
            await advisor.advise_async(begun, TOOLS),
            await advisor.advise_here(begun, TOOLS),
        ):
            assert advice.messages() == begun and (advice.text, advice.opening, advice.extra_body) == ("", "", {})
            assert (advice.subset, advice.notes, advice.session.noted) == ((), (), ())
        assert len(advisor.advise(LOOKED_UP, TOOLS).notes) == 1


def test_a_content_that_is_one_part_gets_another() -> None:
    part = {"type": "text", "text": "Please cancel my order W1, I do not need it."}
    asked = [*LOOKED_UP, {"role": "user", "content": part}]
    with fama.Advisor("all", helpers=PATTERNS, placement="user") as advisor:
        advice = advisor.advise(asked, TOOLS)
    assert advice.text and advice.messages()[-1]["content"] == [part, {"type": "text", "text": f"Note: {advice.text}"}]


def test_an_episodes_selection_is_kept_for_the_conversation() -> None:
    asked: list[int] = []

    def reply(request: ChatRequest, number: int) -> str:
        asked.append(number)
        return '{"helpers": ["Memory"]}'

    with fama.Advisor("prompted", helpers=PATTERNS, model=Recorder(reply, "toy"), cadence="episode") as advisor:
        first, second = advisor.advise([SYSTEM, USER], TOOLS), advisor.advise(LOOKED_UP, TOOLS)
        assert (first.decision.selection, second.decision.selection) == ("chosen", "by_cadence")
        assert first.subset == second.subset == ("Memory",) and len(asked) == 1
        assert first.usage.tokens and second.usage.tokens == 0
        advisor.advise([SYSTEM, {"role": "user", "content": "Another one."}], TOOLS)
        assert len(asked) == 2


def test_a_router_that_encodes_is_not_quick() -> None:
    """One with an encoder of its own stood still on the endpoint's loop, and every request with it."""
    router = load_router(LINEAR)
    as_setfit = replace(router, manifest=router.manifest.model_copy(update={"kind": "setfit"}))
    helpers = build_pool(HelperSettings())
    one, other = (
        LearnedSelector(found, SelectorContext(helpers, None), router.objective()) for found in (router, as_setfit)
    )
    assert is_quick(LINEAR, one, helpers) and not is_quick(LINEAR, other, helpers)


def test_random_draws_belong_to_the_conversation() -> None:
    with fama.Advisor("random", helpers=PATTERNS) as one, fama.Advisor("random", helpers=PATTERNS) as other:
        drawn = [one.advise([USER], session=Session(f"conversation {n}")).subset for n in range(20)]
        again = [other.advise([USER], session=Session(f"conversation {n}")).subset for n in reversed(range(20))]
    assert drawn == again[::-1] and len(set(drawn)) > 5


def test_what_was_noted_is_known_again_behind_another_time_of_day() -> None:
    def keys(policy: str, *said: dict[str, Any]) -> tuple[list[str], str]:
        return read_conversation([{"role": "system", "content": policy}, *said], TOOLS, None).prefixes()

    reply, thanks = {"role": "assistant", "content": "Which order?"}, {"role": "user", "content": "The one of 9:05"}
    _, first = keys("Now: 09:05:12", USER)
    assert keys("Now: 11:30:00", USER, reply, thanks)[0] == [first]
    assert keys("Now: 11:30:00 and more", USER, reply, thanks)[0] != [first]
    later = {"role": "user", "content": "The one of 9:06"}
    assert keys("Now: 11:30:00", USER, reply, thanks)[1] != keys("Now: 11:30:00", USER, reply, later)[1]


@pytest.mark.parametrize("offered", [TOOLS, TOOLS[::-1], TOOLS[:1], None])
def test_what_was_noted_is_known_again_behind_new_ids_and_other_tools(offered: list[dict[str, Any]] | None) -> None:
    """Some clients make the ids of calls anew for every request; agents leave tools away for a last summary."""
    again = json.loads(json.dumps(AGREED).replace('"c1"', '"c2"'))
    with fama.Advisor("all", helpers=PATTERNS) as advisor:
        first, second = advisor.advise(LOOKED_UP, TOOLS), advisor.advise(again, offered)
    assert again != AGREED and second.session.key == first.session.key
    assert second.session.noted[:1] == first.session.noted == ((1, first.notes[0]),)


def test_a_note_that_is_taken_back_was_never_given() -> None:
    """An endpoint may refuse a request with its note: the agent has not read it then."""
    with fama.Advisor("all", helpers=PATTERNS, budget={"run": 10_000}) as advisor:
        first = advisor.advise(LOOKED_UP, TOOLS)
        advisor.take_back(first)
        assert first.notes and advisor._run_budget.spent == 0
        second = advisor.advise(AGREED, TOOLS)
        assert second.session.key == first.session.key and second.session.noted == ((2, second.notes[0]),)
        assert second.session.spent == advisor._run_budget.spent == second.usage.note_tokens > 0


def test_only_so_many_sessions_are_kept() -> None:
    sessions = Sessions(2)
    for key in "abc":
        sessions.keep(key, Session(key))
    assert len(sessions) == 2 and sessions.find("a") is None
    found = sessions.find(["x", "c", "b"])
    assert found is not None and found.key == "c"


def test_sync_and_async_advice_are_one_and_threads_share_an_advisor() -> None:
    with fama.Advisor(LINEAR, helpers=PATTERNS, price=0.0) as advisor:
        want = outcome(advisor.advise(LOOKED_UP, TOOLS))

        async def both() -> list[tuple[Any, ...]]:
            inside = advisor.advise(LOOKED_UP, TOOLS)  # as in a notebook, whose cells run in an event loop
            return [outcome(inside), *map(outcome, await asyncio.gather(*[advisor.advise_async(LOOKED_UP, TOOLS)] * 1))]

        got = asyncio.run(both())
        threads = [
            threading.Thread(target=lambda: got.append(outcome(advisor.advise(LOOKED_UP, TOOLS)))) for _ in range(8)
        ]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    assert got == [want] * 10
    assert set(advisor_probabilities(LINEAR)) == {"DCE", "TSA", "TOR", "Planner", "Verifier", "Memory"}


class Noting:
    """A reader that notes the thread that it reads in."""

    def __init__(self) -> None:
        self.threads: list[threading.Thread] = []

    def is_quick(self, state: VisibleState) -> bool:
        return bool(self.threads)

    def steps(self, state: VisibleState) -> Iterator[None]:
        yield from ()

    def read(self, state: VisibleState) -> tuple[TurnReading, ...]:
        self.threads.append(threading.current_thread())
        return ()


class Pacing:
    """A plug-in's helper, which notes the thread that it writes in."""

    name, covers, token_cap, cost_cap = "Pacing", frozenset[str](), 20, 0

    def __init__(self, form: str = "template", **options: Any) -> None:
        self.threads: list[threading.Thread] = []

    async def note(self, state: VisibleState, context: HelperContext) -> HelperReply:
        self.threads.append(threading.current_thread())
        return HelperReply(None)


class Asked:
    """The selector ``none``, which notes the thread that it chooses in."""

    name, track = "none", "prospective"

    def __init__(self) -> None:
        self.threads: list[threading.Thread] = []

    async def select(self, state: VisibleState, allowance: Allowance, rng: random.Random) -> Selection:
        self.threads.append(threading.current_thread())
        return Selection((), {})


async def test_advice_here_is_the_same_and_what_may_take_long_is_computed_elsewhere() -> None:
    here = threading.current_thread()
    with fama.Advisor(LINEAR, helpers=PATTERNS, price=0.0) as advisor:
        want = outcome(advisor.advise(LOOKED_UP, TOOLS))
        reader = Noting()
        advisor._reader = reader  # type: ignore[assignment]
        assert outcome(await advisor.advise_here(LOOKED_UP, TOOLS)) == want
        assert reader.threads == [advisor._thread._thread]
        assert outcome(await advisor.advise_here(LOOKED_UP, TOOLS)) == want
        assert reader.threads == [advisor._thread._thread, here]  # what was read before takes no time
        asked = Asked()
        advisor._selector = asked
        await advisor.advise_here(LOOKED_UP, TOOLS)
        assert asked.threads == [here]
    with pytest.raises(FamaError, match="the advisor is closed"):
        await advisor.advise_here(LOOKED_UP, TOOLS)
    asked = Asked()
    with fama.Advisor(asked, helpers=PATTERNS) as advisor:  # a caller's selector has its own pace
        await advisor.advise_here(LOOKED_UP, TOOLS)
        assert asked.threads == [advisor._thread._thread]
    HELPERS.add("Pacing", Pacing)
    with fama.Advisor("all", helpers=["Pacing"]) as advisor:
        await advisor.advise_here(LOOKED_UP, TOOLS)
        helper = advisor._helpers["Pacing"]
        assert isinstance(helper, Pacing) and helper.threads == [advisor._thread._thread]


def advisor_probabilities(router: Path) -> dict[str, float]:
    with fama.Advisor(router, helpers=PATTERNS) as advisor:
        return dict(advisor.advise([SYSTEM, USER], TOOLS).probabilities)


class EndlessReader:
    """Reads a turn that says ``endless`` sentence by sentence for ever."""

    def is_quick(self, state: VisibleState) -> bool:
        return False

    def steps(self, state: VisibleState) -> Iterator[None]:
        while "endless" in (state.messages[0].content or ""):
            yield

    def read(self, state: VisibleState) -> tuple[TurnReading, ...]:
        return ()


async def test_a_long_turn_holds_up_nobody_else() -> None:
    with fama.Advisor("all", helpers=PATTERNS) as advisor:
        advisor._reader = EndlessReader()  # type: ignore[assignment]
        endless = asyncio.create_task(advisor.advise_async([{"role": "user", "content": "endless"}]))
        advice = await asyncio.wait_for(advisor.advise_async(AGREED, TOOLS), 5)
        assert advice.history and not endless.done()
        endless.cancel()
        with pytest.raises(asyncio.CancelledError):
            await endless
        advisor._thread.wait(asyncio.sleep(0.01))
        left = asyncio.all_tasks(advisor._thread._loop)
        assert not left, "what was given up is read no further"


async def test_a_cancelled_advice_leaves_no_call_behind() -> None:
    model = SlowModel(lambda request: "Call get_order next.", {"helper:TSA": 30.0})
    with fama.Advisor("all", helpers=ASKING, model=model) as advisor:
        task = asyncio.create_task(advisor.advise_async(BUSY, TOOLS))
        while not model.under_way:
            await asyncio.sleep(0.005)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        for _ in range(200):
            if not model.under_way:
                break
            await asyncio.sleep(0.005)
        assert model.under_way == set()


def test_a_failed_helper_is_an_error_and_the_next_request_goes_on() -> None:
    replies: list[str | Exception] = [ModelError("the server is gone"), "Call get_order next."]
    model = Recorder(lambda request, n: replies[n], "toy")
    with fama.Advisor("all", helpers=ASKING, model=model, budget=100_000) as advisor:
        with pytest.raises(ModelError, match="gone"):
            advisor.advise(BUSY, TOOLS)
        assert [note.text for note in advisor.advise(BUSY, TOOLS).notes] == [
            "Suggested next tool: Call get_order next."
        ]


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ({"router": "no/such/folder"}, "no folder of a checkpoint and no selector; known: all, best_fixed"),
        ({"router": "rule", "price": 0.1}, "price: the selector rule does not weigh tokens"),
        ({"router": LINEAR, "price": -1}, "price: -1; give a finite number"),
        ({"router": LINEAR, "price": float("inf")}, "price: inf; give a finite number"),
        ({"router": LINEAR, "helpers": ["TSA"]}, "trained for the pool"),
        ({"router": "all", "helpers": ["TSA:llm"]}, "a model writes the notes of TSA:llm"),
        ({"router": "all", "helpers": "Nobody"}, "unknown helper 'Nobody'"),
        ({"router": "all", "options": {"colour": "red"}}, "colour"),
        ({"router": "prompted"}, "needs a model"),
        ({"router": "all", "model": "http://127.0.0.1:1/v1"}, "is an address; give"),
        ({"router": "all", "model": {"nome": "x"}}, "field 'nome' is unknown"),
        ({"router": "all", "model": "scripted:nobody"}, "unknown scripted model"),
        ({"router": "all", "model": 5}, "model: a int; give a name"),
        ({"router": "all", "budget": 1}, "too few for any helper"),
        ({"router": "all", "budget": -5}, "budget: field 'decision' has a value that does not fit; give a number"),
        ({"router": "all", "budget": {"turn": 500}}, "budget: field 'turn' is unknown"),
        ({"router": "all", "cadence": "turns"}, "cadence: 'turns'; give one of episode, turn, change"),
        ({"router": "all", "placement": "usr"}, "placement: 'usr'; give one of assistant, user, system"),
        ({"router": "all", "prefill": "flags"}, "prefill: 'flags'; give one of message, flag, words"),
        ({"router": "all", "sessions": 0}, "sessions: 0; give the number of requests to remember"),
        ({"router": "all", "benchmark": "helpdesk"}, "benchmark: the file of tool roles is found by both; give domain"),
        ({"router": LINEAR.with_name("helpdesk-retrospective")}, "whole failed episodes"),
        ({"router": object()}, "give a checkpoint's folder"),
    ],
)
def test_what_cannot_be_used_is_refused_in_a_line(arguments: dict[str, Any], words: str) -> None:
    arguments.setdefault("helpers", PATTERNS)
    with pytest.raises(BadInput) as caught:
        fama.Advisor(**arguments)
    assert words in str(caught.value) and "\n" not in str(caught.value)
    assert not [thread for thread in threading.enumerate() if thread.name == "the advisor" and thread.is_alive()]


def test_a_closed_advisor_says_so() -> None:
    advisor = fama.Advisor("all", helpers=PATTERNS)
    advisor.close()
    advisor.close()
    with pytest.raises(FamaError, match="the advisor is closed"):
        advisor.advise([USER])
