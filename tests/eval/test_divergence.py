"""Divergence of two arms: hand-worked pairs of episodes, and the committed comparison."""

import re
from pathlib import Path

import pytest

from eval.publish import divergence
from eval.publish.arm_tables import DATA
from eval.publish.findings import findings
from fama.episodes.records import Episode
from fama.errors import BadInput
from tests.support.noted_episodes import noted_episode

MIXED = DATA / "mixed"


def test_arms_part_where_other_notes_lead_to_another_action() -> None:
    one = noted_episode(("", "a"), ("x", "b"), ("", "c"))
    found = divergence.parting(one, noted_episode(("w", "a"), ("y", "b"), ("z", "d")))
    assert found is not None and (found.turn, found.message, found.same_notes) == (2, 6, False)
    noise = divergence.parting(one, noted_episode(("", "A"), ("y", "b")))
    assert noise is not None and (noise.turn, noise.same_notes) == (0, True)


@pytest.mark.parametrize(
    "other",
    [
        noted_episode(("", "a"), ("x", "b"), ("", "c")),
        noted_episode(("", "a"), ("y", "b")),  # it ends before anything differs
    ],
)
def test_where_nothing_else_is_done_nothing_parts(other: Episode) -> None:
    assert divergence.parting(noted_episode(("", "a"), ("x", "b"), ("", "c")), other) is None


def test_the_table_counts_what_the_episodes_came_to() -> None:
    found = divergence.partings(MIXED, "learned per turn", "TSA+Verifier")
    told = divergence.parted(MIXED, "learned per turn", "TSA+Verifier")
    assert f"On {80 - len(found)} of 80 tasks the agent does the same" in told
    *groups, whole = [[int(cell) for cell in line.split("|")[2:-1]] for line in told.splitlines()[-5:]]
    assert whole[0] == len(found) == sum(whole[1:]) and [sum(column) for column in zip(*groups, strict=True)] == whole
    data = findings(MIXED)
    solved = [{e.task_id for e in data.of(arm) if e.reward == 1} for arm in ("learned per turn", "TSA+Verifier")]
    tasks = {each.one.task_id for each in found}
    assert whole[1:4] == [
        len(tasks & some) for some in (solved[0] & solved[1], solved[0] - solved[1], solved[1] - solved[0])
    ]


def test_who_is_asked_and_who_speaks_is_counted() -> None:
    made = [one for episode in findings(MIXED).of("TSA+Verifier") for one in episode.decisions]
    notes = sum(any(note.helper == "TSA" for note in one.notes) for one in made)
    told = divergence.tabulate_asked(MIXED, ["TSA+Verifier", "none"])
    assert told.startswith(f"Decisions: TSA+Verifier {len(made)}, none ") and "of 80 tasks" in told
    rows = {line.split(" | ")[0]: line.split(" | ")[1:] for line in told.splitlines()}
    assert rows["| TSA"][0] == "100 [100, 100]" and rows["| TSA"][2:] == ["0 [0, 0]", "– |"]
    assert rows["| DCE"] == ["0 [0, 0]", "–", "0 [0, 0]", "– |"]
    value, low, high = map(int, re.findall(r"\d+", rows["| TSA"][1]))
    assert value == round(100 * notes / len(made)) and low < value < high


def test_a_verdict_is_on_a_decision_at_which_the_arms_part(tmp_path: Path) -> None:
    found = [each for each in divergence.partings(MIXED, "learned per turn", "TSA+Verifier") if not each.same_notes]
    first, second, *_ = found
    path = tmp_path / "read.yaml"

    def write(message: int, cause: str = "better") -> None:
        path.write_text(
            "arm: learned per turn\nthan: TSA+Verifier\n"
            "causes: {better: the learned one, worse: the other}\nepisodes:\n"
            f"  {first.one.id}: {{task: {first.one.task_id}, message: {message}, cause: {cause}, what: w}}\n"
            f"  {second.one.id}: {{task: {second.one.task_id}, message: {second.message}, cause: worse, what: v}}\n"
        )

    write(first.message)
    told = divergence.partings_read(MIXED, path)
    assert f"2 of the {len(found)} tasks on which the arms part after other notes" in told
    assert f"| the learned one | 1 | {int(first.one.reward or 0)} | {int(first.other.reward or 0)} |" in told
    write(first.message + 1)
    with pytest.raises(BadInput, match=f"do not part at {first.one.task_id}, {first.message + 1}"):
        divergence.partings_read(MIXED, path)
    write(first.message, "fate")
    with pytest.raises(BadInput, match="no cause 'fate'; known: better, worse"):
        divergence.partings_read(MIXED, path)
