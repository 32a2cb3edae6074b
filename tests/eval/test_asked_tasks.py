"""A question keeps what it was first asked of; answered on other tasks or trials, it is not sold as asked before."""

import hashlib
import json
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest

from eval.compare.comparison import run_comparison
from eval.compare.schema import Comparison
from eval.compare.task_sets import TaskSet, task_set
from eval.report.answers_table import answers_table, other_tasks
from eval.report.verification import verify
from fama.episodes.records import LedgerRow
from fama.errors import BadInput
from fama.models.base import ChatReply, ChatRequest
from tests.support.comparisons import ALPHA, edit_json, live, table
from tests.support.toy_world import compare_settings, toy_world

BETA = {"name": "fixed", "label": "beta", "options": {"subset": ["Beta"]}}
ASKED = [{"arm": "alpha", "than": "beta", "ask": "more"}]
TASKS = [f"t{i}" for i in range(10, 20)]
BEFORE = "Questions asked before the run"
APART = "questions asked of other tasks or trials"


@pytest.fixture(autouse=True)
def world() -> Iterator[None]:
    with toy_world():
        yield


async def asked(out: Path, tasks: Sequence[str], **changes: Any) -> Comparison:
    return await live(out, **{"tasks": list(tasks), "arms": [ALPHA, BETA], "questions": ASKED, **changes})


def shown(comparison: Comparison) -> tuple[str, list[str]]:
    found = answers_table(comparison)
    assert found is not None
    return found.title, [row[0].text for row in found.rows]


async def test_dropping_the_lost_tasks_is_told(tmp_path: Path) -> None:
    first = await asked(tmp_path, TASKS)
    assert first.answers[0].asked == first.task_set == task_set(TASKS, 1)
    assert shown(first) == (BEFORE, ["alpha better than beta"])
    assert verify(tmp_path).stated[BEFORE.lower()] == '["alpha better than beta, of these 10 tasks × 1 trial"]'
    kept = [row.task_id for row in first.per_task if row.arms["beta"].successes <= row.arms["alpha"].successes]
    fewer = await asked(tmp_path, kept)
    assert 2 < len(kept) < 10 and fewer.answers[0].asked == first.task_set
    words = f"asked of 10 tasks, answered on {len(kept)}"
    title = "Questions, asked of other tasks or trials where they say so"
    assert shown(fewer) == (title, [f"alpha better than beta ({words})"])
    stated = verify(tmp_path).stated
    assert stated[APART] == f'["alpha better than beta: {words}"]' and BEFORE.lower() not in stated
    assert shown(await asked(tmp_path, TASKS)) == (BEFORE, ["alpha better than beta"])


@pytest.mark.parametrize(
    ("tasks", "trials", "words"),
    [
        (TASKS, 1, "asked of 4 tasks, answered on 10"),
        (TASKS[:4], 2, "asked of 4 tasks × 1 trial, answered on 4 tasks × 2 trials"),
        (TASKS[1:5], 1, "asked of 4 tasks, answered on another 4"),
        (TASKS[3::-1], 1, ""),
    ],
)
async def test_more_tasks_more_trials_and_others_are_told(
    tmp_path: Path, tasks: list[str], trials: int, words: str
) -> None:
    await asked(tmp_path, TASKS[:4])
    more = await asked(tmp_path, tasks, trials=trials)
    assert other_tasks(more.answers[0], more.task_set) == words


async def test_a_further_question_is_of_the_tasks_of_its_own_time(tmp_path: Path) -> None:
    await asked(tmp_path, TASKS[:4])
    further = {"arm": "none", "than": "beta"}
    got = await asked(tmp_path, TASKS, arms=[ALPHA, BETA, {"name": "none"}], questions=[*ASKED, further])
    assert [one.asked and one.asked.tasks for one in got.answers] == [4, 10]
    again = await asked(tmp_path, TASKS[:4], arms=[ALPHA, BETA, {"name": "none"}], questions=[*ASKED, further])
    assert [other_tasks(one, again.task_set) for one in again.answers] == ["", "asked of 10 tasks, answered on 4"]


async def test_an_arm_that_was_asked_about_is_not_replaced_after_it_was_run(tmp_path: Path) -> None:
    """Tried with other options until the answer suits, it would still be listed as asked before the run."""
    first = await asked(tmp_path, TASKS[:4])
    better = {**ALPHA, "options": {"subset": ["Alpha", "Beta"]}}
    with pytest.raises(BadInput, match="arms: alpha was run with other options, and arm: alpha, than: beta"):
        await asked(tmp_path, TASKS[:4], arms=[better, BETA])
    again = await asked(tmp_path, TASKS[:4], arms=[ALPHA, BETA, {**better, "label": "better"}])
    assert again.answers == first.answers


async def test_what_was_asked_is_written_before_the_first_episode(tmp_path: Path) -> None:
    written = []

    class Watching:
        name = "toy"

        async def complete(self, request: ChatRequest) -> ChatReply:
            written.append(json.loads((tmp_path / "config.json").read_text(encoding="utf-8"))["asked"])
            return ChatReply(text="{}", usage=LedgerRow(role=request.role, model="toy"))

    settings = compare_settings(tasks=TASKS[:1], arms=[ALPHA, BETA], questions=ASKED, bootstrap=200)
    await run_comparison(settings, tmp_path, model=Watching(), progress=False)
    assert written[0][0]["of"] == task_set(TASKS[:1], 1).model_dump()


async def test_a_replay_tells_it_too(tmp_path: Path) -> None:
    path = await table(tmp_path / "table")
    for tasks, words in ((TASKS[:4], ""), (TASKS[:2], " (asked of 4 tasks, answered on 2)")):
        title, rows = shown(await asked(tmp_path / "out", tasks, replay=str(path)))
        assert title == "Questions asked of episodes that were there before"
        assert rows == [f"alpha better than beta{words}"]


async def test_folders_and_files_of_before_say_nothing(tmp_path: Path) -> None:
    await asked(tmp_path, TASKS[:4])
    edit_json(tmp_path / "config.json", lambda config: config.pop("asked"))
    got = await asked(tmp_path, TASKS)
    assert got.answers[0].asked is None and shown(got) == (BEFORE, ["alpha better than beta"])
    edit_json(tmp_path / "comparison.json", lambda told: told["answers"][0].pop("asked"))
    assert verify(tmp_path).stated[BEFORE.lower()] == '["alpha better than beta"]'


async def test_another_number_of_the_same_tasks_is_refused(tmp_path: Path) -> None:
    await asked(tmp_path, TASKS[:4])
    edit_json(tmp_path / "comparison.json", lambda told: told["answers"][0]["asked"].update(tasks=40))
    with pytest.raises(BadInput, match="was asked of these tasks, but of 40 instead of 4"):
        verify(tmp_path)


def test_a_task_set_is_its_ids_whatever_their_order() -> None:
    ids = hashlib.sha256(b'["a","b"]').hexdigest()[:16]
    assert task_set(["a", "b"], 2) == task_set(["b", "a"], 2) == TaskSet(tasks=2, trials=2, ids=ids)
    assert task_set(["a", "c"], 2).ids != task_set(["a", "b"], 2).ids
