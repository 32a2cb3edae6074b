"""Arms whose errors leave them with different tasks: effect sizes, marks, frontier and headline; corrected power."""

from typing import Literal

import pytest

from eval.compare.schema import Comparison
from eval.report.narrative import best_arm, headline_answers
from eval.report.page import render_page
from eval.report.tables import comparison_tables
from eval.stats.power import detectable_effect, spread_of
from eval.stats.proportions import cohens_h
from fama.episodes.records import Episode
from tests.support.comparisons import comparison
from tests.support.eval_builders import build

Status = Literal["success", "failure", "error"]


def arms(hard: Status) -> Comparison:
    """``none`` solves 5 of 10 easy tasks, ``all`` 8; on 10 hard ones ``all`` fails, and ``none`` ends as given."""

    def group(arm: str, solved: int, other: Status) -> list[Episode]:
        easy = [build(f"e{n}", arm, "success" if n < solved else "failure") for n in range(10)]
        return easy + [build(f"h{n}", arm, other) for n in range(10)]

    return comparison({"none": group("none", 5, hard), "all": group("all", 8, "failure")})


def test_arms_on_different_tasks_are_compared_on_those_that_both_have() -> None:
    found = arms("error")
    versus = found.arm("all").versus_none
    assert versus is not None and versus.estimate.value == pytest.approx(0.3)
    assert versus.cohens_h == pytest.approx(cohens_h(0.8, 0.5))  # of all tasks it would be that of 0.4 and 0.5
    assert not found.same_tasks and len(found.shared_tasks) == 10 and found.frontier == ()
    assert any("different tasks (none 10, all 20 of 20; all of them on 10)" in line for line in found.warnings)
    best = best_arm(found)
    assert best is not None and best.arm == "all"
    headline = headline_answers(found).headline
    assert headline.startswith("all solves 40.0 % of the episodes, 30.0 points more than none")
    assert headline.endswith("Ranked on the 10 of 20 tasks that all arms have a verdict on.")
    success = next(one for one in comparison_tables(found) if one.name == "success")
    assert (
        not any(cell.best for row in success.rows for cell in row) and "None is marked as the best" in success.caption
    )


def test_rates_stand_beside_the_tasks_that_they_are_over() -> None:
    """``none`` has verdicts on 10 of its 20 tasks, and so has the difference."""
    found = arms("error")
    success = next(one for one in comparison_tables(found) if one.name == "success")
    place = success.columns.index("tasks")
    assert [row[place].text for row in success.rows] == ["10", "20"]
    assert "Tasks: those with a verdict." in success.caption
    page = render_page(found, [], {}, {})
    assert "] % of 10 tasks" in page and "] % of 20 tasks" in page
    sure = headline_answers(found).cards[-1]
    assert sure.question == "How sure" and sure.detail.startswith("10 of 20 tasks × 1 trial; ")
    assert headline_answers(arms("failure")).cards[-1].detail.startswith("20 tasks × 1 trial; ")


def test_arms_on_the_same_tasks_are_ranked_by_their_rates() -> None:
    found = arms("failure")
    assert found.same_tasks and found.frontier == ("all",) and "Ranked" not in headline_answers(found).headline
    success = next(one for one in comparison_tables(found) if one.name == "success")
    assert [row[1].best for row in success.rows] == [False, True]


def test_arms_without_a_common_task_are_not_ranked() -> None:
    found = comparison({"none": [build("a", "none"), build("b", "none", "error")],
                        "all": [build("a", "all", "error"), build("b", "all")]})  # fmt: skip
    assert best_arm(found) is None and "none is ranked first" in headline_answers(found).headline


def test_what_is_detectable_is_told_at_the_level_of_the_stars() -> None:
    """Three arms against none: at 0.05 / 3, as Holm asks of the smallest p."""
    solved = {"none": 5, "all": 8, "random": 6, "rule": 4}
    found = comparison(
        {arm: [build(f"t{n}", arm, "success" if n < k else "failure") for n in range(12)] for arm, k in solved.items()}
    )
    versus = found.arm("all").versus_none
    assert versus is not None and versus.detectable is not None and versus.detectable_holm is not None
    spread = spread_of([1.0] * 3 + [0.0] * 9)
    assert versus.detectable == pytest.approx(detectable_effect(spread, 12))
    assert versus.detectable_holm == pytest.approx(detectable_effect(spread, 12, 0.05 / 3))
    (shown,) = [
        row for one in comparison_tables(found) if one.name == "differences" for row in one.rows if row[0].text == "all"
    ]
    assert shown[-1].sort == versus.detectable_holm > versus.detectable
