"""Each detector on hand-worked episodes: what it finds, at which step, and when it keeps quiet."""

import json

import pytest

from fama.diagnosis.detectors.action_differences import argument_differences
from fama.diagnosis.detectors.base import DETECTORS, collect_findings
from fama.diagnosis.taxonomy import load_taxonomy
from fama.diagnosis.trace import Trace
from fama.episodes.records import Episode, Evidence, FunctionCall, Message, ToolCall, ToolSpec
from tests.support.diagnosis_cases import ORDER, RETURN, agent, call, episode, gold, identified, tool, user


def found(example: Episode, source: str) -> list[Evidence]:
    name = {"invented": "invented", "tool": "tools", "loop": "loops", "retry": "retry", "end": "endings"}.get(
        source.split(":")[0], source.split(":")[0]
    )
    return [item for item in DETECTORS.load(name)(Trace.of(example)) if item.source.startswith(source)]


def returned(item: str, yes: str = "Yes, please.", order: str = "#W100") -> Episode:
    return episode(
        identified(),
        call("get_order_details", ORDER, order_id="#W100"),
        agent("I will return the lamp. Is that right?"),
        user(yes),
        call(RETURN, {"status": "return requested"}, order_id=order, item_ids=[item]),
        agent("Done."),
        user("Thanks ###STOP###"),
        actions=(gold(RETURN, order_id="#W100", item_ids=["4001"]),),
    )


def test_right_changes_give_no_difference() -> None:
    example = returned("4001")
    assert [item.source for item in found(example, "gold")] == ["gold:untold"]


def test_a_look_alike_row_is_a_wrong_retrieval() -> None:
    (item,) = found(returned("4002"), "gold")
    assert (item.source, item.category, item.step) == ("gold:wrong_row", "WRCO", 7)  # the offer
    assert "4002" in item.quote and "4001" in item.quote


def test_a_value_from_nowhere_is_invented() -> None:
    (item,) = found(returned("9999"), "gold")
    assert (item.source, item.category) == ("gold:invented", "CM")


def test_a_value_that_the_user_corrected_is_outdated() -> None:
    example = episode(
        user("Return item 4002 of #W100."),
        agent("Item 4002?"),
        user("No, I mean item 4001. Yes, go ahead."),
        call(RETURN, "ok", order_id="#W100", item_ids=["4002"]),
        actions=(gold(RETURN, order_id="W100", item_ids=["4001"]),),
    )
    (item,) = found(example, "gold")
    assert (item.source, item.category, item.step) == ("gold:outdated", "CM", 4)


def test_the_users_own_value_and_choices_are_misread() -> None:
    example = episode(
        user("Return item 4002 of #W100, I changed my mind."),
        call(RETURN, "ok", order_id="#W100", item_ids=["4002"], reason="too late"),
        actions=(gold(RETURN, order_id="#W100", item_ids=["4001"], reason="changed mind"),),
    )
    assert [(e.source, e.category) for e in found(example, "gold")] == [("gold:misread", "CM")]


def test_a_change_never_made_is_missing_at_the_end() -> None:
    example = episode(
        identified(),
        agent("Have a nice day."),
        user("Bye"),
        actions=(gold(RETURN, order_id="#W100", item_ids=["4001"]),),
    )
    (item,) = found(example, "gold")
    assert (item.source, item.category, item.step) == ("gold:missing", "IFU", 5)


def test_a_part_left_out_of_a_change_is_missing() -> None:
    example = episode(
        user("Return 4001 and 4002 of #W100"),
        call(RETURN, "ok", order_id="#W100", item_ids=["4001"]),
        actions=(gold(RETURN, order_id="#W100", item_ids=["4001", "4002"]),),
    )
    assert [(e.source, e.step) for e in found(example, "gold")] == [("gold:missing", 2)]


def test_a_wrong_refusal_is_a_violation_but_a_condition_is_none() -> None:
    actions = (gold(RETURN, order_id="#W100", item_ids=["4001"]),)
    refused = episode(identified(), agent("This order cannot be returned."), actions=actions)
    assert [e.source for e in found(refused, "gold")] == ["gold:missing", "gold:refused"]
    hedged = episode(identified(), agent("If it is final sale, we cannot return it. Shall I look?"), actions=actions)
    assert [e.source for e in found(hedged, "gold")] == ["gold:missing"]


def test_a_change_where_none_was_due_is_forbidden_and_one_too_many_extra() -> None:
    made = call(RETURN, "ok", order_id="#W100", item_ids=["4001"])
    assert [e.source for e in found(episode(identified(), made, actions=()), "gold")] == ["gold:forbidden"]
    two = episode(
        identified(), made, call("cancel_pending_order", "ok", order_id="#W200"),
        actions=(gold(RETURN, order_id="#W100", item_ids=["4001"]),),
    )  # fmt: skip
    assert [(e.source, e.category, e.step) for e in found(two, "gold")] == [("gold:extra", "DCV", 7)]


def test_a_change_done_over_is_credited() -> None:
    example = episode(
        identified(),
        call(RETURN, "ok", order_id="#W100", item_ids=["4002"]),
        call(RETURN, "ok", order_id="#W100", item_ids=["4001"]),
        actions=(gold(RETURN, order_id="#W100", item_ids=["4001"]),),
    )
    assert not [e for e in found(example, "gold") if e.source != "gold:untold"]


def test_an_object_inside_the_arguments_is_known_by_its_id() -> None:
    wrong, right = (call("change", "ok", order={"order_id": "W1", "size": size}) for size in "sm")
    example = episode(identified(), wrong, right, actions=(gold("change", order={"order_id": "W1", "size": "m"}),))
    assert not [
        e for e in found(example.model_copy(update={"benchmark": "theirs"}), "gold") if e.source == "gold:extra"
    ]


@pytest.mark.parametrize("key", ["order_id", "orderId", "orderID"])
def test_an_object_is_known_by_its_id_in_any_notation(key: str) -> None:
    wrong, other, right = (
        call("returnItem", "ok", **{key: order, "item": item})
        for order, item in (("W1", "x"), ("W2", "y"), ("W1", "z"))
    )
    example = episode(
        identified(), wrong, other, right, actions=(gold("returnItem", **{key: "W1", "item": "z"}),), benchmark="theirs"
    )
    sources = [(e.source, e.step) for e in found(example, "gold")]
    assert sources == [("gold:extra", 7)]  # the first one was done over, the other object was nobody's wish


def test_calls_answered_by_an_error_change_nothing() -> None:
    failed = call(RETURN, "Error: non-delivered order cannot be returned", order_id="#W100", item_ids=["4001"])
    example = episode(identified(), failed, actions=(gold(RETURN, order_id="#W100", item_ids=["4001"]),))
    assert [e.source for e in found(example, "gold")] == ["gold:missing"]
    assert [(e.source, e.category) for e in found(example, "policy")] == [("policy:turned_down", "DCV")]
    assert [e.source for e in found(example, "retry")] == ["retry:given_up"]


def test_the_verdicts_parts_tell_of_information_and_consent() -> None:
    made = call("return_item", '{"status": "return started"}', order_id="O1", item_id="4001")
    actions = (gold("return_item", order_id="O1", item_id="4001"), gold("close_case", outcome="resolved"))
    closed = call("close_case", '{"closed": "resolved"}', outcome="resolved")
    base = {"state": 1.0, "information": 0.0, "closing": 1.0}
    untold = episode(user("x"), made, closed, actions=actions, benchmark="helpdesk", domain="shop", detail=base)
    assert [e.source for e in found(untold, "gold")] == ["gold:untold"]
    unagreed = untold.model_copy(update={"reward_detail": {"state": 0.0, "information": 1.0, "closing": 1.0}})
    assert [(e.source, e.category) for e in found(unagreed, "gold")] == [("gold:unagreed", "DCV")]
    open_end = episode(user("x"), made, actions=actions, benchmark="helpdesk", domain="shop", detail=base)
    assert "gold:unclosed" in [e.source for e in found(open_end, "gold")]


def test_a_case_closed_as_refused_that_was_to_be_served() -> None:
    closed = call("close_case", '{"closed": "refused"}', outcome="refused")
    actions = (gold("return_item", order_id="O1", item_id="4001"), gold("close_case", outcome="resolved"))
    example = episode(user("Return it"), closed, actions=actions, benchmark="helpdesk", domain="shop")
    assert {e.source for e in found(example, "gold")} == {"gold:missing", "gold:closing"}


def test_invented_values_in_calls_and_words() -> None:
    example = episode(
        user("Where is my parcel?"),
        call("get_order_details", "Error: order not found", order_id="#W0009999"),
        agent("Your parcel AB-77123 left on Monday."),
    )
    items = found(example, "invented")
    assert [(e.source, e.category, e.step) for e in items] == [
        ("invented:blocked", "CM", 2),
        ("invented:stated", "CM", 4),
    ]


def test_what_stood_before_is_not_invented() -> None:
    example = episode(
        user("My order is W1234567, sent on May 20, call me at (555) 123-4567."),
        call("get_order_details", ORDER, order_id="#W1234567"),
        call("update_order", "ok", order_id="#W1234567", date="2024-05-20", phone="555-123-4567", note="x1"),
        agent("For example an id such as #W0000000."),
        agent("Item 4001 of order #W100 is yours."),
    )
    assert found(example, "invented") == []


def test_a_guess_that_was_put_right_is_credited() -> None:
    example = episode(
        user("It is about my lamp."),
        call("get_order_details", "Error: order not found", order_id="#W555"),
        user("It is #W100."),
        call("get_order_details", ORDER, order_id="#W100"),
    )
    assert found(example, "invented") == []


def test_work_said_to_be_done_that_was_not() -> None:
    example = episode(identified(), agent("I have successfully returned your lamp."), user("Thanks"))
    assert [(e.source, e.step) for e in found(example, "invented")] == [("invented:claim", 5)]
    assert found(returned("4001"), "invented:claim") == []


def test_unknown_tools_and_schema_violations() -> None:
    specs = (tool("get_order", order_id={"type": "string"}), tool("pay", amount={"type": "number"}))
    example = episode(
        user("hi"),
        call("fetch_everything", "Unknown action fetch_everything"),
        call("get_order", "Error", order=1),
        call("get_order", "ok", order_id=12),
        call("get_order", "ok", order_id="12"),
        call("pay", "ok", amount=12, tip=1),
        tools=specs,
    )
    items = found(example, "tool")
    assert [(e.source, e.step) for e in items] == [
        ("tool:unknown", 2),
        ("tool:schema", 4),
        ("tool:schema", 6),
        ("tool:schema", 10),
    ]
    assert "order_id is missing" in items[1].quote and "tip is no argument" in items[3].quote


def test_what_a_schema_allows_is_no_violation() -> None:
    schema = {
        "properties": {
            "count": {"type": "integer"},
            "note": {"type": "string", "nullable": True},
            "size": {"type": "string", "enum": ["s", None]},
        },
        "additionalProperties": {"type": "string"},
    }
    spec = ToolSpec(name="pick", description="", parameters=json.dumps(schema))
    allowed = call("pick", "ok", count=5.0, note=None, size=None, color="red")
    assert found(episode(user("hi"), allowed, tools=(spec,)), "tool") == []
    wrong = [call("pick", "ok", count=5.5), call("pick", "ok", count=None), call("pick", "ok", size="m")]
    assert [e.step for e in found(episode(user("hi"), *wrong, tools=(spec,)), "tool")] == [2, 4, 6]


def test_the_third_identical_call_is_a_loop_even_in_a_cycle() -> None:
    a, b = call("get_order", "x", order_id="1"), call("list_orders", "y")
    cycle = episode(user("hi"), a, b, a, b, a)
    assert [(e.source, e.step) for e in found(cycle, "loop")] == [("loop:identical", 6), ("loop:stalled", 6)]
    assert found(episode(user("hi"), a, b, a, b), "loop") == []


def test_retries_after_busy_and_looks_after_changes_are_no_loops() -> None:
    busy = call("get_order", '{"error": "busy, try again"}', order_id="1")
    assert found(episode(user("hi"), busy, busy, call("get_order", "x", order_id="1")), "loop") == []
    look = call("get_order", "x", order_id="1")
    changes = [call("cancel_pending_order", "ok", order_id=str(i)) for i in range(2)]
    assert found(episode(user("hi"), look, changes[0], look, changes[1], look), "loop") == []


def test_a_passing_error_needs_a_second_try() -> None:
    busy = call("get_order", '{"error": "system busy, try again"}', order_id="1")
    given_up = episode(user("hi"), busy, agent("Sorry, bye."))
    assert [(e.source, e.category, e.step) for e in found(given_up, "retry")] == [("retry:transient", "IFU", 2)]
    assert found(episode(user("hi"), busy, call("get_order", "x", order_id="1")), "retry") == []


def test_early_ends() -> None:
    actions = (gold(RETURN, order_id="#W100", item_ids=["4001"]),)
    handed = episode(identified(), call("transfer_to_human_agents", "ok", summary="x"), actions=actions)
    assert [(e.source, e.step) for e in found(handed, "end")] == [("end:handover", 5)]
    left = episode(identified(), agent("Bye"), actions=actions)
    assert [(e.source, e.step) for e in found(left, "end")] == [("end:unchanged", 5)]
    assert found(episode(identified(), agent("Bye"), actions=()), "end") == []
    limit = episode(identified(), agent("Hm"), actions=(), reason="max_steps")
    assert [e.source for e in found(limit, "end")] == ["end:limit"]


def test_without_reference_the_users_words_say_whether_a_change_was_wanted() -> None:
    assert [e.source for e in found(episode(identified(), agent("Bye")), "end")] == ["end:unchanged"]
    assert found(episode(user("Where is my parcel?"), agent("In Bonn.")), "end") == []


def test_identity_and_confirmation_come_before_a_change() -> None:
    change = call(RETURN, "ok", order_id="#W100", item_ids=["4001"])
    example = episode(user("Return 4001 of #W100"), change)
    assert [(e.source, e.category, e.step) for e in found(example, "policy")] == [
        ("policy:identity", "DCV", 2),
        ("policy:confirmation", "DCV", 2),
    ]
    assert found(returned("4001"), "policy") == []
    assert [e.source for e in found(returned("4001", yes="Hm, how long does it take?"), "policy")] == [
        "policy:confirmation"
    ]


def test_a_user_who_leaves_while_being_asked() -> None:
    example = episode(identified(), agent("Could you tell me the order number?"), user("###STOP###"))
    assert [e.source for e in found(example, "user")] == ["user:left"]
    polite = episode(
        identified(), agent("Is there anything else I can help with? Do you need more help?"), user("###STOP###")
    )
    assert found(polite, "user") == []


def told_to_say(said: str, result: str, *more: Message | list[Message]) -> Episode:
    return episode(
        user("Please cancel my order."),
        agent("Your e-mail, please?"),
        user(said),
        call("find_user_id_by_email", result, email=said.split()[-1]),
        *more,
        instruction="You are Mei Davis in 80217. Your e-mail is mei.davis7@shop.org. Cancel order W100.",
    )


def test_a_value_that_the_users_instruction_does_not_have() -> None:
    lost = told_to_say("It is mei@example.com", "Error: user not found")
    (item,) = found(lost, "user")
    assert (item.source, item.step, item.quote) == ("user:invented", 3, "It is mei@example.com")
    mixed_up = told_to_say("It is mei@example.com", "mei_li_3", call("cancel_pending_order", "ok", order_id="#W100"))
    assert [e.source for e in found(mixed_up, "user")] == ["user:invented"]


def test_a_user_who_takes_the_agents_part() -> None:
    greeting = "Hello! How can I help you today?"
    mirror = episode(agent(greeting), user(greeting), agent("I am here to help."), user("I am here to help. "))
    (item,) = found(mirror, "user")
    assert (item.source, item.step) == ("user:mirrored", 4)
    once = episode(agent(greeting), user(greeting), agent("Your order number?"), user("W100"))
    short = episode(agent("Bye."), user("Bye."), agent("Bye!"), user("Bye"))
    assert found(once, "user") == found(short, "user") == []


def test_what_a_user_may_say() -> None:
    given = told_to_say("It is mei.davis7@shop.org", "mei_davis_1")
    put_right = told_to_say(
        "It is mei@example.com", "Error: user not found", call("cancel_pending_order", "ok", order_id="#W100")
    )
    unused = episode(user("Call 555123 please"), agent("No."), instruction="You are Mei.")
    repeated = episode(agent("Is it #W999?"), user("Yes, #W999"), call("get_order", "x", order_id="#W999"))
    for example in (given, put_right, unused, repeated):
        assert found(example, "user") == []


def test_calls_alone_say_less() -> None:
    """Without the dialogue a wrong value has no known origin, and nobody can say that a yes was missing."""
    bare = episode(
        call("find_user_id_by_email", "", email="guessed1@x.org"),
        call("get_order_details", "", order_id="#W7"),
        call(RETURN, "", order_id="#W100", item_ids=["4002"]),
        actions=(gold(RETURN, order_id="#W100", item_ids=["4001"]),),
        instruction="You are Mia, e-mail mia@x.org, and return the lamp of order W100.",
    )
    bare = bare.model_copy(update={"messages": tuple(m for m in bare.messages if m.role == "assistant")})
    sources = [(e.source, e.category) for e in collect_findings(Trace.of(bare), load_taxonomy())]
    assert ("gold:unsourced", "WRCO") in sources and ("gold:unsourced", "CM") in sources
    assert ("invented:lookup", "CM") in sources
    assert {source for source, _ in sources} == {"gold:unsourced", "invented:lookup"}


def test_lists_are_compared_without_order_and_numbers_by_value() -> None:
    assert argument_differences({"ids": ["1", "2"], "n": 5}, {"ids": ["2", "1"], "n": "5.0", "note": "x"}) == []
    assert [d.path for d in argument_differences({"a": {"b": [{"c": 1}]}}, {"a": {"b": [{"c": 2}]}})] == ["a.b[0].c"]


def test_findings_come_in_order_under_the_taxonomys_codes() -> None:
    items = collect_findings(Trace.of(returned("4002", yes="Hm?")), load_taxonomy())
    assert [item.step for item in items] == sorted(item.step or 0 for item in items)
    assert {item.category for item in items} <= set(load_taxonomy().codes)


def test_every_detector_survives_an_empty_and_a_mangled_episode() -> None:
    broken = ToolCall(id="x", function=FunctionCall(name="", arguments="[1, 2"))
    mangled = episode(Message(role="tool", content=None), Message(role="assistant", tool_calls=(broken,)), actions=())
    sources = [
        [evidence.source for evidence in collect_findings(Trace.of(example), load_taxonomy())]
        for example in (episode(), episode().model_copy(update={"messages": ()}), mangled)
    ]
    # the gold-action detector sees that nothing else than the outcome is wrong; the torn call makes no finding up
    assert sources == [[], [], ["gold:untold"]]
