"""The spending of an advice that fails: it is told, limits count it, and the endpoint does, too."""

from collections.abc import Iterator
from typing import Any

import httpx
import pytest

import fama
from fama.advising.session import Session
from fama.episodes.records import LedgerRow
from fama.episodes.state import VisibleState
from fama.errors import ModelError
from fama.helpers.base import HELPERS, HelperContext, HelperReply
from fama.models.base import CallFailed
from fama.selection.base import Selection
from fama.settings import BudgetSettings, HelperSettings
from tests.support.serving import ScriptedUpstream, endpoint, plain
from tests.support.toy_world import alpha

ANSWER = {"role": "assistant", "content": "Yes?"}


class Failing:
    """A helper whose model is gone while ``fails``."""

    name, covers, token_cap, cost_cap = "Failing", frozenset[str](), 20, 0
    fails = True
    bill: tuple[LedgerRow, ...] = ()

    def __init__(self, form: str = "template", **options: Any) -> None:
        pass

    async def note(self, state: VisibleState, context: HelperContext) -> HelperReply:
        if Failing.fails:
            raise CallFailed("no answer", Failing.bill) if Failing.bill else ModelError("the server is gone")
        return HelperReply(None)


@pytest.fixture(autouse=True)
def helpers() -> Iterator[None]:
    HELPERS.add("Alpha", alpha)
    HELPERS.add("Failing", Failing)
    Failing.fails, Failing.bill = True, ()
    yield
    HELPERS.remove("Alpha")
    HELPERS.remove("Failing")


def advisor(**more: Any) -> fama.Advisor:
    """An advisor of Alpha, who spends 40 tokens, and of one who fails then; each decision reserves 20 for each."""
    return fama.Advisor("all", helpers=HelperSettings(pool=("Alpha", "Failing"), reading="patterns"), **more)


def chat(turns: int) -> list[dict[str, Any]]:
    said = [[{"role": "user", "content": f"Q{n}"}, {"role": "assistant", "content": f"A{n}"}] for n in range(turns)]
    return [*(message for pair in said for message in pair), {"role": "user", "content": "And now?"}]


def test_a_conversations_limit_counts_advice_that_fails() -> None:
    ledger: list[LedgerRow] = []
    with advisor(budget=BudgetSettings(episode=200)) as one:
        for turn in range(5):
            with pytest.raises(ModelError):
                one.advise(chat(turn)[:-1] + [{"role": "user", "content": f"Q{turn}"}], ledger=ledger)
            assert one._run_budget.spent == 40 * (turn + 1)
        advice = one.advise(chat(5), ledger=ledger)
        assert advice.decision.dropped == ("Failing", "Alpha") and advice.usage.tokens == 0
        assert advice.session.spent == one._run_budget.spent == 200 and one._run_budget.reserved == 0
    assert [(row.role, row.input_tokens, row.turn) for row in ledger] == [("helper:Alpha", 40, n) for n in range(5)]


def test_the_bill_of_the_call_that_fails_counts() -> None:
    Failing.bill = (LedgerRow(role="helper:Failing", model="m", input_tokens=7),)
    ledger: list[LedgerRow] = []
    with advisor(budget=BudgetSettings(episode=200)) as one:
        with pytest.raises(ModelError):
            one.advise(chat(0), ledger=ledger)
        assert (one._run_budget.spent, one._run_budget.reserved) == (47, 0)
        Failing.fails = False
        first = one.advise(chat(0))
        assert first.session.spent == 47 + 40 + first.usage.note_tokens
    told = [("helper:Alpha", 40, 0), ("helper:Failing", 7, 0)]
    assert [(row.role, row.input_tokens, row.turn) for row in ledger] == told


async def test_a_conversations_limit_counts_tries_of_a_request() -> None:
    with advisor(budget=BudgetSettings(episode=200)) as one:
        for ask in (one.advise_async, one.advise_here):
            with pytest.raises(ModelError):
                await ask(chat(0))
        given = Session("by hand")
        for _ in range(3):
            with pytest.raises(ModelError):
                one.advise(chat(0), session=given)
        assert one.advise(chat(0), session=given).session == Session("by hand", spent=200)
        assert one._run_budget.spent == 200


def test_what_failed_counts_once_and_not_in_every_conversation_that_begins_alike() -> None:
    with advisor() as one:
        with pytest.raises(ModelError):
            one.advise(chat(0))
        Failing.fails = False
        first = one.advise(chat(0))
        tokens = 40 + first.usage.note_tokens
        assert first.session.spent == 40 + tokens and one.advise(chat(0)).session.spent == tokens


def test_an_episodes_selection_outlives_an_advice_that_fails() -> None:
    class Counting:
        name, track = "counting", "prospective"
        asked = 0

        async def select(self, state: VisibleState, allowance: Any, rng: Any) -> Selection:
            Counting.asked += 1
            return Selection(("Alpha", "Failing"), {})

    pool = HelperSettings(pool=("Alpha", "Failing"), reading="patterns")
    with fama.Advisor(Counting(), helpers=pool, cadence="episode") as one:
        for _ in range(2):
            with pytest.raises(ModelError):
                one.advise(chat(0))
        with pytest.raises(ModelError):
            one.advise([*chat(0), ANSWER, {"role": "user", "content": "More?"}])
    assert Counting.asked == 1


@pytest.mark.parametrize("long", [False, True])
def test_the_endpoint_counts_what_an_advice_that_fails_has_spent(long: bool) -> None:
    asked = {"model": "m", "messages": chat(0), "x": "y" * 100_000 * long}
    with plain(ScriptedUpstream().app) as address, advisor() as one, endpoint(address, one) as served:
        replies = [httpx.post(f"{served.base_url}/chat/completions", json=asked) for _ in range(2)]
    assert [reply.headers["x-fama-failure"] for reply in replies] == ["ModelError"] * 2
    assert served.count("fama_tokens_total") == 80 and served.count("fama_advice_failures_total") == 2
