"""Comparisons and reports with an arm whose selector cannot be read: marked, never bold, never right."""

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from eval.commands.compare import print_comparison
from eval.compare.comparison import read_comparison
from eval.compare.schema import Comparison, Curve, CurvePoint
from eval.metrics.selection_quality import NO_CHOICE, ExecutedSubset, selection_quality, task_grids
from eval.report.latex import latex
from eval.report.leaderboard import build_leaderboard as build_board
from eval.report.narrative import best_arm, headline_answers
from eval.report.table_format import Table, markdown
from eval.report.tables import comparison_tables
from eval.report.transcripts import transcript
from fama.cli import main
from fama.episodes.keys import EpisodeKey
from fama.episodes.records import Decision, Episode, LedgerRow, Status
from fama.episodes.spending import Spent
from fama.errors import BadInput
from fama.intervals import Interval
from fama.selection.health import SelectorHealth
from tests.support.comparisons import ALPHA, comparison, live, table
from tests.support.eval_builders import build
from tests.support.toy_world import toy_world

#: The toy model answers every call as the agent, so that no selection can be read.
PROMPTED = {"name": "prompted", "options": {"form": "one_call"}}
ARMS: list[dict[str, Any]] = [{"name": "none"}, {"name": "all"}, ALPHA, PROMPTED]
UNREAD = SelectorHealth(selections=4, unparsed=4, fell_back=4, repaired=4)


@pytest.fixture(autouse=True)
def world() -> Iterator[None]:
    with toy_world():
        yield


def table_of(comparison: Comparison, name: str) -> Table:
    return next(table for table in comparison_tables(comparison) if table.name == name)


async def test_a_comparison_whose_prompted_arm_is_unparsed_everywhere(tmp_path: Path) -> None:
    """Tasks need Beta, both, nothing and Alpha; minimal are all, all, none and Alpha.

    Prompted ran without helpers at all four, which is right at one, if it had chosen so.
    """
    compared = await live(tmp_path, arms=ARMS)
    arm = compared.arm("prompted")
    assert arm.health == UNREAD and arm.broken
    assert arm.selection is not None and (arm.selection.choices, arm.selection.no_choice) == (4, 4)
    assert (arm.selection.exact.value, arm.selection.jaccard.value) == (0.0, 0.0)
    assert arm.selection.regret.value == 0.75  # of no helper, which is what was run
    assert arm.subsets == {NO_CHOICE: 4} and arm.helpers_per_episode == 0
    plain = compared.arm("none")
    assert plain.selection is not None and plain.selection.exact.value == 0.25 and not plain.broken
    assert plain.health == SelectorHealth(selections=4, subsets=1, only_subset="none")
    assert all(row.arms["prompted"].subsets == (NO_CHOICE,) for row in compared.per_task)
    assert all(row.arms["none"].subsets == ("none",) for row in compared.per_task)
    told = [line for line in compared.warnings if line.startswith("prompted: ")]
    assert told[0] == "prompted: 4 of 4 (100 %) selections unparsed, 4 of these ran without helpers."
    assert "broken selector" in told[1] and len(told) == 2
    assert read_comparison(tmp_path) == compared


def with_costs_and_curves(compared: Comparison) -> Comparison:
    """Return the comparison as one in which every arm has a setup cost and a curve."""
    spent = Spent(part="training", source="x", tokens=1, seconds=1.0)
    curves = tuple(
        Curve(
            arm=arm.arm,
            points=(CurvePoint(lam=None, tokens=arm.measures.tokens, success=arm.measures.success),),
            area=Interval(None, None, None, 2),
        )
        for arm in compared.arms
    )
    arms = tuple(arm.model_copy(update={"one_off": (spent,)}) for arm in compared.arms)
    return compared.model_copy(update={"arms": arms, "curves": curves})


async def test_the_report_marks_the_arm_and_prints_nothing_of_it_in_bold(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """On tasks that need no helper an unread choice of nobody would be right everywhere, and as good as the best."""
    compared = await live(tmp_path, arms=ARMS, tasks=["t12", "t16"])
    assert main(["report", str(tmp_path)]) == 0
    right = {row[0].text: row[2] for row in table_of(compared, "selection").rows}
    assert right["none"].text.startswith("100") and right["none"].best
    assert right["prompted"].text.startswith("0") and not right["prompted"].best
    tables = comparison_tables(with_costs_and_curves(compared))
    assert {"one_off", "curves"} < {shown.name for shown in tables}
    for shown in tables:
        own = next(row for row in shown.rows if row[0].text == "prompted")
        assert own[0].mark == "†" and not any(cell.best for cell in own), shown.name
        assert "† Broken selector" in shown.caption
        assert "**" not in next(line for line in markdown(shown).splitlines() if line.startswith("| prompted†"))
        line = next(line for line in latex(shown).splitlines() if line.startswith(r"prompted$^{\dagger}$"))
        assert r"\textbf" not in line
        assert not any(row[0].mark for row in shown.rows if row[0].text != "prompted")
    notes = (tmp_path / "report.md").read_text(encoding="utf-8")
    page = (tmp_path / "report.html").read_text(encoding="utf-8")
    for text in (notes, page):
        assert "2 of 2 (100 %) selections unparsed" in text and "broken selector" in text
        assert "Left out, since their selector is broken: prompted." in text
    rows = [
        part for part in re.findall(r"<tr>.*?</tr>", page, re.DOTALL) if 'row">prompted<sup class="broken">†' in part
    ]
    assert len(rows) == len(comparison_tables(compared)) and not any('class="best"' in row for row in rows)
    capsys.readouterr()
    print_comparison(compared)
    printed = capsys.readouterr().out
    assert re.search(r"^prompted † .* 0 \[0, \d+\] †", printed, re.MULTILINE), printed
    assert "† Broken selector" in printed and "2 of 2 (100 %) selections unparsed" in printed


async def test_the_leaderboard_says_so_and_refuses_another_health(tmp_path: Path) -> None:
    compared = await live(tmp_path / "out", arms=ARMS)
    assert main(["report", str(tmp_path / "out"), "--leaderboard", str(tmp_path / "board")]) == 0
    rows = (tmp_path / "board" / "leaderboard.md").read_text(encoding="utf-8").splitlines()
    assert [line for line in rows if "4 of 4 (100 %): broken selector" in line] == [
        line for line in rows if line.startswith("| prompted |")
    ]
    (entry,) = (e for e in build_board([tmp_path / "out"]).groups[0].entries if e.arm == "prompted")
    assert entry.health == UNREAD
    forged = compared.model_dump(mode="json")
    forged["arms"][3]["health"]["unparsed"] = 0
    (tmp_path / "out" / "comparison.json").write_text(json.dumps(forged), encoding="utf-8")
    with pytest.raises(BadInput, match="arms.prompted.health.unparsed is 0, but its episodes say 4"):
        build_board([tmp_path / "out"])


def test_a_transcript_says_why_no_helper_was_selected() -> None:
    for state, why in (("unparsed", "reply could not be read"), ("unaffordable", "budget had no room")):
        made = (Decision.model_validate({"turn": 0, "message_index": 2, "selection": state}),)
        (shown,) = (t for t in transcript(build("t0", "x", decisions=made))["turns"] if t["role"] == "selection")
        assert shown["text"].startswith("no helper, since ") and why in shown["text"]


async def test_the_health_table(tmp_path: Path) -> None:
    compared = await live(tmp_path, arms=ARMS)
    rows = {row[0].text: [cell.text for cell in row[1:]] for row in table_of(compared, "health").rows}
    assert rows["prompted"] == ["4", "4 (100 %)", "0", "4 (100 %)", "4 (100 %)", "0", "0", "0"]
    assert rows["all"] == ["4", "0", "0", "0", "0", "0", "1", "0"]


def test_the_headline_is_of_arms_whose_selector_works() -> None:
    """Prompted solves all four tasks without having chosen anything; all solves two, none one."""
    unread = LedgerRow(role="selector", model="m", input_tokens=5, parsed=False, turn=0)

    def group(arm: str, outcomes: str, *rows: LedgerRow) -> list[Episode]:
        ends: dict[str, Status] = {"0": "failure", "1": "success"}
        return [build(f"t{i}", arm, ends[sign], ledger=rows) for i, sign in enumerate(outcomes)]

    arms = {"none": group("none", "0001"), "all": group("all", "0011"), "prompted": group("prompted", "1111", unread)}
    compared = comparison(arms)
    best = best_arm(compared)
    assert compared.arm("prompted").broken and best is not None and best.arm == "all"
    headline = headline_answers(compared).headline
    assert headline.startswith("all solves 50.0 %")
    assert headline.endswith("Left out, since their selector is broken: prompted.")
    shown = {row[0].text: row[1] for row in table_of(compared, "success").rows}
    assert shown["all"].best and not shown["prompted"].best
    alone = headline_answers(comparison({"prompted": arms["prompted"]})).headline
    assert alone.startswith("prompted solves 100.0 %") and "Its selector is broken: " in alone


async def test_a_replayed_arm_that_cannot_be_read(tmp_path: Path) -> None:
    path = await table(tmp_path / "table")
    compared = await live(tmp_path / "replayed", arms=ARMS, replay=str(path))
    arm = compared.arm("prompted")
    assert arm.health == UNREAD and arm.missing == 0 and arm.subsets == {NO_CHOICE: 4}
    assert arm.selection is not None and arm.selection.exact.value == 0.0
    tight = await live(tmp_path / "tight", arms=ARMS, replay=str(path), budget={"decision": 30})
    assert tight.arm("prompted").health == SelectorHealth(unaffordable=4)
    assert tight.arm("prompted").subsets == {NO_CHOICE: 4} and tight.arm("prompted").broken
    assert "4 of 4 (100 %) selections not made" in " ".join(tight.warnings)


async def test_comparisons_of_before_have_no_health_and_are_reported(tmp_path: Path) -> None:
    compared = await live(tmp_path, arms=ARMS)
    old = compared.model_copy(
        update={"arms": tuple(arm.model_copy(update={"health": None}) for arm in compared.arms), "warnings": ()}
    )
    (tmp_path / "comparison.json").write_text(old.model_dump_json(), encoding="utf-8")
    assert main(["report", str(tmp_path)]) == 0
    assert "health" not in {shown.name for shown in comparison_tables(read_comparison(tmp_path))}
    assert "†" not in (tmp_path / "report.md").read_text(encoding="utf-8")


def test_quality_of_choices_some_of_which_were_never_made() -> None:
    """Two tasks: nobody is minimal on a, TSA on b. On a nobody is chosen once, and once no choice is read, as on b.

    Exact a 1/2, b 0; Jaccard the same; regret of nobody on a 0, on b 1; F1 of TSA 0.
    """

    def cell(task: str, subset: str, success: float) -> ExecutedSubset:
        members = frozenset({subset} if subset else ())
        return ExecutedSubset(EpisodeKey("b", "d", task, 0, "m", "act"), members, success, 10.0 + len(members))

    truth = task_grids([cell("a", "", 1.0), cell("a", "TSA", 1.0), cell("b", "", 0.0), cell("b", "TSA", 1.0)])
    quality = selection_quality([("a", frozenset()), ("a", None), ("b", None)], truth, ["TSA"])
    assert quality is not None
    assert (quality.choices, quality.no_choice, quality.executed) == (3, 2, 3)
    assert (quality.exact.value, quality.jaccard.value, quality.regret.value) == (0.25, 0.25, 0.5)
    assert quality.f1 == {"TSA": 0.0}
