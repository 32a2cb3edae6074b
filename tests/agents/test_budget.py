import pytest

from fama.episodes.records import Decision, Episode, LedgerRow, Note, Outcome
from fama.errors import BadInput
from fama.helpers.base import Helper
from fama.selection.base import Allowance
from fama.selection.budget import Budget, RunBudget, check_budget, helper_cap, spent_tokens
from fama.settings import BudgetSettings
from tests.support.toy_agents import Guide


class Big(Guide):
    cost_cap = 100


class Riding(Guide):
    on_prefix = True


HELPERS: dict[str, Helper] = {"A": Guide("A"), "B": Guide("B"), "Big": Big("Big")}
EVEN = {"A": 0.5, "B": 0.5, "Big": 0.9}


def budget(**limits: int) -> Budget:
    return RunBudget(BudgetSettings.model_validate(limits)).episode()


def test_no_limit_keeps_all() -> None:
    assert budget().allowance() == Allowance(None)
    assert budget().fit(["Big", "A"], HELPERS, EVEN) == (("A", "Big"), ())


@pytest.mark.parametrize(
    ("limit", "kept", "dropped"),
    [
        (160, ("A", "B", "Big"), ()),
        (159, ("A", "Big"), ("B",)),
        (139, ("Big",), ("B", "A")),
        (119, (), ("B", "A", "Big")),
    ],
)
def test_drops_in_order_of_lowest_probability_then_last(limit: int, kept: object, dropped: object) -> None:
    assert budget(decision=limit).fit(["A", "B", "Big"], HELPERS, EVEN) == (kept, dropped)


def test_tightest_limit_counts() -> None:
    tight = budget(decision=50, episode=70, run=1000)
    tight.charge(30)
    assert tight.allowance() == Allowance(20)
    tight.open_decision()
    assert tight.allowance() == Allowance(40)
    tight.charge(100)
    assert tight.allowance() == Allowance(0)


def test_a_new_decision_gives_back_what_the_last_one_held_and_may_spend_its_limit() -> None:
    own = budget(decision=50, run=60)
    own.fit(["A", "B"], HELPERS)
    assert own.run.reserved == 40 and own.allowance() == Allowance(50)  # its own reservation is no one else's
    own.charge(10)
    assert own.allowance() == Allowance(40)
    own.open_decision()
    assert own.run.reserved == 0 and own.allowance() == Allowance(50)


def test_the_agents_request_counts_for_helpers_that_send_it_along() -> None:
    riding = Riding("R")
    assert helper_cap(riding, 100) == 120 and helper_cap(riding) == 20
    assert helper_cap(HELPERS["Big"], 100) == 120 and helper_cap(HELPERS["A"], 100) == 20
    both: dict[str, Helper] = {"A": HELPERS["A"], "R": riding}
    assert budget(decision=140).fit(["A", "R"], both, prefix_tokens=100).dropped == ()
    assert budget(decision=139).fit(["A", "R"], both, prefix_tokens=100) == (("A",), ("R",))
    assert budget(decision=40).fit(["A", "R"], both).dropped == ()


def test_a_helper_without_a_probability_is_the_least_promising() -> None:
    assert budget(decision=20).fit(["A", "B"], HELPERS, {"B": 0.5}) == (("B",), ("A",))


def test_the_less_promising_form_goes_first_and_counts_no_more() -> None:
    forms: dict[str, Helper] = {name: Guide(name) for name in ("A", "A:llm", "B", "C")}
    beliefs = {"A": 0.1, "A:llm": 0.9, "B": 0.3, "C": 0.2}
    assert budget(decision=60).fit(list(forms), forms, beliefs) == (("A:llm", "B", "C"), ("A",))
    assert budget(decision=40).fit(list(forms), forms, beliefs) == (("A:llm", "B"), ("A", "C"))


def test_episodes_side_by_side_cannot_overrun_the_run() -> None:
    run = RunBudget(BudgetSettings(run=50))
    first, second = run.episode(), run.episode()
    assert first.fit(["A", "B"], HELPERS).subset == ("A", "B")
    assert second.allowance() == Allowance(10)
    assert second.fit(["A"], HELPERS).dropped == ("A",)
    first.charge(5)
    first.release()
    assert second.allowance() == first.allowance() == Allowance(45)


def test_resume_remembers_calls_and_notes() -> None:
    rows = [("agent", 900), ("helper:A", 30), ("selector", 20), ("user", 500), ("judge", 70)]
    episode = Episode(
        id="e",
        benchmark="b",
        domain="d",
        task_id="t",
        outcome=Outcome(status="failure"),
        ledger=tuple(LedgerRow(role=role, model="m", input_tokens=tokens) for role, tokens in rows),
        decisions=(Decision(turn=0, message_index=1, notes=(Note(helper="A", text="x", tokens=7),)),),
    )
    assert spent_tokens(episode) == 57
    assert RunBudget(BudgetSettings(run=100), 2 * 57).episode().allowance() == Allowance(0)
    assert RunBudget(BudgetSettings(run=100), 57).episode().allowance() == Allowance(43)


@pytest.mark.parametrize("field", ["decision", "episode", "run"])
def test_budget_too_small_for_any_helper(field: str) -> None:
    with pytest.raises(BadInput, match=rf"budget\.{field}: 19 tokens .* needs 20 \(A\)"):
        check_budget(BudgetSettings.model_validate({field: 19}), HELPERS)
    check_budget(BudgetSettings.model_validate({field: 20}), HELPERS)
    check_budget(BudgetSettings.model_validate({field: 1}), {})
