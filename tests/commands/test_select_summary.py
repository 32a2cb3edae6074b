"""``fama select`` on many decisions: a bounded table, and how often each subset was chosen."""

from pathlib import Path

import pytest

from fama.commands import select
from fama.episodes.records import Episode, Message, Outcome
from fama.episodes.store import EpisodeStore
from fama.selection.base import SELECTORS, Allowance, Selection, SelectorContext


def chosen(turn: int) -> select.SelectedDecision:
    subset = ("DCE",) if turn % 4 == 0 else ("DCE", "TSA") if turn % 4 == 1 else ()
    probabilities = {"DCE": 0.5, "TSA": 0.25}
    return select.SelectedDecision(
        f"e{turn // 8}", f"shop/task-{turn // 8}", turn, Selection(subset, probabilities, None), ("",) * 6
    )


def test_many_decisions_are_counted_and_the_first_are_shown(capsys: pytest.CaptureFixture[str]) -> None:
    select._print_table([chosen(turn) for turn in range(800)], ("DCE", "TSA"))
    printed = capsys.readouterr().out
    assert len(printed.splitlines()) < select.SHOWN + 15
    assert f"The first {select.SHOWN} of 800 decisions; --json lists all." in " ".join(printed.split())
    assert "800 decisions of 100 episodes" in printed


def test_subsets_are_counted_the_most_frequent_first() -> None:
    got = select.subset_counts([chosen(turn) for turn in range(8)])
    assert got == [("none", "4", "50"), ("DCE", "2", "25"), ("DCE + TSA", "2", "25")]


def test_a_log_whose_agent_speaks_first_is_asked_at_every_decision_after_it(tmp_path: Path) -> None:
    roles = ("assistant", "user", "assistant", "user", "assistant")
    messages = tuple(Message.model_validate({"role": role, "content": "Hello"}) for role in roles)
    outcome = Outcome(status="failure")
    log = Episode(id="e", benchmark="tau2", domain="retail", task_id="1", messages=messages, outcome=outcome)
    EpisodeStore(tmp_path).append(log)
    selector = SELECTORS.load("all")(SelectorContext(helpers={}))
    assert [one.turn for one in select._choose(selector, tmp_path, Allowance(None), None, False)] == [0, 1]
    assert [one.turn for one in select._choose(selector, tmp_path, Allowance(None), None, True)] == [0]
