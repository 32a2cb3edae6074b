"""Learn then test on SYNTHETIC losses of known size: what is certified holds as often as is said."""

import random
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import cast

import numpy as np
import pytest
from pydantic import ValidationError

from eval.collect.designs import design, draw_subsets
from fama.errors import BadInput
from fama.helpers.pool import build_pool
from fama.selection.base import SelectorContext
from fama.selection.decision_rule import Choice, Floats
from fama.selection.router.features import Features
from fama.selection.router.manifest import Guarantee
from fama.selection.router.router import Router
from fama.selection.selectors.learned import build
from fama.settings import HelperSettings
from fama.subsets import POOL
from tests.support.asking import choose_now
from training.data.examples import Example, outcome_examples
from training.data.synthetic import make_tasks, outcome_rows
from training.export.collapse import collapse
from training.export.guarantee import (
    _losses,
    certify,
    check_all_helpers,
    first_passes,
    tasks_to_guarantee,
    upper_bound,
)
from training.network.fit import _choices
from training.settings import GuaranteeSettings, TrainSettings
from training.train import train_on

CONTEXT = SelectorContext(helpers=build_pool(HelperSettings()))
#: True loss of five policies, the boldest last; ε is between the third and the fourth.
TRUTH = np.array([0.0, 0.01, 0.03, 0.08, 0.3])
EPSILON = 0.05


def drawn(tasks: int, seed: int) -> Floats:
    """Losses of −1, 0 or 1 with these means, a policy a column."""
    dice = np.random.default_rng(seed).random((tasks, 1))
    lost, won = 0.1 + TRUTH, 0.1
    found: Floats = np.where(dice < lost, 1.0, np.where(dice > 1.0 - won, -1.0, 0.0))
    return found


def test_a_loss_beyond_epsilon_is_certified_less_often_than_said() -> None:
    places = [first_passes(drawn(4000, seed), 2.0, EPSILON, 0.1).place for seed in range(300)]
    assert sum(place is not None and TRUTH[place] > EPSILON for place in places) <= 0.1 * 300
    assert sum(place is not None and place >= 1 for place in places) > 0.9 * 300


def test_more_tasks_certify_more_and_few_certify_nothing() -> None:
    assert first_passes(drawn(40, 0), 2.0, EPSILON, 0.1).place is None
    found = first_passes(drawn(40_000, 0), 2.0, EPSILON, 0.1)
    assert found.place == 2 and found.bound is not None and TRUTH[2] < found.bound <= EPSILON


def test_testing_stops_at_the_first_failure() -> None:
    losses = np.zeros((500, 3))
    losses[:, 1] = 1.0
    assert first_passes(losses, 2.0, EPSILON, 0.1).place == 0


def test_the_bound_covers_a_mean_of_known_size() -> None:
    draws = np.random.default_rng(0).random((400, 300)) < 0.2
    bounds = [upper_bound(line.astype(float), 1.0, 0.1) for line in draws]
    assert np.mean(np.array(bounds) >= 0.2) >= 0.9
    assert max(bounds) < 0.5


@pytest.mark.parametrize(("draws", "trials", "tables"), [(1, 4, 1), (4, 1, 1), (4, 2, 1), (8, 1, 1), (4, 1, 2)])
def test_the_loss_is_that_of_the_policy_however_many_subsets_are_drawn(draws: int, trials: int, tables: int) -> None:
    """All three helpers solve every task, none half of them: a router that asks nobody loses 0.5, far above ε."""
    pool = ("DCE", "TSA", "Memory")
    candidates, rng = design(pool, None, draws), random.Random(7)
    nobody = cast(Router, Asking(pool, (False,) * 3))
    rows = [
        Example(
            f"t{task}",
            Features((), ()),
            flags,
            all(flags) or task % 2 == 0,
            propensity=chance,
            trial=trial,
            table=table,
        )
        for task in range(3000)
        for table in range(tables)
        for trial in range(trials)
        for subset, chance in draw_subsets(candidates, rng)
        for flags in [tuple(name in subset for name in pool)]
    ]
    settings = GuaranteeSettings(epsilon=0.4, thresholds=(0.0,))
    assert certify(nobody, rows, settings).threshold is None
    found = certify(nobody, rows, settings.model_copy(update={"epsilon": 0.999}))
    assert found.bound is not None and 0.5 < found.bound < 0.65


class Asking:
    """A router that asks the same helpers whatever it reads."""

    def __init__(self, pool: tuple[str, ...], members: tuple[bool, ...]) -> None:
        self.manifest, self._members = SimpleNamespace(pool=pool), members

    def choose(self, features: Features, max_predicted_loss: float) -> Choice:
        return Choice(self._members, 0.0, 0.0, (0.0,) * len(self._members))


def logged(chance: float, error: tuple[float, float], solved: tuple[float, float], tasks: int) -> list[Example]:
    """Return rows of nobody, of both helpers, or of both subsets, with rates of errors and of successes of the rest."""
    dice, rows = random.Random(3), []
    for task in range(tasks):
        for both in (False, True) if chance == 1.0 else (dice.random() < 0.5,):
            broken, won = dice.random() < error[both], dice.random() < solved[both]
            rows.append(Example(f"t{task}", Features((), ()), (both, both), None if broken else won, None, chance))
    return rows


@pytest.mark.parametrize("chance", [0.5, 1.0])
@pytest.mark.parametrize("error", [(0.0, 0.5), (0.5, 0.0)])
def test_who_errs_more_is_certified_no_sooner(chance: float, error: tuple[float, float]) -> None:
    """Both helpers, or nobody, end every second episode in an error; of the others nobody solves half, both all."""
    rows = logged(chance, error, (0.5, 1.0), 4000)
    router = cast(Router, Asking(("A", "B"), (False, False)))
    found = certify(router, rows, GuaranteeSettings(epsilon=0.45, thresholds=(0.0,)))
    assert found.threshold is None and found.errors == sum(row.success is None for row in rows) > 500
    loose = certify(router, rows, GuaranteeSettings(epsilon=0.999, thresholds=(0.0,)))
    # at worst an error of both was a success (a loss of 0.5), one of nobody a failure (of 0.75)
    assert loose.bound is not None and (0.5 if error[1] else 0.75) < loose.bound < (0.65 if error[1] else 0.9)


class Doubting(Asking):
    """A router that asks nobody once it may lose enough, else all helpers."""

    def choose(self, features: Features, max_predicted_loss: float) -> Choice:
        return Choice((max_predicted_loss < 0.5,) * 2, 0.0, 0.0, (0.0,) * 2)


def test_thresholds_are_tested_from_the_most_careful_on_in_any_order() -> None:
    """With the boldest first, which failed, data were said to be too few."""
    rows, router = logged(1.0, (0.0, 0.0), (0.5, 1.0), 400), cast(Router, Doubting(("A", "B"), ()))
    found = [
        certify(router, rows, GuaranteeSettings(epsilon=0.2, thresholds=order)) for order in ((0.1, 1.0), (1.0, 0.1))
    ]
    assert found[0] == found[1] and found[0].threshold == 0.1


def test_an_error_of_all_helpers_is_no_loss_of_a_router_that_asks_them() -> None:
    rows = logged(1.0, (0.5, 0.5), (0.5, 0.5), 50)
    assert not _losses(cast(Router, Asking(("A", "B"), (True, True))), rows, [0.0]).any()


def test_errors_of_a_table_reach_the_guarantee_and_the_card(tmp_path: Path) -> None:
    rows = outcome_rows(make_tasks(60))
    rows = [
        row.model_copy(update={"status": "error", "success": None}) if n % 5 == 0 else row for n, row in enumerate(rows)
    ]
    manifest = train_on(config(epsilon=0.05), outcome_examples(rows, POOL), tmp_path)
    assert manifest is not None and manifest.guarantee is not None and 0 < manifest.guarantee.errors < 48
    told = f"whatever the {manifest.guarantee.errors} episodes that ended in an error would have become"
    assert told in (tmp_path / "README.md").read_text()


def test_tables_without_all_helpers_cannot_certify(tmp_path: Path) -> None:
    """Every loss against them was estimated as 0 or less, so that any router was certified."""
    rows = [row for row in outcome_rows(make_tasks(60)) if row.subset != row.pool]
    with pytest.raises(BadInput, match=r"guarantee: data.outcomes has no row with all helpers \(DCE\+TSA.*null"):
        train_on(config(epsilon=0.05), outcome_examples(rows, POOL), tmp_path / "router")
    assert not (tmp_path / "router").exists()
    second = outcome_examples([rows[0].model_copy(update={"subset": rows[0].pool})], POOL, table=1)
    with pytest.raises(BadInput, match=r"guarantee: a.parquet has no row"):
        check_all_helpers([*outcome_examples(rows, POOL).examples, *second.examples], POOL, ["a.parquet", "b.parquet"])


def test_the_number_of_tasks_that_would_do() -> None:
    count = tasks_to_guarantee(0.2, 2.0, EPSILON, 0.1)
    still = np.concatenate([np.ones(count // 10), -np.ones(count // 10), np.zeros(count - 2 * (count // 10))])
    assert upper_bound(still, 2.0, 0.1) <= EPSILON < upper_bound(still[::4], 2.0, 0.1) + 1e-9


def config(**guarantee: float) -> TrainSettings:
    return TrainSettings.model_validate(
        {
            "kind": "linear",
            "vectors": {"source": "hashed", "buckets": 256, "components": 4},
            "linear": {"strengths": [0.1], "folds": 2},
            "guarantee": guarantee,
        }
    )


@pytest.fixture(scope="module")
def router(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A router on 60 SYNTHETIC tasks, too few for a guarantee."""
    folder = tmp_path_factory.mktemp("guarantee")
    manifest = train_on(config(epsilon=0.05), outcome_examples(outcome_rows(make_tasks(60)), POOL), folder)
    assert manifest is not None
    found = manifest.guarantee
    assert found is not None and found.threshold is None and 5 < found.tasks < 30
    assert found.needed is not None and found.needed > 1000
    return folder


def test_too_few_data_are_said_to_be_too_few(router: Path) -> None:
    assert "too few data for one" in (router / "README.md").read_text()
    with pytest.raises(BadInput, match="too few for a guarantee"):
        build(CONTEXT, checkpoint=router, guarantee=True)


def test_a_certified_threshold_sends_doubtful_choices_to_all_helpers(router: Path) -> None:
    import json

    path = router / "router.json"
    before = path.read_text()
    try:
        tree = json.loads(before)
        certain = Guarantee(epsilon=0.05, confidence=0.9, tasks=9, threshold=-1.0, bound=0.0).model_dump()
        path.write_text(json.dumps({**tree, "guarantee": certain}))
        selector = build(CONTEXT, checkpoint=router, guarantee=True)
        state = make_tasks(1, seed=4)[0].state
        assert choose_now(selector, state).subset == POOL
        assert choose_now(selector, state, 10).subset == ()
        with pytest.raises(BadInput, match="own lam and epsilon"):
            build(CONTEXT, checkpoint=router, guarantee=True, lam=0.1)
        for cadence in ("turn", "change"):
            with pytest.raises(BadInput, match="a guarantee is of one choice per episode; set cadence: episode"):
                build(replace(CONTEXT, cadence=cadence), checkpoint=router, guarantee=True)
        path.write_text(json.dumps({**tree, "guarantee": None}))
        with pytest.raises(BadInput, match="trained without a guarantee"):
            build(CONTEXT, checkpoint=router, guarantee=True)
    finally:
        path.write_text(before)


def test_a_guarantee_needs_outcomes() -> None:
    with pytest.raises(ValidationError, match="guarantee is about success"):
        TrainSettings.model_validate({"losses": {"outcome": 0, "coverage": 1}, "guarantee": {}})


def test_all_helpers_of_a_pool_with_forms_are_one_form_of_each() -> None:
    pool = ("TSA", "TSA:template", "Verifier")
    rows = [
        Example("t", Features((), ()), subset, True, propensity=0.5)
        for subset in ((True, False, True), (False, True, True), (False,) * 3)
    ]
    assert _losses(cast(Router, Asking(pool, (False,) * 3)), rows, [0.0]).tolist() == [[2.0], [0.0], [-2.0]]
    assert "chooses all helpers in 20 of 20" in str(collapse({"TSA+Verifier": 20}, pool))
    assert "chooses TSA:template+Verifier in 20 of 20" in str(collapse({"TSA:template+Verifier": 20}, pool))


def test_the_decision_loss_chooses_one_form_at_most() -> None:
    tree = {
        "kind": "encoder",
        "losses": {"decision": 1.0},
        "data": {"pool": ["TSA", "TSA:template", "Verifier"], "outcomes": ["x"]},
    }
    for candidates in ("all", "executed"):
        settings = TrainSettings.model_validate({**tree, "decision": {"candidates": candidates}})
        rows = [Example("t", Features((), ()), flags) for flags in ((True, True, True), (False, True, True))]
        choices = _choices(settings, rows)
        assert choices is not None and choices.members.shape == (6 if candidates == "all" else 2, 3)
        assert float((choices.members[:, 0] * choices.members[:, 1]).sum()) == 0
