"""The contract of every registered detector: findings of the taxonomy, at a step of the episode, and from it alone."""

import pytest

from fama.diagnosis.detectors.base import DETECTORS, collect_findings
from fama.diagnosis.taxonomy import load_taxonomy
from fama.diagnosis.trace import Trace
from fama.episodes.records import Episode, Evidence, FunctionCall, Message, ToolCall
from tests.support.diagnosis_cases import ORDER, RETURN, agent, call, episode, gold, identified, user

BROKEN = ToolCall(id="x", function=FunctionCall(name="", arguments="[1, 2"))
BUSY = {"error": "busy, try again"}
EPISODES: dict[str, Episode] = {
    "empty": episode().model_copy(update={"messages": ()}),
    "mangled": episode(Message(role="tool", content=None), Message(role="assistant", tool_calls=(BROKEN,)), actions=()),
    "wrong row": episode(
        identified(),
        call("get_order_details", ORDER, order_id="#W100"),
        call(RETURN, {"status": "return requested"}, order_id="#W100", item_ids=["4002"]),
        agent("Done."),
        user("Thanks ###STOP###"),
        actions=(gold(RETURN, order_id="#W100", item_ids=["4001"]),),
    ),
    "loop": episode(identified(), *(call("get_order_details", ORDER, order_id="#W9") for _ in range(4)), user("Bye.")),
    "busy": episode(identified(), call("get_order_details", BUSY, order_id="#W100"), agent("It failed."), user("Oh.")),
    "unknown tool": episode(
        identified(), call("fly", {"error": "unknown tool"}), agent("Refunded $999.99."), user("?")
    ),
}


@pytest.mark.parametrize("example", EPISODES)
@pytest.mark.parametrize("name", DETECTORS.names())
def test_findings_are_well_formed_and_the_same_again(name: str, example: str) -> None:
    one = EPISODES[example]
    found = list(DETECTORS.load(name)(Trace.of(one)))
    assert found == list(DETECTORS.load(name)(Trace.of(one)))
    for evidence in found:
        family, _, kind = evidence.source.partition(":")
        assert family and kind
        assert evidence.category in load_taxonomy().codes
        assert evidence.step is None or 0 <= evidence.step < len(one.messages)


def test_the_cases_are_such_that_most_detectors_find_something() -> None:
    speaking = {n for n in DETECTORS.names() if any(list(DETECTORS.load(n)(Trace.of(e))) for e in EPISODES.values())}
    assert len(speaking) >= 5


def test_an_error_of_a_detector_says_which_one_and_on_which_episode() -> None:
    def broken(trace: Trace) -> list[Evidence]:
        raise IndexError("no such message")

    DETECTORS.add("broken", broken)
    try:
        with pytest.raises(IndexError) as caught:
            collect_findings(Trace.of(EPISODES["busy"]), load_taxonomy())
    finally:
        DETECTORS.remove("broken")
    assert caught.value.__notes__ == ["in the detector 'broken', on task 7 (episode e1)"]
