"""Notes under two readings of user turns: the table by hand, and a run on recorded episodes."""

from pathlib import Path

import pytest

from eval.logged_notes.note_agreement import SaidTwice, agreement_table, main, notes_by_reading
from fama.episodes.store import read_episodes
from fama.subsets import POOL

PLAIN = Path(__file__).resolve().parents[2] / "results/helpdesk/plain-train-mixed"


def test_equal_notes_are_counted_where_either_reading_speaks() -> None:
    """Of TSA's four decisions one is silent under both; of the others one note is equal, one differs, one is alone."""
    said = [
        SaidTwice("a", "TSA", {"meaning": "x", "static": "x", "patterns": None}),
        SaidTwice("a", "TSA", {"meaning": "x", "static": "y", "patterns": "x"}),
        SaidTwice("b", "TSA", {"meaning": None, "static": "y", "patterns": None}),
        SaidTwice("b", "TSA", {"meaning": None, "static": None, "patterns": None}),
        SaidTwice("b", "DCE", {"meaning": "z", "static": "z", "patterns": "z"}),
    ]
    lines = [line.strip("| ").split(" | ") for line in agreement_table(said, ["static", "patterns"])[2:]]
    cells = {name: shares for name, *shares in lines}
    assert cells["TSA"][0].startswith("33 [") and cells["TSA"][0].endswith("of 3")
    assert cells["TSA"][1].startswith("50 [") and cells["TSA"][1].endswith("of 2")
    assert cells["DCE"][0].startswith("100 [") and cells["Planner"] == ["– of 0", "– of 0"]
    assert cells["all six"][0].startswith("50 [") and cells["all six"][0].endswith("of 4")


async def test_each_helper_is_asked_alone_before_every_decision() -> None:
    episode = next(read_episodes(PLAIN))
    said = await notes_by_reading(episode, ["patterns", "static"])
    assert [one.helper for one in said] == list(POOL) * len(episode.decisions)
    assert {mode for one in said for mode in one.notes} == {"patterns", "static"}
    assert any(one.notes["static"] for one in said) and any(not one.notes["static"] for one in said)


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_the_command_prints_its_table(capsys: pytest.CaptureFixture[str]) -> None:
    assert main([str(PLAIN), "--reading", "static"]) == 0
    told = capsys.readouterr().out
    assert told.startswith("48 episodes of 48 tasks") and "| all six | " in told


def test_bad_input_is_one_line(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main([str(tmp_path / "nowhere")]) == 2
    assert main([str(PLAIN), "--helpers", "3"]) == 2
    told = capsys.readouterr().err
    assert told.count("\n") == 2 and "no episode asked 3 helpers" in told
