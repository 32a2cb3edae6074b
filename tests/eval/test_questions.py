import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from eval.compare.comparison import read_comparison
from eval.compare.questions import answer, check_kept, check_questions
from eval.compare.schema import Answer
from eval.metrics.episode_scores import Score, TokenUse, score_of
from eval.metrics.measures import Resampling
from eval.report.answers_table import _row, answers_table, question
from eval.stats.margins import Ask, shows_margin
from eval.stats.paired import paired_estimate
from fama.cli import main
from fama.episodes.records import Episode, LedgerRow, Message, Outcome
from fama.errors import BadInput
from fama.intervals import Interval
from fama.settings import CompareSettings, QuestionSettings, SelectorSettings


def score(task: int, success: bool, help_new: int | None) -> Score:
    return Score(
        id=f"{task}-{success}-{help_new}",
        benchmark="b",
        domain="d",
        task_id=f"t{task}",
        trial=0,
        backbone="m",
        strategy="act",
        selector="x",
        status="success" if success else "failure",
        boundary=None,
        tokens=TokenUse(agent=100, help_new=help_new),
    )


@pytest.mark.parametrize(
    ("low", "high", "no_worse", "more", "same"),
    [(-0.04, 0.04, True, False, True), (-0.06, 0.04, False, False, False), (0.01, 0.2, True, True, False)],
)
def test_what_an_interval_shows(low: float, high: float, no_worse: bool, more: bool, same: bool) -> None:
    asks: tuple[Ask, ...] = ("no_worse", "more", "same")
    assert tuple(shows_margin(Interval(0.0, low, high, 9), ask, 0.05) for ask in asks) == (no_worse, more, same)
    assert shows_margin(Interval(0.0, None, None, 1), "no_worse", 0.05) is None


def _shown(truth: float, tasks: int, margin: float, ask: Ask, sets: int) -> float:
    rng = np.random.default_rng(7)
    differing = 0.3
    up, down = (differing + truth) / 2, (differing - truth) / 2
    found = 0
    for _ in range(sets):
        draws = rng.choice([1.0, -1.0, 0.0], size=tasks, p=[up, down, 1 - up - down])
        found += bool(shows_margin(paired_estimate(draws, 0).interval, ask, margin))
    return found / sets


def test_size_and_power_of_the_question_whether_an_arm_is_no_worse() -> None:
    sets = 300
    noise = 3 * (0.025 * 0.975 / sets) ** 0.5
    assert _shown(-0.1, 60, 0.1, "no_worse", sets) <= 0.025 + noise  # exactly the margin worse: rarely shown
    assert _shown(0.0, 60, 0.1, "no_worse", sets) < _shown(0.0, 300, 0.1, "no_worse", sets)
    assert _shown(0.0, 300, 0.1, "no_worse", sets) > 0.8
    assert _shown(0.1, 300, 0.1, "same", sets) <= 0.025 + noise
    assert _shown(0.0, 600, 0.1, "same", sets) > 0.8


def test_an_answer_by_hand() -> None:
    tasks = [f"t{n}" for n in range(40)]
    scores = {
        "all": [score(n, n < 20, 400) for n in range(40)],
        "learned": [score(n, n < 20, 80) for n in range(40)],
        "free": [score(n, n < 20, 0) for n in range(40)],
        "unknown": [score(n, n < 20, None) for n in range(40)],
    }
    found = answer(QuestionSettings(arm="learned", than="all", tokens=0.25), scores, tasks, Resampling())
    assert (found.difference.value, found.token_share and found.token_share.value) == (0.0, 0.2)
    assert (found.shown, found.tokens_shown) == (False, True)  # 40 tasks cannot exclude five points
    assert question(found) == "learned no worse than all, margin 5 points, for at most 25 % of its tokens"
    wide = answer(QuestionSettings(arm="learned", than="all", margin=0.2, tokens=0.1), scores, tasks, Resampling())
    assert (wide.shown, wide.tokens_shown) == (True, False)
    for than in ("free", "unknown"):
        none = answer(QuestionSettings(arm="learned", than=than, tokens=0.25), scores, tasks, Resampling())
        assert none.token_share is not None and none.token_share.value is None and none.tokens_shown is None


def test_what_is_shown_of_an_answer_decides_as_it_does() -> None:
    """Ends that one digit would round to the margin, or none to the share that was asked, have more."""

    def cells(low: float, high: float, shown: bool, share: float) -> list[str]:
        one = Answer(
            arm="a", than="b", ask="no_worse", margin=0.05, tokens=0.25, difference=Interval(0.0, low, high, 60),
            shown=shown, token_share=Interval(0.2, 0.1, share, 60), tokens_shown=share <= 0.25,
        )  # fmt: skip
        return [cell.text for cell in _row(one, "")][1:]

    assert cells(-0.04, 0.1, True, 0.2) == ["0.0 [−4.0, +10.0]", "yes", "20 [10, 20]", "yes"]
    assert cells(-0.0498, 0.1, True, 0.252) == ["0.00 [−4.98, +10.00]", "yes", "20.0 [10.0, 25.2]", "no"]
    assert cells(-0.0502, 0.1, False, 0.248) == ["0.0 [−5.0, +10.0]", "no", "20 [10, 25]", "yes"]


def test_no_share_of_tokens_is_shown_where_the_other_arm_rarely_spends_any() -> None:
    """The other arm asks on 3 of 20 tasks: in 4 % of the resamples on none, so that no share of it is shown."""
    tasks = [f"t{n}" for n in range(20)]
    scores = {
        "often": [score(n, True, 10) for n in range(20)],
        "rare": [score(n, True, 100 if n < 3 else 0) for n in range(20)],
    }
    found = answer(QuestionSettings(arm="often", than="rare", tokens=5.0), scores, tasks, Resampling())
    assert found.token_share is not None and found.token_share.value == pytest.approx(2 / 3)
    assert found.token_share.high is None and found.tokens_shown is False


def test_only_pairs_with_a_verdict_on_both_sides_count_in_tokens() -> None:
    error = score(1, False, 9000)
    scores = {
        "a": [score(0, True, 50), replace(error, status="error", boundary="model")],
        "b": [score(0, True, 100), score(1, True, 100)],
    }
    found = answer(QuestionSettings(arm="a", than="b", tokens=1.0), scores, ["t0", "t1"], Resampling())
    assert found.token_share is not None and found.token_share.value == 0.5


def test_new_tokens_of_help_leave_the_cached_ones_out() -> None:
    rows = (
        LedgerRow(role="agent", model="m", input_tokens=900, cached_input_tokens=800, output_tokens=20, seconds=1.0),
        LedgerRow(
            role="helper:TSA", model="m", input_tokens=950, cached_input_tokens=900, output_tokens=10, seconds=1.0
        ),
        LedgerRow(role="selector", model="m", input_tokens=960, cached_input_tokens=900, output_tokens=5, seconds=1.0),
    )
    told = Episode(
        id="e",
        benchmark="b",
        domain="d",
        task_id="t",
        trial=0,
        messages=(Message(role="user", content="hello"),),
        ledger=rows,
        outcome=Outcome(status="success", reason="done"),
        reward=1.0,
    )
    assert score_of(told).tokens.help_new == 60 + 65
    unsaid = rows[1].model_copy(update={"cached_input_tokens": None})
    assert score_of(told.model_copy(update={"ledger": (unsaid,)})).tokens.help_new is None
    beside = rows[1].model_copy(update={"input_tokens": 50})  # as of servers that count the cached ones beside it
    assert score_of(told.model_copy(update={"ledger": (beside,)})).tokens.help_new is None


def test_a_question_about_an_arm_that_is_not_there_is_refused(caplog: pytest.LogCaptureFixture) -> None:
    arms = (SelectorSettings(name="none"), SelectorSettings(name="all"))
    for asked, part in ((("all", "learned"), "no arm 'learned'"), (("all", "all"), "compared with itself")):
        settings = CompareSettings(arms=arms, questions=(QuestionSettings(arm=asked[0], than=asked[1]),))
        with pytest.raises(BadInput, match=part):
            check_questions(settings)
    check_questions(CompareSettings(arms=arms, questions=(QuestionSettings(arm="all", than="none", ask="more"),)))
    assert not caplog.records
    wide = QuestionSettings(arm="all", than="none", ask="more", margin=0.1)
    check_questions(CompareSettings(arms=arms, questions=(wide,)))
    assert "margin: more is more by any amount; it has no effect" in caplog.text
    assert "questions" not in CompareSettings(arms=arms).model_dump()  # earlier configs keep their hash


def test_a_comparison_answers_and_a_question_once_asked_stays(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    command = ["compare", "benchmark=helpdesk", "domain=shop+saas", "tasks=4", "model.name=scripted:echo"]
    arms = "arms=[{name: none}, {name: all}]"
    asked = "questions=[{arm: all, than: none, margin: 0.1, tokens: 0.5}]"
    out = ["--out", str(tmp_path / "out")]
    assert main([*command, arms, asked, *out]) == 0
    comparison = read_comparison(tmp_path / "out")
    (found,) = comparison.answers
    assert (found.arm, found.difference.value, found.token_share) == ("all", 0.0, Interval(None, None, None, 0))
    table = answers_table(comparison)
    assert (
        table is not None
        and "without Holm's correction" in table.caption
        and table.rows[0][0].text.startswith("all no worse than none, margin 10 points")
    )
    assert main(["report", str(tmp_path / "out")]) == 0
    assert "Questions asked before the run" in (tmp_path / "out" / "report.md").read_text(encoding="utf-8")
    assert main(["report", "--leaderboard", str(tmp_path / "board"), str(tmp_path / "out")]) == 0
    path = tmp_path / "out" / "comparison.json"
    whole = path.read_text(encoding="utf-8")
    edited = json.loads(whole)
    edited["answers"][0]["shown"] = not edited["answers"][0]["shown"]
    path.write_text(json.dumps(edited), encoding="utf-8")
    capsys.readouterr()
    assert main(["report", "--leaderboard", str(tmp_path / "board"), str(tmp_path / "out")]) == 2
    assert "answers" in capsys.readouterr().err
    path.write_text(whole, encoding="utf-8")
    assert main([*command, arms, "questions=[{arm: all, than: none, margin: 0.2}]", *out]) == 2
    assert (
        "questions: arm: all, than: none, ask: no_worse, margin: 0.1, tokens: 0.5 was asked" in capsys.readouterr().err
    )
    more = asked.replace("]", ", {arm: rule, than: all}]")
    assert main([*command, arms.replace("]", ", {name: rule}]"), more, *out]) == 0
    assert [one.arm for one in read_comparison(tmp_path / "out").answers] == ["all", "rule"]


def test_a_question_may_not_come_after_both_arms_were_run(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    command = ["compare", "tasks=1", "model.name=scripted:echo", "arms=[{name: none}, {name: all}]"]
    out = ["--out", str(tmp_path / "out")]
    assert main([*command, *out]) == 0
    capsys.readouterr()
    assert main([*command, "questions=[{arm: all, than: none, ask: more}]", *out]) == 2
    assert "ask: more, margin: 0.05 comes after both arms were run" in capsys.readouterr().err
    assert read_comparison(tmp_path / "out").answers == ()


def test_stored_arms_that_no_question_is_about_are_not_read(tmp_path: Path) -> None:
    """An arm with a key of another version, and a folder of before arms had one."""
    question = QuestionSettings(arm="all", than="none")
    old = {"name": "rule", "budget": 3}
    written: dict[str, Any] = {"questions": [question.model_dump()], "arms": [old, {"name": "all"}, {"name": "none"}]}
    (tmp_path / "config.json").write_text(json.dumps({"settings": written}))
    settings = CompareSettings(
        arms=(SelectorSettings(name="none"), SelectorSettings(name="all")), questions=(question,)
    )
    assert check_kept(settings, tmp_path) == {question: None}
    written["arms"][1] = {"name": "all", "budget": 3}
    (tmp_path / "config.json").write_text(json.dumps({"settings": written}))
    with pytest.raises(BadInput, match="cannot be read"):
        check_kept(settings, tmp_path)
    (tmp_path / "config.json").write_text(json.dumps({"settings": {"arms": [old]}}))
    assert check_kept(settings, tmp_path) == {}


def test_a_replay_answers_questions_about_its_arms_only(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    mixed = ["domain=shop+saas", "options={phrases: first}", "model.name=scripted:echo", "tasks=2"]
    assert main(["outcomes", *mixed, "subsets=[[]]", "per_task=1", "--out", str(tmp_path / "t")]) == 0
    table = f"replay={tmp_path / 't' / 'outcomes.parquet'}"
    arms = "arms=[{name: none}, {name: none, label: again}]"
    command = ["compare", *mixed, table, arms, "--out", str(tmp_path / "out")]
    assert main([*command, "questions=[{arm: again, than: none, ask: same}]"]) == 0
    comparison = read_comparison(tmp_path / "out")
    assert (comparison.answers[0].difference.value, comparison.tasks) == (0.0, 2)
    shown_table = answers_table(comparison)
    assert shown_table is not None and shown_table.title == "Questions asked of episodes that were there before"
    capsys.readouterr()
    assert main([*command, "questions=[{arm: all, than: none}]"]) == 2
    assert "questions: no arm 'all'; the arms are none, again" in capsys.readouterr().err
    assert main([*command]) == 2
    assert "was asked before the run" in capsys.readouterr().err
