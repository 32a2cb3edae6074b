import numpy as np
import pytest

from fama.selection.decision_rule import all_masks
from fama.subsets import POOL
from training.data.synthetic import SyntheticTask, best_fixed_regret, make_task, make_tasks, outcome_rows, regrets

LAM = 0.01


def test_tasks_are_named_synthetic_and_repeatable() -> None:
    one, again, other = make_task(0, 3), make_task(0, 3), make_task(1, 3)
    assert one.state == again.state != other.state
    row = outcome_rows([one])[0]
    assert row.benchmark == row.domain == row.backbone == "synthetic"
    assert one.success.shape == one.tokens.shape == (64,)
    assert ((one.success > 0) & (one.success < 1)).all()


def test_the_truth_has_interference_and_idle_helpers_harm() -> None:
    tasks = make_tasks(300)
    masks = [tuple(mask) for mask in all_masks(6).tolist()]
    full, empty = masks.index((True,) * 6), masks.index((False,) * 6)
    content = [task for task in tasks if not task.needs]
    assert all(task.success.argmax() == empty for task in content)
    assert np.mean([task.success[full] for task in tasks]) < np.mean([task.success.max() for task in tasks]) - 0.3
    assert len({int(task.values(LAM).argmax()) for task in tasks}) > 8


def test_row_frequencies_agree_with_the_truth() -> None:
    task = make_task(0, 1)
    rows = outcome_rows([task], per_task=6000)
    names = [tuple(n for n, flag in zip(POOL, mask, strict=True) if flag) for mask in all_masks(6)]
    for place in (0, 3, 63):
        same = [row for row in rows if row.subset == "+".join(names[place])]
        assert len(same) / 6000 == pytest.approx(same[0].propensity or 0.0, abs=0.02)
        assert np.mean([bool(row.success) for row in same]) == pytest.approx(task.success[place], abs=0.12)
        assert np.median([row.tokens for row in same]) == pytest.approx(task.tokens[place], rel=0.1)


def best(task: SyntheticTask) -> tuple[bool, ...]:
    return tuple(all_masks(6)[int(task.values(LAM).argmax())].tolist())


def test_the_oracle_has_no_regret_and_every_fixed_subset_at_least_the_best_ones() -> None:
    tasks = make_tasks(100)
    assert regrets(tasks, [best(task) for task in tasks], LAM).max() == 0.0
    floor = best_fixed_regret(tasks, LAM)
    fixed = [regrets(tasks, [tuple(mask)] * 100, LAM).mean() for mask in all_masks(6).tolist()]
    assert min(fixed) == pytest.approx(floor)
    assert floor > 0.05
