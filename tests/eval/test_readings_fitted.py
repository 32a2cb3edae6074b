"""The fitted models of category, party and step: known answers, no leak between customers, the comparison by hand."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest

from eval.readings.annotator_agreement import Named
from eval.readings.fitted import nested as module
from eval.readings.fitted import stored_comparisons
from eval.readings.fitted.command import cases_of, pooled
from eval.readings.fitted.failure_evidence import FailureEvidence, nature
from eval.readings.fitted.failure_features import CODES, features
from eval.readings.fitted.meaning import NEAR, meaning_features
from eval.readings.fitted.nested import Case, FeatureChoice, Guess, Names, Tried, choose, folds, nested
from eval.readings.fitted.rule_comparison import (
    Compared,
    among_findings,
    compare_with_rule,
    compared_markdown,
    curve,
    outer,
)
from eval.readings.fitted.softmax import RULES_SHARE, fit_classes, fit_steps
from eval.readings.fitted.steps import step_features
from eval.readings.fitted.stored_comparisons import FittedComparisons, Part
from eval.readings.reader_answers import Reading
from eval.readings.readings import FOLDER
from fama.diagnosis.taxonomy import load_taxonomy
from fama.errors import BadInput
from fama.intervals import Array, Interval
from tests.support.diagnosis_cases import agent, call, episode, gold, user

EXCHANGE = "exchange_delivered_order_items"
ROWS = {"4111": {"size": "S", "price": 20.0}, "4222": {"size": "M", "price": 25.0}}


def wrong_row() -> FailureEvidence:
    """The agent offers item 4222 where the reference takes 4111; both stood in one output. Messages 0 to 8."""
    return FailureEvidence(
        episode(
            user("I want to exchange the shirt of order W700 for the cheapest one."),
            call("get_order_details", ROWS, order_id="W700"),
            agent("Item 4222 costs $25, which is the cheapest. Shall I go ahead?"),
            user("Yes, please."),
            call(EXCHANGE, {"status": "done"}, order_id="W700", new_item_id="4222"),
            user("Thanks. ###STOP###"),
            actions=(gold(EXCHANGE, order_id="W700", new_item_id="4111"),),
            detail={"r_actions": 0.0},
            instruction="You want to exchange the shirt of order W700 for the cheapest one.",
        ),
        load_taxonomy(),
    )


def read(one: str, category: str | None, step: int) -> Reading:
    party = "user" if category is None else "agent"
    return Reading.model_validate({"id": one, "category": category, "blame": party, "step": step, "confidence": "high"})


def test_class_weights_are_found_again() -> None:
    rng = np.random.default_rng(0)
    given = rng.normal(size=(6000, 2))
    true = np.array([[2.0, -1.0], [0.0, 1.0]])
    chances = np.exp(given @ true)
    chances /= chances.sum(axis=1, keepdims=True)
    truth = ["ab"[int(rng.random() > row[0])] for row in chances]
    model = fit_classes(given, truth, ("a", "b"), ("x: one", "x: two"), ("x",), penalty=1e-3)
    weights = model.weights / model.scale.spread[:, None]
    assert weights[:, 0] - weights[:, 1] == pytest.approx([3.0, -1.0], abs=0.2)


def test_a_strong_penalty_leaves_the_shares_of_the_classes_and_the_rule_is_penalised_less() -> None:
    rng = np.random.default_rng(1)
    own = rng.normal(size=200)
    given = np.column_stack([own, own, np.ones(200)])
    truth = ["a" if x > 0.5 else "b" for x in own]
    names = ("rule: r", "other: r", "other: same in all rows")
    model = fit_classes(given, truth, ("a", "b"), names, ("rule", "other"), penalty=1e9)
    assert model.scale.names == names[:2]
    assert model.chances(given)[:, 0] == pytest.approx(np.full(200, truth.count("a") / 200), abs=1e-3)
    model = fit_classes(given, truth, ("a", "b"), names, ("rule", "other"), penalty=5.0)
    # of two columns that say the same each gets its share against the penalty
    assert model.weights[0] == pytest.approx(model.weights[1] / RULES_SHARE, rel=1e-2)


def test_step_weights_are_found_again_and_a_failure_without_a_candidate_is_left_out() -> None:
    rng = np.random.default_rng(2)
    tables, hits = [], []
    for _ in range(3000):
        rows = rng.normal(size=(5, 2))
        chances = np.exp(rows @ np.array([1.5, -0.5]))
        hit = np.zeros(5)
        hit[rng.choice(5, p=chances / chances.sum())] = 1.0
        tables.append(rows)
        hits.append(hit)
    names = ("x: one", "x: two")
    model = fit_steps(tables, hits, names, ("x",), penalty=1e-3)
    assert model.weights / model.scale.spread == pytest.approx([1.5, -0.5], abs=0.1)
    more = fit_steps([*tables, -tables[0]], [*hits, np.zeros(5)], names, ("x",), penalty=1e-3)
    assert more.weights / more.scale.spread == pytest.approx(model.weights / model.scale.spread, abs=1e-3)
    assert model.chances(tables[0]).sum() == pytest.approx(1.0)


def test_features_of_a_wrong_row() -> None:
    found = features(wrong_row())
    expected = {
        "rule: primary WRCO": 1.0,
        "rule: primary IFU": 0.0,
        "findings: gold:wrong_row": 1.0,
        "findings: gold:missing": 0.0,
        "changes: differing": 1.0,
        "changes: one value differs": 1.0,
        "changes: none wanted": 0.0,
        "changes: missing": 0.0,
        "changes: data wrong": 1.0,
        "changes: differs in id": 0.0,  # 4111 looks like a number
        "changes: differs in number": 1.0,
        "origins: right value from tool": 1.0,
        "origins: wrong value from tool": 1.0,
        "origins: wrong value from user": 0.0,
        "origins: both values in one output": 1.0,
        "origins: needed, instructed and unsaid": 0.0,
        "origins: needed, looked up": 0.5,  # the item, not the order
        "course: user stops": 1.0,
        "course: hand-over": 0.0,
        "course: failed calls": 0.0,
        "words: rank": 1.0,
        "words: condition": 0.0,
        "coverage: least of a sentence": 1.0,
    }
    assert {name: found[name] for name in expected} == pytest.approx(expected)


def test_features_of_its_messages() -> None:
    places, rows = step_features(wrong_row())
    assert places == [1, 2, 4, 5, 6, 8]

    def where(name: str) -> list[int]:
        return [place for place, row in zip(places, rows, strict=True) if row[name] > 0]

    assert where("rule: rule's") == where("changes: proposes a bad change") == [4]
    assert where("rule: user") == [1, 5, 8]
    assert where("changes: bad change") == where("changes: first change") == [6]
    assert where("changes: agrees to a bad change") == [5]
    assert where("acts: looks up") == [2]
    assert where("acts: tells after looking up") == where("acts: commits") == [4]
    assert where("acts: user stops") == where("place: last of the user") == [8]
    assert where("findings: gold:wrong_row here") == where("category: WRCO here") == [4]


def test_meaning_tells_what_was_never_said() -> None:
    shown = FailureEvidence(
        episode(
            user("Please cancel my order number nine."),
            agent("Done."),
            user("Nice weather today."),
            instruction="You want to cancel your order number nine. You also want the price of two green lamps.",
        ),
        load_taxonomy(),
    )

    def encode(texts: Sequence[str]) -> Array:
        return np.array([[float("cancel" in t), float("lamps" in t), float("weather" in t)] for t in texts])

    whole, rows = meaning_features(shown, encode)
    assert whole["meaning: least of a sentence"] == 0.0 < NEAR < whole["meaning: user's sentences, mean"] == 0.5
    assert whole["meaning: share unsaid"] == 0.5
    assert (
        rows[1]["meaning: user, new of the instruction"] == 1.0 and rows[1]["meaning: user, off the instruction"] == 0
    )
    assert rows[3]["meaning: user, off the instruction"] == 1.0
    assert [rows[step]["meaning: instruction said so far"] for step in (1, 2, 3)] == [0.0, 0.5, 0.5]


@pytest.mark.parametrize(
    ("value", "kind"),
    [
        (3, "number"),
        ("12.5", "number"),
        ("#W700", "id"),
        ("2024-05-20", "date"),
        ("business", "choice"),
        (None, "choice"),
    ],
)
def test_natures_of_values(value: object, kind: str) -> None:
    assert nature(value) == kind


@dataclass(frozen=True)
class World:
    """Failures of ``customers``, two each: what a feature says of the truth is in the column ``told``."""

    cases: list[Case]
    names: Names

    @classmethod
    def of(cls, customers: int, told: bool) -> "World":
        rng = np.random.default_rng(3)
        cases = []
        for number in range(customers):
            code = CODES[int(rng.integers(4))]
            own = [float(one == number) for one in range(customers)]
            signal = [float(told and code == one) for one in CODES]
            for trial in range(2):
                one, step = f"{number}-{trial}", 2 * int(rng.integers(1, 4))
                rows = np.array([[float(told and place == step)] for place in (2, 4, 6)])
                ruled = Named("IFU", "agent", 2)
                whole = np.array([*signal, *own])
                cases.append(Case(one, f"c{number}", whole, (2, 4, 6), rows, ruled, read(one, code, step)))
        whole_names = (*(f"findings: {code}" for code in CODES), *(f"findings: customer {n}" for n in range(customers)))
        return cls(cases, Names(whole_names, ("findings: here",)))


@pytest.fixture
def few(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(
        module,
        "CHOICES",
        {target: (FeatureChoice(("findings",), 0.1), FeatureChoice(("findings",), 1e6)) for target in module.TARGETS},
    )


def test_a_told_truth_is_learned_and_the_weaker_penalty_chosen(few: None) -> None:
    world = World.of(40, told=True)
    choice, keeps_rule = choose(world.cases, "category", world.names, 0)
    assert (choice.penalty, keeps_rule) == (0.1, False)
    runs = outer(world.cases, world.names, ("category", "step"))
    rows = {(row.target, row.procedure): row for row in compare_with_rule(world.cases, runs)}
    category = rows["category", "fitted"]
    assert category.fitted.value == 1.0 and category.failures == 80 and category.difference.n == 40
    assert category.difference.low is not None and category.difference.low > 0.5
    assert rows["step ±0", "fitted"].fitted.value == 1.0
    points = curve(world.cases, world.names, runs)
    assert [round(point.train) for point in points[:4]] == [18, 36, 54, 72] and points[3].right == 1.0
    assert "| category | fitted | 80 | 40 |" in compared_markdown(list(rows.values()))


def test_what_is_known_of_a_customer_does_not_leak(few: None) -> None:
    """Both failures of a customer have one category and a column of their own: with a leak all would be right."""
    world = World.of(40, told=False)
    share = np.bincount([CODES.index(case.reading.category or "") for case in world.cases]).max() / len(world.cases)
    tried = outer(world.cases, world.names, ("category",))["category"]
    for run in tried:
        right = np.mean([run.guesses[case.id].value == case.reading.category for case in world.cases])
        assert right <= share + 1e-9


def test_a_part_that_is_left_out_takes_its_customers_along(monkeypatch: pytest.MonkeyPatch) -> None:
    world = World.of(6, told=True)
    seen = []

    def spy(train: Sequence[Case], test: Sequence[Case], *_: object) -> dict[str, Guess]:
        seen.append(({case.customer for case in train}, {case.customer for case in test}))
        return {case.id: Guess("DCV", 0.0) for case in test}

    monkeypatch.setattr(module, "guess", spy)
    part_of = {
        case.id: "x" if case.id == "0-0" else "y" if case.customer in ("c0", "c1", "c2") else "z"
        for case in world.cases
    }
    nested(world.cases, "category", world.names, part_of, 0)
    assert seen and all(not train & test for train, test in seen)
    assert ({"c1", "c2", "c3", "c4", "c5"}, {"c0"}) in seen  # though c0's other failure is in part y


def test_folds_hold_whole_customers_evenly() -> None:
    fold = folds([f"c{n}" for n in range(23)] * 2, 10, 0, "outer")
    sizes = np.bincount(list(fold.values()))
    assert len(fold) == 23 and sizes.min() == 2 and sizes.max() == 3


def test_the_comparison_by_hand() -> None:
    """Two customers; the rule is right on a, the models on a in one of two runs and on b."""
    cases = [
        Case("a", "c1", np.zeros(1), (2,), np.zeros((1, 1)), Named("DCV", "agent", 2), read("a", "DCV", 2)),
        Case("b", "c2", np.zeros(1), (2,), np.zeros((1, 1)), Named("DCV", "agent", 9), read("b", "CM", 8)),
        Case("c", "c2", np.zeros(1), (2,), np.zeros((1, 1)), Named("DCV", "agent", 2), read("c", None, 4)),
    ]
    by_rule = {"a": True, "b": False, "c": False}
    tried = [
        Tried({"a": Guess(one, 0.0), "b": Guess("CM", 0.0), "c": Guess("CM", 0.0)}, [], by_rule)
        for one in ("DCV", "IFU")
    ]
    steps = [Tried({"a": Guess(4, 0.0), "b": Guess(8, 0.0), "c": Guess(4, 0.0)}, [], by_rule)]
    rows = {(row.target, row.procedure): row for row in compare_with_rule(cases, {"category": tried, "step": steps})}
    row = rows["category", "fitted"]
    assert (row.failures, row.rule.value, row.fitted.value, row.difference.value) == (2, 0.5, 0.75, 0.25)
    assert rows["category", "fitted or rule"].fitted.value == 1.0  # a keeps the rule
    found = [rows[name, "fitted"] for name in ("step ±1", "step ±0")]
    assert [one.rule.value for one in found] == pytest.approx([2 / 3, 1 / 3])
    assert [one.fitted.value for one in found] == pytest.approx([2 / 3, 2 / 3])
    assert [row.failures for row in compare_with_rule(cases, {"category": tried}, {"b"})] == [1, 1]


def test_cases_hold_the_features_in_the_order_of_their_names() -> None:
    shown = wrong_row()
    cases, names = cases_of(
        {"e1": shown.episode},
        {"e1": read("e1", "WRCO", 4)},
        load_taxonomy(),
        lambda texts: np.eye(1, 3).repeat(len(texts), 0),
    )
    case = cases[0]
    wrong = case._replace(id="e2", reading=read("e2", "CM", 1))  # no finding of CM, none within one message of 1
    assert {k: v.value for k, v in among_findings([case, wrong], names).items()} == {"category": 0.5, "step ±1": 0.5}
    assert among_findings([case, wrong], names, {"e2"})["category"].value == 0.0
    assert case.rows.shape == (6, len(names.rows)) and case.ruled == Named("WRCO", "agent", 4)
    assert case.whole[names.whole.index("findings: gold:wrong_row")] == 1.0
    assert case.rows[2, names.rows.index("rule: rule's")] == 1.0
    assert case.customer == "tau-bench/retail/7"


def test_every_committed_reading_is_pooled_once() -> None:
    assert len(pooled(FOLDER)) == 264


def test_a_recorded_comparison_is_read_again_and_becomes_a_table(tmp_path: Path) -> None:
    share = Interval(0.5, 0.25, 0.75, 40)
    row = Compared(
        target="step ±1",
        procedure="fitted",
        failures=80,
        rule=share,
        fitted=share,
        difference=Interval(0.0125, -0.03, 0.051, 40),
    )
    found = FittedComparisons(parts=(Part(title="all", rows=(row,), among={"step ±1": share}),), commit="0123456789")
    with pytest.raises(BadInput, match=r"fitted\.json: no such file"):
        stored_comparisons.read_comparisons(tmp_path)
    stored_comparisons.write_comparisons(found, tmp_path)
    assert stored_comparisons.read_comparisons(tmp_path) == found
    lines = stored_comparisons.tabulate(found).splitlines()
    assert lines[0] == "| failures of | target | procedure | failures | customers | rule | fitted | difference |"
    assert lines[2] == "| all | step ±1 | fitted | 80 | 40 | 50 [25, 75] | 50 [25, 75] | +1.2 [−3.0, +5.1] |"
    assert lines[4] == "What was read is that of some finding, all: step ±1 50 [25, 75] %."
    assert lines[-1] == "Measured at commit 0123456."
    (tmp_path / stored_comparisons.FILE).write_text("{}", encoding="utf-8")
    with pytest.raises(BadInput, match=r"fitted\.json: no comparison"):
        stored_comparisons.read_comparisons(tmp_path)
