"""Asking for helpers against endpoints that do not do as they are told: no schema, prose, cut replies."""

import asyncio
import json
import random
from typing import Any

import pytest

from fama.episodes.state import VisibleState
from fama.models.client import OpenAIChat
from fama.selection.asking import repair_tokens, room_for
from fama.selection.base import Allowance, Selection, SelectorContext
from fama.selection.health import HealthTally, SelectorHealth, state_of
from fama.selection.selectors.prompted import build
from fama.text.tokens import estimate_tokens
from tests.support.fake_endpoint import Endpoint, said
from tests.support.prompted_states import HELPERS, KEY, STATE

USAGE = {"prompt_tokens": 300, "completion_tokens": 20}


def ask(endpoint: Endpoint, times: int = 1, **options: Any) -> tuple[list[Selection], SelectorHealth]:
    """Selections of one selector at an endpoint, and its health."""

    async def all_of_them() -> list[Selection]:
        async with OpenAIChat("m", endpoint.base_url, retries=0) as model:
            selector: Any = build(SelectorContext(helpers=HELPERS, model=model), **options)
            return [await selector.select(STATE, Allowance(), random.Random(0)) for _ in range(times)]

    chosen = asyncio.run(all_of_them())
    tally = HealthTally()
    for one in chosen:
        tally.add_selection(state_of(one.ledger), one.subset, one.ledger)
    return chosen, tally.health()


def test_an_endpoint_that_ignores_the_schema_and_writes_prose() -> None:
    """Four selections, each asked again once, none readable: nothing is chosen, and the record says so."""
    endpoint = Endpoint()
    endpoint.answer = lambda body: said("I believe that this conversation needs careful help.", usage=USAGE)
    chosen, health = ask(endpoint, times=4)
    assert [one.subset for one in chosen] == [()] * 4 and len(endpoint.asked) == 8
    assert all(body["response_format"]["type"] == "json_schema" for body in endpoint.asked)
    assert health == SelectorHealth(selections=4, unparsed=4, fell_back=4, repaired=4, truncated=0, subsets=0)
    assert health.broken


@pytest.mark.parametrize(
    ("content", "subset"),
    [
        ('Sure:\n```json\n{"helpers": ["TSA"]}\n```\nAnything else?', ("TSA",)),
        ("DCE, Memory", ("DCE", "Memory")),
        ("None.", ()),
    ],
)
def test_an_endpoint_that_ignores_the_schema_but_answers(content: str, subset: tuple[str, ...]) -> None:
    endpoint = Endpoint()
    endpoint.answer = lambda body: said(content, usage=USAGE)
    (chosen,), health = ask(endpoint)
    assert chosen.subset == subset and len(endpoint.asked) == 1
    assert (health.selections, health.unparsed, health.repaired, health.chosen) == (1, 0, 0, 1)


def test_an_endpoint_that_refuses_the_schema_is_asked_without_it_from_then_on() -> None:
    endpoint = Endpoint()

    def answer(body: dict[str, Any]) -> Any:
        if "response_format" in body:
            return 400, {"error": {"message": "response_format of type json_schema is not supported"}}
        return said('{"helpers": ["DCE"]}', usage=USAGE)

    endpoint.answer = answer
    chosen, health = ask(endpoint, times=2)
    assert [one.subset for one in chosen] == [("DCE",)] * 2
    assert ["response_format" in body for body in endpoint.asked] == [True, False, False]
    assert (health.unparsed, health.repaired) == (0, 0)


def test_other_refusals_are_errors_of_the_model() -> None:
    from fama.models.base import CallFailed

    endpoint = Endpoint()
    endpoint.answer = lambda body: (400, {"error": {"message": "no such model"}})
    with pytest.raises(CallFailed, match="no such model"):
        ask(endpoint)
    assert len(endpoint.asked) == 1


def test_a_cut_reply_counts_as_truncated_and_its_complete_names_as_chosen() -> None:
    endpoint = Endpoint()

    def answer(body: dict[str, Any]) -> Any:
        text = json.dumps({"helpers": ["DCE", "TSA", "Memory"]})[: 3 * body["max_tokens"]]
        status, tree = said(text, usage={"prompt_tokens": 300, "completion_tokens": body["max_tokens"]})
        tree["choices"][0]["finish_reason"] = "length"
        return status, tree

    endpoint.answer = answer
    (chosen,), health = ask(endpoint, reply_tokens=9)  # 27 signs: {"helpers": ["DCE", "TSA", "
    assert chosen.subset == ("DCE", "TSA")
    assert (health.truncated, health.unparsed, health.repaired) == (1, 0, 0)
    (chosen,), health = ask(endpoint, reply_tokens=5)  # 15 signs: {"helpers": ["D
    assert chosen.subset == () and len(chosen.ledger) == 2
    assert (health.truncated, health.unparsed, health.repaired) == (1, 1, 1)


def test_thoughts_that_never_end_are_unparsed() -> None:
    endpoint = Endpoint()
    endpoint.answer = lambda body: said('<think>maybe {"helpers": ["DCE"]}', usage=USAGE)
    (chosen,), health = ask(endpoint)
    assert chosen.subset == () and health.unparsed == 1


@pytest.mark.parametrize(
    ("tokens", "room"), [(None, 50), (49, None), (100, None), (200, 200), (249, 249), (250, 250), (251, 250)]
)
def test_what_a_selection_may_take_is_its_first_call_and_the_repairs_that_fit(
    tokens: int | None, room: int | None
) -> None:
    """A first call of 200 tokens and repairs of 50; without a limit only the fixed cap of 50 is known."""

    class Asking:
        name, track, cost_cap = "asking", "prospective", 50

        def most_tokens(self, state: VisibleState) -> int:
            return 200

        def repair_tokens(self, state: VisibleState) -> int:
            return 50

        async def select(self, state: VisibleState, allowance: Allowance, rng: random.Random) -> Selection:
            raise AssertionError("not asked here")

    assert room_for(KEY.task, Asking(), STATE, Allowance(tokens)) == room


def test_repairs_send_the_replies_before_them() -> None:
    """A call of 100 with replies of 10: each further message pair adds 10 + 2 + 16, so 128 and 156."""
    assert [repair_tokens(100, 10, "Once more", n) for n in range(3)] == [0, 128, 284]
    assert estimate_tokens("Once more") == 2
