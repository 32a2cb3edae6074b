"""Calls of the agent that several episodes share, counted by hand."""

from eval.publish.training_cost import distinct_calls
from fama.episodes.records import Decision, Episode, LedgerRow, Message, Note, Outcome


def episode(*turns: tuple[str, str], task: str = "t0", calls: int = 0) -> Episode:
    """An episode of (note, reply) pairs; an empty note is none, ``calls`` are the agent's, unknown when 0."""
    messages = [Message(role="user", content="Hi.")]
    decisions = []
    for turn, (note, reply) in enumerate(turns):
        notes = (Note(helper="TSA", text=note, tokens=1),) if note else ()
        decisions.append(Decision(turn=turn, message_index=len(messages), notes=notes))
        messages += [Message(role="assistant", content=reply), Message(role="user", content="Go on.")]
    return Episode(
        id="e",
        benchmark="toy",
        domain="house",
        task_id=task,
        messages=tuple(messages),
        decisions=tuple(decisions),
        ledger=tuple(LedgerRow(role="agent", model="m") for _ in range(calls)),
        outcome=Outcome(status="failure"),
    )


def test_shared_calls_count_once() -> None:
    plain = episode(("", "a"), ("", "b"), ("", "c"))
    later = episode(("", "a"), ("x", "b"), ("", "c"))  # the note changes nothing: its call and no other is new
    other = episode(("", "a"), ("x", "d"), ("", "c"))
    assert distinct_calls([plain]) == 3
    assert distinct_calls([plain, later]) == 4
    assert distinct_calls([plain, later, other]) == 5
    assert distinct_calls([plain, episode(("", "a"), task="t1")]) == 4


def test_calls_that_ask_again_count_each() -> None:
    asked_again = episode(("", "a"), ("", "b"), calls=3)
    assert distinct_calls([asked_again]) == 3
    assert distinct_calls([asked_again, episode(("", "a"), ("", "b"), calls=2)]) == 3
