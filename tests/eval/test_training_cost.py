"""Calls of the agent that several episodes share, counted by hand."""

from eval.publish.training_cost import distinct_calls
from tests.support.noted_episodes import noted_episode


def test_shared_calls_count_once() -> None:
    plain = noted_episode(("", "a"), ("", "b"), ("", "c"))
    later = noted_episode(("", "a"), ("x", "b"), ("", "c"))  # the note changes nothing: its call and no other is new
    other = noted_episode(("", "a"), ("x", "d"), ("", "c"))
    assert distinct_calls([plain]) == 3
    assert distinct_calls([plain, later]) == 4
    assert distinct_calls([plain, later, other]) == 5
    assert distinct_calls([plain, noted_episode(("", "a"), task="t1")]) == 4


def test_calls_that_ask_again_count_each() -> None:
    asked_again = noted_episode(("", "a"), ("", "b"), calls=3)
    assert distinct_calls([asked_again]) == 3
    assert distinct_calls([asked_again, noted_episode(("", "a"), ("", "b"), calls=2)]) == 3
