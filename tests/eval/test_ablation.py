"""``fama ablate`` on SYNTHETIC outcomes and labels: disjoint tasks, measures by hand, one table, done work kept."""

import csv
import json
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from pydantic import ValidationError

from eval.ablation import datasets, variant_runs
from eval.ablation.datasets import AblationData, Test, at_most, load_material
from eval.ablation.figure import curves
from eval.ablation.informed import measure_informed
from eval.ablation.router_measures import (
    label_measures,
    measure_router,
    outcome_measures,
    predicted_flags,
    subset_grid_measures,
    truth_measures,
)
from eval.ablation.settings import AblateSettings
from eval.ablation.table import ablation_markdown, as_csv
from fama import cli
from fama.errors import BadInput
from fama.helpers.pool import build_pool
from fama.intervals import Interval
from fama.selection.decision_rule import all_masks
from fama.selection.router.checkpoint import load_router
from fama.selection.router.features import Features, Segment, featurise
from fama.settings import HelperSettings
from fama.subsets import POOL
from training.data.examples import Example, ExampleSet, outcome_examples
from training.data.synthetic import EFFECTS, make_tasks, outcome_rows
from training.settings import TrainSettings
from training.train import train_on

HELPERS = build_pool(HelperSettings())
CODES = ("DCV", "WRCO", "CM", "IFU")
SMALL = {"source": "hashed", "buckets": 128, "components": 4}
NOWHERE = Features((), ())


def tree(**more: Any) -> dict[str, Any]:
    return {
        "train": {"vectors": SMALL, "decision": {"lam": 0.01}},
        "synthetic": {"tasks": 40, "test_tasks": 15},
        "variants": [
            {"name": "population", "set": {"kind": "linear", "linear": {"strengths": [0.0], "folds": 2}}},
            {"name": "prior", "set": {"kind": "prior", "prior": {"folds": 2}}},
            {"name": "trees", "set": {"kind": "boosting", "boosting": {"rounds": [30], "folds": 2}}},
        ],
        "bootstrap": 200,
        **more,
    }


def labelled(name: str, flags: tuple[int, ...], backbone: str = "one", features: Features = NOWHERE) -> Example:
    return Example(name, features, categories=tuple(map(bool, flags)), coverage=(False,) * 6, backbone=backbone)


def value(sums: Any) -> float:
    found = sums.interval(200, 0).value
    assert found is not None
    return float(found)


def test_the_likeliest_category_is_always_said() -> None:
    chances = np.array([[0.1, 0.2, 0.3, 0.05], [0.6, 0.7, 0.1, 0.1]])
    assert predicted_flags(chances).tolist() == [[0, 0, 1, 0], [1, 1, 0, 0]]


def test_label_measures_by_hand() -> None:
    """DCV: one hit, one miss, one false alarm → F1 1/2. WRCO: said once, wrongly → 0. IFU: 2/3. CM: left out."""
    true = [(1, 0, 0, 0), (1, 0, 0, 0), (0, 0, 0, 1), (0, 0, 0, 1)]
    said = np.array([(1, 0, 0, 0), (0, 1, 0, 0), (1, 0, 0, 0), (0, 0, 0, 1)], dtype=np.float64)
    examples = [labelled(f"t{n}", flags) for n, flags in enumerate(true)]
    found = label_measures(said, examples, CODES, HELPERS)
    assert value(found["F1 DCV"]) == pytest.approx(1 / 2)
    assert value(found["F1 WRCO"]) == 0.0
    assert value(found["F1 IFU"]) == pytest.approx(2 / 3)
    assert found["F1 CM"].interval(200, 0).value is None
    assert value(found["macro-F1"]) == pytest.approx((1 / 2 + 0 + 2 / 3) / 3)
    assert value(found["subset exact"]) == value(found["subset F1"]) == 1 / 2


def test_half_a_subset_counts_half() -> None:
    examples = [labelled("t", (0, 1, 1, 0))]
    found = label_measures(np.array([[0.0, 1.0, 0.0, 0.0]]), examples, CODES, HELPERS)
    assert value(found["subset F1"]) == pytest.approx(2 / 3)
    assert value(found["subset exact"]) == 0.0


def test_outcome_measures_by_hand() -> None:
    examples = [Example(f"t{n}", NOWHERE, subset=(False,) * 6, success=n < 3) for n in range(4)]
    found = outcome_measures(np.zeros(4), examples)
    assert value(found["log loss"]) == pytest.approx(np.log(2))
    assert value(found["Brier score"]) == pytest.approx(0.25)
    assert value(found["calibration error"]) == pytest.approx(0.25)
    same = found["log loss"].minus(found["log loss"], 200, 0)
    assert same is not None and (same.value, same.low, same.high) == (0.0, None, None)


def test_a_calibrated_router_is_not_shown_to_be_miscalibrated() -> None:
    """Chance alone makes a calibration error, and resampling more of it: the percentiles were above the truth of 0."""
    rng = np.random.default_rng(0)
    covered = []
    for _ in range(20):
        logits = rng.normal(0.0, 1.2, 300)
        won = rng.random(300) < 1 / (1 + np.exp(-logits))
        rows = [Example(f"t{n // 4}", NOWHERE, subset=(False,) * 6, success=bool(ok)) for n, ok in enumerate(won)]
        found = outcome_measures(logits, rows)["calibration error"].interval(200, 0)
        assert found.low is not None and found.value is not None and found.high is not None
        assert found.low <= found.value <= found.high
        covered.append(found.low < 0.005)
    assert sum(covered) >= 16


def test_a_choice_is_looked_up_where_it_was_executed() -> None:
    one, two = (True, *[False] * 5), (False,) * 6
    rows = [Example("t", NOWHERE, subset=s, success=won) for s, won in ((one, True), (one, False), (two, True))]
    found = subset_grid_measures({NOWHERE: one}, rows)
    assert value(found["success of the choice"]) == 0.5
    assert value(found["regret to the best executed"]) == 0.5
    never = subset_grid_measures({NOWHERE: (True,) * 6}, rows)["success of the choice"]
    assert never.counted == (0, 1) and never.interval(200, 0).value is None


def half_executed(choice: tuple[bool, ...]) -> dict[str, Any]:
    """Measure a choice where one subset was run on 8 tasks, half solved, and the other on 3 of these, all solved."""
    off, on = (False,) * 6, (True, *[False] * 5)
    rows = [Example(f"t{n}", NOWHERE, subset=off, success=n % 2 == 0) for n in range(8)]
    rows += [Example(f"t{n}", NOWHERE, subset=on, success=True) for n in range(3)]
    return subset_grid_measures({NOWHERE: choice}, rows)


def test_choices_are_compared_where_both_were_executed() -> None:
    off, on = (half_executed(choice)["success of the choice"] for choice in ((False,) * 6, (True, *[False] * 5)))
    assert (off.counted, on.counted) == ((8, 8), (3, 8))
    alone, paired = on.interval(200, 0), on.minus(off, 200, 0)
    assert (alone.value, alone.high, alone.n) == (1.0, 1.0, 3) and alone.low == pytest.approx(0.139, abs=1e-3)
    assert paired is not None and paired.value == pytest.approx(1 / 3) and paired.n == 3
    assert paired.low is not None and paired.low < 0  # three tasks tell nothing apart
    never = half_executed((True,) * 6)["success of the choice"]
    assert never.minus(on, 200, 0) is None


def test_a_table_says_which_rows_count_and_which_differences_are_missing() -> None:
    choices = {"off": (False,) * 6, "on": (True, *[False] * 5), "never": (True,) * 6}
    sums = {name: half_executed(choice) for name, choice in choices.items()}
    train, test = ExampleSet((), POOL), Test("tasks", tuple(Example(f"t{n}", NOWHERE) for n in range(8)))
    settings = AblateSettings.model_validate(tree())
    cells = [
        variant_runs._cell(name, name, train, test, own, sums["off"] if name != "off" else {}, settings)
        for name, own in sums.items()
    ]
    found = variant_runs.Ablation(
        view="v", reference="off", synthetic=False, data_hash="", settings_hash="", git_commit=None, command="c",
        cells=tuple(cells),
    )  # fmt: skip
    told = ablation_markdown(found)
    assert "| 1.000 [0.139, 1.000], 3 of 8 |" in told and "| –, 0 of 8 |" in told and "| 0.500 [" in told
    assert "No paired difference to off, since no row counts for both: never success of the choice." in told
    assert next(csv.reader(as_csv(found).splitlines()))[-2:] == ["counted", "of"]


def test_the_truth_gives_no_regret_to_the_best_and_closes_no_gap_for_the_fixed() -> None:
    tasks = make_tasks(30)
    rows = outcome_examples(outcome_rows(tasks), POOL).examples
    masks = [tuple(mask) for mask in all_masks(6).tolist()]
    best = {featurise(task.state): masks[int(task.values(0.01).argmax())] for task in tasks}
    found = truth_measures(best, rows, tasks, 0.01, 0.0)
    assert value(found["regret"]) == 0.0 and value(found["exactly the minimal"]) == 1.0
    assert value(found["gap of best_fixed closed"]) == 1.0
    fixed = masks[int(np.mean([task.values(0.01) for task in tasks], axis=0).argmax())]
    found = truth_measures(dict.fromkeys(best, fixed), rows, tasks, 0.01, 0.0)
    assert value(found["gap of best_fixed closed"]) == pytest.approx(0.0)


def test_within_a_wide_tolerance_doing_nothing_is_the_minimal_choice() -> None:
    tasks = make_tasks(30)
    rows = outcome_examples(outcome_rows(tasks), POOL).examples
    nothing = {featurise(task.state): (False,) * 6 for task in tasks}
    found = truth_measures(nothing, rows, tasks, 0.01, 1.0)
    assert value(found["exactly the minimal"]) == 1.0 and (value(found["regret"]) or 0.0) > 0.1


def test_who_is_told_the_needs_of_strong_tasks_finds_most_minimal_subsets() -> None:
    """With 1,600 rows; without regression to the needs, no fixed subset comes near."""
    learned, tasks = make_tasks(400, 0, EFFECTS["strong"]), make_tasks(60, 1, EFFECTS["strong"])
    train = outcome_examples(outcome_rows(learned), POOL).examples
    test = datasets.Test("toy", outcome_examples(outcome_rows(tasks), POOL).examples, tuple(tasks))
    settings = TrainSettings.model_validate({"kind": "linear", "decision": {"lam": 0.01, "epsilon": 0.02}})
    found = measure_informed(settings, train, learned, test)
    assert (value(found["exactly the minimal"]) or 0.0) > 0.5
    assert (value(found["gap of best_fixed closed"]) or 0.0) > 0.9


def test_smaller_training_sets_are_whole_tasks_and_nested() -> None:
    everything = outcome_examples(outcome_rows(make_tasks(20)), POOL)
    some, more = (at_most(everything, rows, 0) for rows in (9, 30))
    assert len(some.examples) == 12 and len(more.examples) == 32
    assert set(some.examples) < set(more.examples)
    assert at_most(everything, None, 0) is everything
    with pytest.raises(BadInput, match="81 training rows are asked for, there are 80"):
        at_most(everything, 81, 0)


def test_no_test_task_is_trained_on(monkeypatch: pytest.MonkeyPatch) -> None:
    """Whoever ran it: a held-out task is held out for every backbone, and so is its twin by conversation."""
    states = [featurise(task.state) for task in make_tasks(30)]
    logs = [labelled(f"{b}/{n}", (1, 0, 0, 0), b, s) for b in ("one", "two") for n, s in enumerate(states)]
    monkeypatch.setattr(datasets, "load_examples", lambda settings: ExampleSet(tuple(logs), POOL))
    labels = {"losses": {"outcome": 0, "coverage": 1}, "data": {"failures": [{"failures": "f", "episodes": "e"}]}}
    wanted = AblateSettings.model_validate(
        {
            "train": labels,
            "variants": [{"name": "prior", "set": {"kind": "prior"}}],
            "train_backbones": ["one"],
            "tests": [{"name": "own", "backbones": ["one"]}, {"name": "other", "backbones": ["two"]}],
        }
    )
    found = load_material(wanted)
    trained = {example.features for example in found.train.examples}
    assert {example.backbone for example in found.train.examples} == {"one"} and found.train.backbones == ("one",)
    for test in found.tests:
        assert len(test.examples) == 30 - len(trained)
        assert not trained & {example.features for example in test.examples}
    with pytest.raises(BadInput, match="no test example is in 'other'"):
        nobody = [{"name": "other", "backbones": ["x"]}]
        load_material(AblateSettings.model_validate({**wanted.model_dump(), "tests": nobody}))


def test_the_command_writes_one_table_and_goes_on(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    config, out = tmp_path / "a.yaml", tmp_path / "out"
    config.write_text(json.dumps(tree(rows=[80, None])))
    assert cli.main(["ablate", "--config", str(config), "--out", str(out)]) == 0
    shown = capsys.readouterr().out
    found = variant_runs.Ablation.model_validate_json((out / variant_runs.RESULT).read_text())
    assert shown == (out / "ablation.md").read_text() and "**SYNTHETIC tasks**" in shown
    assert [cell.variant for cell in found.cells] == ["needs told", "population", "prior", "trees"] * 2
    assert {cell.train_rows for cell in found.cells} == {80, 160} and {cell.test_rows for cell in found.cells} == {60}
    first, second = found.cells[1:3]
    assert first.differences == {} and set(second.differences) == set(second.measures)
    regret = second.measures["regret"].value, first.measures["regret"].value, second.differences["regret"].value
    assert None not in regret and regret[2] == pytest.approx((regret[0] or 0) - (regret[1] or 0))
    lines = list(csv.DictReader((out / "ablation.csv").open()))
    assert len(lines) == sum(len(cell.measures) for cell in found.cells)
    assert {line["kind"] for line in lines} == {"needs told", "linear", "prior", "boosting"}
    figure = (out / "curves.svg").read_text()
    assert all(word in figure for word in ("needs told", "trees", "exactly the minimal", ">160<"))
    assert curves(found.model_copy(update={"cells": found.cells[:4]})) is None

    monkeypatch.setattr(variant_runs, "train_on", lambda *_, **__: pytest.fail("trained again"))
    assert cli.main(["ablate", "--config", str(config), "--out", str(out)]) == 0
    assert variant_runs.Ablation.model_validate_json((out / variant_runs.RESULT).read_text()) == found


def test_a_training_that_is_killed_leaves_no_router_under_the_stamp_of_another(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The settings of before were taken for those of the router that is there, once they came back."""
    data, one = outcome_examples(outcome_rows(make_tasks(4)), POOL), TrainSettings(seed=1)
    trained: list[int] = []

    def write(settings: TrainSettings, data: ExampleSet, folder: Path, **more: Any) -> None:
        trained.append(settings.seed)
        (folder / "work").mkdir(parents=True, exist_ok=True)
        (folder / "router.json").write_text("{}")
        if settings.seed == 2:
            raise KeyboardInterrupt

    monkeypatch.setattr(variant_runs, "train_on", write)
    variant_runs._train_once(one, data, tmp_path, None)
    with pytest.raises(KeyboardInterrupt):
        variant_runs._train_once(one.model_copy(update={"seed": 2}), data, tmp_path, None)
    variant_runs._train_once(one, data, tmp_path, None)
    variant_runs._train_once(one, data, tmp_path, None)
    assert trained == [1, 2, 1]


def ablation_of(measure: str, *points: tuple[str, int, Interval]) -> variant_runs.Ablation:
    """Return an ablation with one measure of variants at numbers of training rows."""
    cells = tuple(
        variant_runs.AblationCell(
            variant=name,
            kind=name,
            train_rows=rows,
            train_tasks=rows,
            test="t",
            test_rows=4,
            test_tasks=4,
            measures={measure: value},
        )
        for name, rows, value in points
    )
    return variant_runs.Ablation(
        view="v", reference="a", synthetic=False, data_hash="", settings_hash="", git_commit=None, command="c",
        cells=cells,
    )  # fmt: skip


def test_a_figure_of_one_measure_names_its_curves() -> None:
    value = Interval(0.5, 0.2, 0.8, 4)
    points = [(name, rows, value) for rows in (10, 20) for name in ("one-vs-rest", "setfit")]
    legends = [axes.get_legend() for axes in curves(ablation_of("success of the choice", *points)).axes]
    assert [[text.get_text() for text in one.get_texts()] for one in legends if one] == [["one-vs-rest", "setfit"]]


def test_a_router_without_an_interval_is_drawn_without_a_band() -> None:
    perfect, other = Interval(1.0, None, None, 4), Interval(0.5, 0.2, 0.8, 4)
    found = ablation_of("macro-F1", ("a", 10, other), ("a", 20, perfect), ("b", 10, perfect), ("b", 20, perfect))
    (axes,) = [axes for axes in curves(found).axes if axes.get_lines()]
    assert [list(line.get_ydata()) for line in axes.get_lines()] == [[0.5, 1.0], [1.0, 1.0]]


def test_measures_of_labels_are_of_the_labelled_rows_among_all_and_of_choices_of_the_cells() -> None:
    rows = [labelled(f"t{n}", (1, 0, 0, 0)) for n in range(3)]
    masks = [(False,) * 6, (True, *[False] * 5)]
    rows += [Example(f"o{n}", NOWHERE, subset=mask, success=True) for n in range(5) for mask in masks]
    router: Any = SimpleNamespace(
        labels=True,
        manifest=SimpleNamespace(categories=("CM", "DCV", "IFU", "WRCO"), kind="prior"),
        categories=lambda features: np.array([0.9, 0.1, 0.1, 0.1]),
        choose=lambda features: SimpleNamespace(members=masks[0]),
    )
    found = measure_router(router, Test("t", tuple(rows)), build_pool(HelperSettings()), knows_success=False)
    assert {name: sums.counted for name, sums in found.items() if sums.counted[0] < sums.counted[1]} == {
        name: (3, 13) for name in found if "F1" in name or name == "subset exact"
    }
    assert found["success of the choice"].counted == (5, 5)


def test_majority_says_the_most_frequent_category(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    flags = [(1, 0, 0, 0), (0, 0, 0, 1), (0, 0, 0, 1), (0, 0, 0, 1)]
    states = [featurise(task.state) for task in make_tasks(24)]
    logs = tuple(labelled(f"t{n}", flags[n % 4], features=state) for n, state in enumerate(states))
    halves = AblationData(ExampleSet(logs[:12], POOL), (Test("rest", logs[12:]),))
    monkeypatch.setattr(variant_runs, "load_material", lambda settings: halves)
    train = {"losses": {"outcome": 0, "coverage": 1}, "data": {"failures": [{"failures": "f", "episodes": "e"}]}}
    variants = [{"name": "prior", "set": {"kind": "prior", "prior": {"folds": 2}}}]
    settings = AblateSettings.model_validate({"train": train, "variants": variants, "bootstrap": 100})
    found = variant_runs.ablate(settings, tmp_path, "fama ablate", lambda line: None)
    majority, prior = found.cells
    assert (majority.variant, prior.variant) == ("majority", "prior")
    assert majority.measures == prior.measures
    assert majority.measures["F1 IFU"].value == pytest.approx(2 * 9 / (9 + 12))


def test_labels_of_training_alone_make_no_majority_row(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    learned, tested = (outcome_examples(outcome_rows(make_tasks(12, seed)), POOL).examples for seed in (0, 1))
    logs = (labelled("failed", (1, 0, 0, 0), features=learned[0].features), *learned)
    material = AblationData(ExampleSet(logs, POOL), (Test("rest", tested),))
    monkeypatch.setattr(variant_runs, "load_material", lambda settings: material)
    variants = [{"name": "prior", "set": {"kind": "prior", "prior": {"folds": 2}}}]
    settings = AblateSettings.model_validate({"variants": variants, "bootstrap": 100})
    assert [cell.variant for cell in variant_runs.ablate(settings, tmp_path, "fama ablate", print).cells] == ["prior"]


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"reference": "x"}, "'x' is no variant to run"),
        ({"reference": "trees", "only": ["prior"]}, "'trees' is no variant to run; there are prior"),
        ({"only": ["forest"]}, "only: 'forest' is no variant"),
        ({"variants": [{"name": "a"}, {"name": "a"}]}, "a name occurs twice"),
        ({"variants": [{"name": "a", "set": {"kind": "knn", "knn": {"folds": 1}}}]}, "variant a: knn.folds"),
        ({"variants": [{"name": "../a"}]}, "pattern"),
    ],
)
def test_bad_settings_are_refused(changes: dict[str, Any], words: str) -> None:
    with pytest.raises(ValidationError, match=words):
        AblateSettings.model_validate(tree(**changes))


def test_the_same_synthetic_tasks_cannot_be_trained_and_tested() -> None:
    with pytest.raises(ValidationError, match="seed and test_seed are the same"):
        AblateSettings.model_validate(tree(synthetic={"seed": 3, "test_seed": 3}))


def test_tasks_of_a_test_table_leave_the_training(synthetic_table: Callable[[int], Path]) -> None:
    train, test = synthetic_table(30), synthetic_table(10)
    settings = AblateSettings.model_validate(
        {"train": {"data": {"outcomes": [str(train)]}}, "test_outcomes": [str(test)], "variants": [{"name": "a"}]}
    )
    found = load_material(settings)
    tasks = {example.task for example in found.train.examples}, {example.task for example in found.tests[0].examples}
    assert (len(tasks[0]), len(tasks[1])) == (20, 10) and not tasks[0] & tasks[1]
    same = settings.model_copy(update={"test_outcomes": (str(train),)})
    with pytest.raises(BadInput, match="test_outcomes: they hold every training task"):
        load_material(same)


def test_states_without_a_message_are_no_shared_conversation(monkeypatch: pytest.MonkeyPatch) -> None:
    """All tasks were taken for test tasks: of an agent that speaks first every conversation is empty."""
    rows = [Example(f"t{n}", Features((), (float(n),)), (True,), bool(n % 2)) for n in range(6)]
    monkeypatch.setattr(datasets, "load_examples", lambda settings: ExampleSet(tuple(rows[:4]), ("TSA",)))
    monkeypatch.setattr(datasets, "table_examples", lambda paths, data: ExampleSet(tuple(rows[3:]), ("TSA",)))
    found = load_material(AblateSettings.model_validate(tree(test_outcomes=["test.parquet"], synthetic=None)))
    assert [example.task for example in found.train.examples] == ["t0", "t1", "t2"]


def test_a_task_that_shares_one_of_its_conversations_with_a_test_task_leaves_with_all_of_them(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Only the rows with the very conversation were left out, and the task's others were trained on."""
    said = [Features((Segment("user", f"line {n}"),), ()) for n in range(4)]
    twin = [Example("twin", said[place], (True,), True) for place in (0, 1)]
    rows = [*twin, Example("next", said[1], (True,), False), Example("far", said[2], (True,), False)]
    monkeypatch.setattr(datasets, "load_examples", lambda settings: ExampleSet(tuple(rows), ("TSA",)))
    test = ExampleSet((Example("test", said[0], (True,), True),), ("TSA",))
    monkeypatch.setattr(datasets, "table_examples", lambda paths, data: test)
    found = load_material(AblateSettings.model_validate(tree(test_outcomes=["test.parquet"], synthetic=None)))
    assert [example.task for example in found.train.examples] == ["far"]


def test_too_few_tasks_for_a_test_set_name_the_setting(synthetic_table: Callable[[int], Path]) -> None:
    one = {"train": {"data": {"outcomes": [str(synthetic_table(1))]}}, "variants": [{"name": "a"}]}
    with pytest.raises(BadInput, match="^test: splitting 1 task leaves one side empty; give more tasks$"):
        load_material(AblateSettings.model_validate(one))


def test_a_kind_that_predicts_no_success_is_measured_by_its_choices(tmp_path: Path) -> None:
    examples = outcome_examples(outcome_rows(make_tasks(30)), POOL)
    options = {"folds": 2, "strengths": [1.0], "terms": 50}
    train_on(TrainSettings.model_validate({"kind": "one_vs_rest", "options": options}), examples, tmp_path)
    router = load_router(tmp_path)
    found = measure_router(router, Test("tasks", examples.examples), {})
    assert set(found) == {"success of the choice", "regret to the best executed"}
    chosen = {one.features: router.choose(one.features).members for one in examples.examples}
    runs: dict[str, list[float]] = {}
    for one in examples.examples:
        if one.subset == chosen[one.features]:
            runs.setdefault(one.task, []).append(float(bool(one.success)))
    wanted = float(np.mean([np.mean(own) for own in runs.values()]))
    assert found.keys() == measure_router(router, Test("tasks", examples.examples), {}, knows_success=False).keys()
    assert found["success of the choice"].interval(100, 0).value == pytest.approx(wanted)
