"""Merging findings: primary, step, blame, recoveries; the model form and its fall-back."""

import json

from fama.diagnosis.analysts import Verdict, as_evidence
from fama.diagnosis.orchestrator import WEIGHTS, blame_of, by_model, by_rule, credit, weight
from fama.diagnosis.taxonomy import load_taxonomy
from fama.diagnosis.trace import Trace
from fama.episodes.records import Evidence, Message
from fama.models.base import ChatRequest
from fama.models.scripted import ScriptedModel
from tests.support.diagnosis_cases import RETURN, agent, call, episode, gold, identified, user

TAXONOMY = load_taxonomy()
PLAIN = Trace.of(episode(identified(), agent("Bye"), user("Bye")))


def evidence(source: str, category: str, step: int | None = 1) -> Evidence:
    return Evidence(source=source, category=category, step=step, quote="q")


def test_the_strongest_finding_decides_and_weak_ones_are_not_named() -> None:
    items = (
        evidence("invented:stated", "CM", 1),
        evidence("tool:schema", "CM", 2),
        evidence("gold:missing", "IFU", 6),
        evidence("gold:wrong_row", "WRCO", 4),
        evidence("policy:turned_down", "DCV", 3),
    )
    merged = by_rule(PLAIN, items, TAXONOMY)
    assert merged.primary == ("WRCO",)
    assert merged.categories == ("DCV", "WRCO", "CM", "IFU")
    assert merged.step == 4 and merged.blame == "agent"
    assert "gold:wrong_row" in merged.rationale
    assert 0 < merged.confidence < 1


def test_equal_findings_are_both_primary_earliest_first() -> None:
    items = (evidence("gold:wrong_row", "WRCO", 5), evidence("gold:forbidden", "DCV", 3))
    merged = by_rule(PLAIN, items, TAXONOMY)
    assert merged.primary == ("DCV", "WRCO") and merged.step == 3


def test_never_more_than_two_primaries_and_the_order_of_findings_does_not_matter() -> None:
    items = [
        evidence("gold:wrong_row", "WRCO", 5),
        evidence("gold:forbidden", "DCV", 3),
        evidence("gold:invented", "CM", 4),
    ]
    results = {by_rule(PLAIN, order, TAXONOMY).primary for order in (items, items[::-1])}
    assert results == {("DCV", "CM")}


def test_without_findings_the_label_says_so() -> None:
    merged = by_rule(PLAIN, (), TAXONOMY)
    assert merged.primary == ("IFU",) and merged.confidence == 0.1 and merged.step == 5


def test_a_finding_without_a_step_keeps_the_step_unknown() -> None:
    assert by_rule(PLAIN, (evidence("gold:missing", "IFU", None),), TAXONOMY).step is None


def test_recoveries_are_credited() -> None:
    trace = Trace.of(
        episode(
            user("x"),
            call("cancel_pending_order", "Error: order not found", order_id="#W1"),
            call("cancel_pending_order", "ok", order_id="#W2"),
        )
    )
    repaired, other = evidence("invented:argument", "CM", 2), evidence("policy:confirmation", "DCV", 2)
    assert credit(trace, (repaired, other)) == (other,)
    unrepaired = Trace.of(episode(user("x"), call("cancel_pending_order", "Error: order not found", order_id="#W1")))
    assert credit(unrepaired, (repaired,)) == (repaired,)


def test_of_two_calls_in_one_message_a_finding_is_about_its_own() -> None:
    wrong, right = call("cancel_order", "Error: order not found", order_id="W1"), call("get_order", "{}", order_id="W1")
    both = Message(role="assistant", tool_calls=(*(wrong[0].tool_calls or ()), *(right[0].tool_calls or ())))
    trace = Trace.of(episode(user("x"), [both, wrong[1], right[1]], call("cancel_order", "ok", order_id="W2")))
    about_wrong = Evidence(source="invented:argument", category="CM", step=2, quote="cancel_order: order_id = 'W1'")
    about_right = Evidence(
        source="tool:schema", category="CM", step=2, quote='x is missing: get_order({"order_id": "W1"})'
    )
    assert credit(trace, (about_wrong, about_right)) == (about_right,)
    swapped = both.model_copy(update={"tool_calls": (both.tool_calls or ())[::-1]})
    turned = Trace.of(episode(user("x"), [swapped, right[1], wrong[1]], call("cancel_order", "ok", order_id="W2")))
    assert credit(turned, (about_wrong, about_right)) == (about_right,)


def test_of_two_calls_of_one_tool_the_quote_tells_which_failed() -> None:
    one, two = call("pay", "ok", bill="B1"), call("pay", "Error: no such bill", bill="B2")
    second = (two[0].tool_calls or ())[0].model_copy(update={"id": "second"})
    both = Message(role="assistant", tool_calls=(*(one[0].tool_calls or ()), second))
    answers = [one[1], two[1].model_copy(update={"tool_call_id": "second"})]
    trace = Trace.of(episode(user("x"), [both, *answers], call("pay", "ok", bill="B3")))
    given_up = Evidence(
        source="retry:given_up", category="IFU", step=2, quote='pay({"bill": "B2"}) → Error: no such bill'
    )
    assert credit(trace, (given_up,)) == ()


def test_blame() -> None:
    left = evidence("user:left", "IFU")
    assert blame_of(PLAIN, (left, evidence("gold:missing", "IFU"))) == "user"
    assert blame_of(PLAIN, (left, evidence("gold:forbidden", "DCV"))) == "agent"
    made_up = evidence("user:invented", "CM")
    assert blame_of(PLAIN, (made_up, evidence("gold:refused", "DCV"))) == "user"
    assert blame_of(PLAIN, (evidence("user:mirrored", "IFU"), evidence("gold:missing", "IFU"))) == "user"
    changed = Trace.of(episode(user("x"), call("cancel_pending_order", "ok", order_id="#W2")))
    assert blame_of(changed, (made_up,)) == "agent"
    busy = call("get_order", '{"error": "busy"}')
    stuck = Trace.of(episode(user("x"), busy, busy, busy))
    assert blame_of(stuck, ()) == "environment"


def test_weights_are_shares() -> None:
    assert all(0 < value <= 1 for source, value in WEIGHTS if source != "executed:*")
    assert weight("executed:repair") > max(value for source, value in WEIGHTS if source != "executed:*")
    assert weight("something:new") < weight("gold:missing")


VERDICTS = (Verdict("DCV", True, 3, "no yes"), Verdict("WRCO", False), Verdict("CM", None), Verdict("IFU", False))


async def test_the_model_form_uses_the_answer() -> None:
    reply = {"primary": ["DCV"], "step": 3, "blame": "user", "rationale": "It changed without a yes."}
    seen: list[str] = []

    def answer(request: object) -> str:
        seen.append(str(request))
        return json.dumps(reply)

    merged = await by_model(PLAIN, as_evidence(VERDICTS), VERDICTS, TAXONOMY, ScriptedModel("j", answer))
    assert (merged.primary, merged.step, merged.blame) == (("DCV",), 3, "user")
    assert merged.confidence == 1.0
    assert [row.role for row in merged.ledger] == ["orchestrator"]
    assert "no yes" in seen[0]


async def test_the_models_first_category_stays_first_and_a_guess_of_the_rule_is_none_of_its_own() -> None:
    reply = {"primary": ["IFU", "CM", "IFU", "DCV"], "step": 3, "blame": "agent", "rationale": "r"}
    merged = await by_model(PLAIN, (), (), TAXONOMY, ScriptedModel("j", lambda _: json.dumps(reply)))
    assert (merged.primary, merged.categories) == (("IFU", "CM"), ("CM", "IFU"))
    alone = json.dumps({**reply, "primary": ["DCV"]})
    merged = await by_model(PLAIN, (), (), TAXONOMY, ScriptedModel("j", lambda _: alone))
    assert merged.categories == ("DCV",)


async def test_only_the_findings_differ_between_episodes_so_that_a_server_keeps_the_rest_cached() -> None:
    heads: list[str] = []
    tails: list[str] = []

    def answer(request: ChatRequest) -> str:
        head, tail = request.messages
        heads.append(str(head["content"]))
        tails.append(str(tail["content"]))
        return json.dumps({"primary": ["DCV"], "step": 3, "blame": "agent", "rationale": "r"})

    judge = ScriptedModel("j", answer)
    for item in (evidence("gold:missing", "IFU", 6), evidence("gold:wrong_row", "WRCO", 4)):
        await by_model(PLAIN, (item,), VERDICTS, TAXONOMY, judge)
    assert heads[0] == heads[1] and all(code in heads[0] for code in TAXONOMY.codes)
    assert tails[0] != tails[1]


async def test_the_model_forms_nonsense_falls_back_to_the_rule_and_is_billed() -> None:
    items = (evidence("gold:wrong_row", "WRCO", 4),)
    replies = iter(["what?", '{"primary": ["XYZ"], "step": 3, "blame": "agent", "rationale": ""}'])
    merged = await by_model(PLAIN, items, (), TAXONOMY, ScriptedModel("j", lambda _: next(replies)))
    assert merged.primary == ("WRCO",)
    assert [row.parsed for row in merged.ledger] == [False, False]


async def test_a_step_outside_of_the_episode_is_not_taken() -> None:
    reply = json.dumps({"primary": ["CM"], "step": 99, "blame": "agent", "rationale": "r"})
    items = (evidence("gold:missing", "IFU", 6),)
    merged = await by_model(PLAIN, items, (), TAXONOMY, ScriptedModel("j", lambda _: reply))
    assert merged.primary == ("IFU",)


def test_wrong_row_and_missing_from_a_real_looking_episode() -> None:
    from fama.diagnosis.detectors.base import collect_findings

    trace = Trace.of(
        episode(
            identified(),
            call("get_order_details", {"items": [{"item_id": "4001"}, {"item_id": "4002"}]}, order_id="#W100"),
            call(RETURN, "ok", order_id="#W100", item_ids=["4002"]),
            actions=(
                gold(RETURN, order_id="#W100", item_ids=["4001"]),
                gold("modify_user_address", city="Bonn"),
            ),
        )
    )
    merged = by_rule(trace, collect_findings(trace, TAXONOMY), TAXONOMY)
    assert merged.primary == ("WRCO",) and set(merged.categories) >= {"WRCO", "IFU"} and merged.step == 7
