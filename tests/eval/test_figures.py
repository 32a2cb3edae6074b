"""Figures of a report: labels that hide nothing, a colour for each arm; sentences with p-values."""

from itertools import combinations
from pathlib import Path

import pytest
from matplotlib.figure import Figure
from matplotlib.font_manager import FontEntry, findfont, fontManager, get_font

from eval.annotation.failure_profiles import draw_profiles, profile
from eval.compare.schema import Comparison, Curve, CurvePoint
from eval.metrics.figure_text import fonts_for
from eval.metrics.formats import detectable_points, p_statement, p_value
from eval.report.figures import (
    COLOURS,
    arm_colours,
    figures,
    inline_svg,
    label_places,
    label_width,
    save_figure,
)
from fama.episodes.records import Episode
from fama.intervals import Interval
from tests.support.comparisons import comparison
from tests.support.eval_builders import build
from tests.support.label_builders import CODES, label

AT_ZERO = {name: "0000" for name in ("none", "irma", "prompted", "learned")}
SHARED = {"none": "0001", "all": "0111", "best_fixed": "0111", "learned": "0111"}


def arm_episodes(arm: str, outcomes: str) -> list[Episode]:
    """Episodes of equal cost, a sign per task: 1 is solved."""
    return [build(f"t{i}", arm, "success" if sign == "1" else "failure") for i, sign in enumerate(outcomes)]


@pytest.mark.parametrize("outcomes", [AT_ZERO, SHARED], ids=["at zero", "at one place"])
def test_no_label_hides_another(outcomes: dict[str, str]) -> None:
    """Episodes of one cost and one success: every label would stand at the same place."""
    episodes = {arm: arm_episodes(arm, signs) for arm, signs in outcomes.items()}
    figure: Figure = figures(comparison(episodes))["success_over_tokens"]
    figure.canvas.draw()
    labels = [text for text in figure.axes[0].texts if text.get_text() in {*outcomes, "doing nothing"}]
    assert {text.get_text() for text in labels} == {*outcomes, "doing nothing"}
    boxes = {text.get_text(): text.get_window_extent() for text in labels}
    assert [pair for pair in combinations(boxes, 2) if boxes[pair[0]].overlaps(boxes[pair[1]])] == []


def test_a_label_stays_off_the_text_of_a_line() -> None:
    near, line = {"learned": (90.0, 50.0)}, [(100.0, 50.0, len("best executed subset"))]
    assert label_places(near, 100.0, 100.0)["learned"] == (8, 5, "left")
    assert label_places(near, 100.0, 100.0, line)["learned"] == (8, -13, "left")


def test_no_label_stands_on_the_numbers_of_the_axis() -> None:
    near = {"learned per turn": (5.0, 50.0)}
    line = [(60.0, 50.0, 30)]  # a text on the right of the point
    assert label_places(near, 100.0, 100.0, line)["learned per turn"] == (-8, 5, "right")
    assert label_places(near, 100.0, 100.0, line, edge=0.0)["learned per turn"] == (8, -13, "left")


def test_success_over_new_tokens_is_drawn_where_they_are_known() -> None:
    found = comparison({arm: arm_episodes(arm, "0011") for arm in ("none", "all")})
    axes = figures(found)["success_over_new_tokens"].axes[0]
    assert axes.get_xlabel().startswith("tokens in no cache") and {text.get_text() for text in axes.texts} > {"all"}
    arms = [
        arm.model_copy(update={"measures": arm.measures.model_copy(update={"new_tokens": None})}) for arm in found.arms
    ]
    assert "success_over_new_tokens" not in figures(found.model_copy(update={"arms": tuple(arms)}))


def test_two_routers_have_two_colours() -> None:
    names = ("none", "learned", "learned-tokens", "learned-labels", "mine")
    episodes = {name: arm_episodes(name, "01") for name in names}
    arms = [
        arm.model_copy(update={"selector": "learned" if "learned" in arm.arm else arm.selector})
        for arm in comparison(episodes).arms
    ]
    colours = arm_colours(arms)
    assert (colours["none"], colours["learned"]) == (COLOURS["none"], COLOURS["learned"])
    assert len(set(colours.values())) == len(names)
    assert colours == arm_colours(arms)
    many = [arms[-1].model_copy(update={"arm": f"mine-{number}", "selector": "mine"}) for number in range(40)]
    assert len(set(arm_colours([*arms, *many]).values())) == len(names) + 40


def test_a_p_value_in_a_sentence_has_one_sign() -> None:
    stated = [p_statement(p) for p in (None, 0.0004, 0.001, 0.25)]
    assert stated == ["p = –", "p < 0.001", "p = 0.001", "p = 0.250"]


def test_a_name_is_no_formula_and_a_legend_lacks_none(tmp_path: Path) -> None:
    """Between two dollar signs matplotlib reads a formula, and a legend leaves out names that begin with ``_``."""
    found = comparison({arm: arm_episodes(arm, "0011") for arm in ("none", "all")})
    text = found.model_dump_json().replace('"all"', '"$x_$"')
    drawn = figures(Comparison.model_validate_json(text))
    for name, figure in drawn.items():
        save_figure(figure, tmp_path / f"{name}.png")
    assert "$x_$" in {label.get_text() for label in drawn["success_over_tokens"].axes[0].texts}
    names = ("a$x_$.jsonl", "_old/failures.jsonl")
    figure = draw_profiles([profile(name, [label(n, "CM") for n in range(4)], CODES) for name in names])
    save_figure(figure, tmp_path / "profiles.png")
    shown = [text.get_text().strip() for text in figure.axes[0].get_legend().get_texts()]
    assert shown == [f"{name} (n = 4)" for name in names]


def test_names_of_other_scripts_are_drawn_by_a_font_that_has_them(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, recwarn: pytest.WarningsRecorder
) -> None:
    """DejaVu Sans lacks the letters of a typewriter, which its sister has; of a sign that none has one line tells."""
    found = comparison({arm: arm_episodes(arm, "0011") for arm in ("none", "all")})
    text = found.model_dump_json()
    drawn = figures(Comparison.model_validate_json(text.replace('"all"', '"𝚊𝚕𝚕"')))["differences"]
    (tick,) = drawn.axes[0].get_yticklabels()
    first, *others = tick.get_fontfamily()
    assert tick.get_text() == "𝚊𝚕𝚕" and first == "DejaVu Sans"
    assert any(ord("𝚊") in get_font(findfont(family)).get_charmap() for family in others)
    assert not caplog.records
    for name, figure in figures(Comparison.model_validate_json(text.replace('"all"', '"a\U000e1234"'))).items():
        save_figure(figure, tmp_path / f"{name}.png")
        inline_svg(figure, name, name)
    assert [record.getMessage().partition(",")[0] for record in caplog.records] == [
        "figures: no installed font has \U000e1234"
    ]
    assert not [one for one in recwarn if "Glyph" in str(one.message)]


def test_a_font_that_is_gone_is_passed_over(monkeypatch: pytest.MonkeyPatch) -> None:
    gone = FontEntry(fname="/nowhere/gone.ttf", name="A Sans", weight=400)
    monkeypatch.setattr(fontManager, "ttflist", [gone, *fontManager.ttflist])
    assert "A Sans" not in fonts_for(["𝚣"])["font.family"]


def test_wide_letters_take_room_for_two() -> None:
    assert label_width("学习") == label_width("abcd") == 4 * label_width("é")


def test_the_legend_of_curves_hides_none_of_them() -> None:
    points = tuple(
        CurvePoint(lam=lam, tokens=Interval(at, at, at, 4), success=Interval(at / 100, 0.0, 1.0, 4))
        for lam, at in ((0.0, 90.0), (1.0, 50.0), ("inf", 10.0))
    )
    curves = tuple(Curve(arm=arm, points=points, area=Interval(0.5, 0.1, 0.9, 4)) for arm in ("none", "all", "learned"))
    found = comparison({arm: arm_episodes(arm, "0011") for arm in ("none", "all", "learned")})
    figure: Figure = figures(found.model_copy(update={"curves": curves}))["curves"]
    figure.canvas.draw()
    axes = figure.axes[0]
    legend = axes.get_legend()
    assert legend is not None and not legend.get_window_extent().overlaps(axes.get_window_extent())


def test_a_p_below_a_level_is_not_written_as_the_level() -> None:
    told = {0.04996: "<0.05", 0.05: "0.050", 0.0494: "0.049", 0.0096: "<0.01", 0.0004: "<0.001", 0.00104: "0.001"}
    assert {p: p_value(p) for p in told} == told
    assert p_statement(0.04996) == "p < 0.05" and p_statement(0.0004) == "p < 0.001"


def test_no_difference_of_more_than_100_points_is_found() -> None:
    assert [detectable_points(effect) for effect in (None, 0.1234, 1.0, 5.3)] == ["–", "12", "100", ">100"]
