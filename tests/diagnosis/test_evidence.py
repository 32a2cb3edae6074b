"""The router's numeric features: fixed names, prospective, reacting to what they are named after."""

import math

import pytest

from fama.episodes.records import Episode, Message
from fama.episodes.state import VisibleState, state_at
from fama.selection.router.evidence import EVIDENCE_NAMES, visible_evidence
from tests.support.diagnosis_cases import ORDER, agent, call, episode, gold, identified, tool, user


def features(*parts: Message | list[Message]) -> dict[str, float]:
    example = episode(*parts, agent("next"), tools=(tool("get_order", order_id={"type": "string"}),))
    turns = sum(message.role == "assistant" for message in example.messages)
    return visible_evidence(state_at(example, turns - 1))


def test_names_and_order_are_fixed() -> None:
    values = features(user("Hi"))
    assert tuple(values) == EVIDENCE_NAMES and len(set(EVIDENCE_NAMES)) == len(EVIDENCE_NAMES)
    assert all(math.isfinite(value) and 0 <= value <= 1.5 for value in values.values())


def test_an_empty_state() -> None:
    values = visible_evidence(VisibleState(policy="", tools=(), messages=()))
    assert tuple(values) == EVIDENCE_NAMES and not any(values.values())


@pytest.mark.parametrize(
    ("name", "less", "more"),
    [
        ("request_words", [user("Return it.")], [user("Return it and also cancel the other, too.")]),
        ("correction_words", [user("Send it to Bonn.")], [user("Actually, sorry, I meant Bonn.")]),
        ("ids_in_user_text", [user("my order")], [user("order #W100, mail a.b@c.de")]),
        ("calls", [user("x")], [user("x"), *call("get_order", "y")]),
        ("errors", [user("x"), *call("get_order", "y")], [user("x"), *call("get_order", "Error: y")]),
        ("busy_pending", [user("x"), *call("a", "Error: no")], [user("x"), *call("a", "Error: busy")]),
        ("repeated_calls", [user("x"), *call("a", "y")], [user("x"), *call("a", "y"), *call("a", "y")]),
        ("identity_called", [user("x")], identified()),
        ("similar_rows", [user("x"), *call("a", {"b": 1})], [user("x"), *call("a", ORDER)]),
        ("last_output_depth", [user("x"), *call("a", {"b": 1})], [user("x"), *call("a", {"b": {"c": [{}]}})]),
        ("question_asked", [user("x"), agent("Fine.")], [user("x"), agent("Which one?")]),
        ("last_is_user", [user("x"), *call("a", "y")], [user("x")]),
        ("writes", [user("x"), *call("get_a", "y")], [user("x"), *call("cancel_a", "y")]),
        ("last_user_length", [user("x")], [user("x " * 50)]),
    ],
)
def test_each_reacts_to_its_own_cause(name: str, less: list[Message], more: list[Message]) -> None:
    assert features(more)[name] > features(less)[name]


def test_a_repeated_try_that_worked_is_not_pending() -> None:
    assert features(user("x"), call("a", "Error: busy"), call("a", "ok"))["busy_pending"] == 0.0


def test_nothing_of_the_future_is_seen() -> None:
    def build(end: list[Message], actions: bool) -> Episode:
        gold_actions = (gold("cancel_order", order_id="1"),) if actions else None
        return episode(user("Hi"), agent("Yes?"), end, actions=gold_actions)

    one = build([user("a"), agent("b")], True)
    other = build([user("something else and more"), *call("x", "Error"), agent("c")], False)
    assert visible_evidence(state_at(one, 0)) == visible_evidence(state_at(other, 0))


def test_the_domain_does_not_matter() -> None:
    from dataclasses import replace

    state = state_at(episode(identified(), agent("x")), 2)
    other = replace(state, benchmark="helpdesk", domain="shop")
    assert visible_evidence(state) == visible_evidence(other)
