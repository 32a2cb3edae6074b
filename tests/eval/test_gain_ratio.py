"""The share of a gain that is kept: its interval is an inverted paired t test, with coverage by simulation."""

import numpy as np
import pytest
from scipy.stats import ttest_1samp

from eval.compare.comparison import read_comparison
from eval.compare.schema import Comparison
from eval.publish.arm_tables import DATA
from eval.publish.wording import CONSTANT, TRIO, kept_gain, pooled_gains
from eval.stats.gain_ratio import fieller_interval
from fama.episodes.store import read_episodes
from fama.errors import BadInput
from fama.intervals import Array, Interval


def gains(rng: np.random.Generator, tasks: int, over: float, under: float) -> tuple[Array, Array]:
    """Gains of −1, 0 or 1 a task whose means are ``over`` and ``under``, and which go together."""
    common = rng.random(tasks)
    found = []
    for mean in (over, under):
        own = np.where(rng.random(tasks) < 0.5, common, rng.random(tasks))
        found.append((own < mean + 0.1).astype(float) - (rng.random(tasks) < 0.1))
    return found[0], found[1]


@pytest.mark.parametrize("seed", range(20))
def test_it_holds_the_ratios_that_a_paired_t_test_does_not_exclude(seed: int) -> None:
    over, under = gains(np.random.default_rng(seed), 60, 0.2, 0.4)
    found = fieller_interval(over, under)
    assert found.value == pytest.approx(over.mean() / under.mean())
    assert found.low is not None and found.high is not None and found.n == 60
    ratios = np.linspace(found.low - 1, found.high + 1, 401)
    excluded = ttest_1samp(over[:, None] - ratios * under[:, None], 0.0).pvalue < 0.05
    inside = (found.low < ratios) & (ratios < found.high)
    edge = np.minimum(abs(ratios - found.low), abs(ratios - found.high)) < 1e-6
    assert inside.any() and excluded.any() and ((excluded != inside) | edge).all()


def test_worked_by_hand() -> None:
    # means 0.5 and 1; variances of the means 1/12 and 0, so the interval is 0.5 ± t(3, .975) · √(1/12)
    found = fieller_interval(np.array([0.0, 1.0, 0.0, 1.0]), np.ones(4))
    half = 3.182446 * (1 / 12) ** 0.5
    assert [found.value, found.low, found.high] == pytest.approx([0.5, 0.5 - half, 0.5 + half], abs=1e-5)


def test_no_ends_where_the_denominator_is_not_told_from_zero() -> None:
    over = np.array([1.0, 0.0, 1.0, 1.0])
    assert fieller_interval(over, np.array([1.0, -1.0, 1.0, 0.0])) == Interval(3.0, None, None, 4)
    assert fieller_interval(over, np.zeros(4)) == Interval(None, None, None, 4)
    assert fieller_interval(over[:1], np.ones(1)) == Interval(1.0, None, None, 1)
    assert fieller_interval(over[:0], over[:0]) == Interval(None, None, None, 0)


@pytest.mark.parametrize(("over", "under"), [(0.28, 0.4), (0.2, 0.2), (0.0, 0.4), (0.4, 0.3)])
def test_coverage(over: float, under: float) -> None:
    rng = np.random.default_rng(0)
    held = []
    for _ in range(2000):
        found = fieller_interval(*gains(rng, 80, over, under))
        held.append(found.low is None or found.high is None or found.low <= over / under <= found.high)
    assert 0.935 <= np.mean(held) <= 0.975


def halved(comparison: Comparison) -> Comparison:
    """The comparison without every second gain of all over none."""
    rows, gained = [], 0
    for row in comparison.per_task:
        cell = row.arms["all"]
        if cell.successes > row.arms["none"].successes:
            gained += 1
            cell = cell.model_copy(update={"successes": cell.successes * (gained % 2)})
        rows.append(row.model_copy(update={"arms": {**row.arms, "all": cell}}))
    return comparison.model_copy(update={"per_task": tuple(rows)})


def test_a_table_of_what_is_kept() -> None:
    seen = read_comparison(DATA / "mixed")
    solved = [{arm: row.arms[arm].successes for arm in ("all", "none")} for row in seen.per_task]
    wins, losses = (sum(row[a] > row[b] for row in solved) for a, b in (("all", "none"), ("none", "all")))
    assert (wins - losses, len(solved)) == (16, 80)
    lines = kept_gain([seen], [halved(seen)]).splitlines()
    kept = wins - wins // 2 - losses
    assert lines[2].startswith("| all over none, seen wording | +20 [+8, +32] |")
    assert lines[3].startswith(f"| all over none, unseen wording | +{100 * kept / 80:.0f} [")
    assert lines[4].startswith(f"| unseen less seen | −{100 * (wins // 2) / 80:.0f} [")
    _, name, share, *_ = lines[5].split("| ")
    assert name == "share kept, % " and float(share.split()[0]) == pytest.approx(100 * kept / 16, abs=0.051)
    assert kept_gain([seen], [seen]).splitlines()[5].startswith("| share kept, % | 100.0 [100.0, 100.0]")
    flat = seen.model_copy(update={"per_task": halved(halved(halved(seen))).per_task})
    assert "no bounds: the gain on seen wording is not shown" in kept_gain([flat], [seen])
    cuts = (slice(50), slice(50, None))
    before, after = [
        [one.model_copy(update={"per_task": one.per_task[cut]}) for cut in cuts] for one in (seen, halved(seen))
    ]
    assert kept_gain(before, after).splitlines() == lines
    with pytest.raises(BadInput, match="task shop-test-0200 is in more than one comparison"):
        kept_gain([seen, seen], [seen])
    with pytest.raises(BadInput, match="comparisons of 80 and 79 tasks that are not the same"):
        kept_gain([seen], [seen.model_copy(update={"per_task": seen.per_task[1:]})])
    with pytest.raises(BadInput, match="task shop-test-0200 was not run with 'learned'"):
        kept_gain([seen], [seen], "learned")


def test_gains_of_two_comparisons_together_are_those_of_all_their_tasks() -> None:
    whole = read_comparison(DATA / "mixed")
    parts = [whole.model_copy(update={"per_task": rows}) for rows in (whole.per_task[:30], whole.per_task[30:])]
    lines = pooled_gains(parts, [("all", "none"), ("learned per turn", "all")]).splitlines()
    assert lines[2].startswith("| all over none | 80 | +20 [+8, +32] |")
    assert lines[3].startswith("| learned per turn over all | 80 | +1 [")
    wider = pooled_gains(parts[:1], [("all", "none")]).splitlines()[2]
    solved = [(row.arms["all"].successes, row.arms["none"].successes) for row in whole.per_task[:30]]
    assert f"| 30 | +{100 * sum(one - other for one, other in solved) / 30:.0f} [" in wider
    with pytest.raises(BadInput, match="task shop-test-0200 is in more than one comparison"):
        pooled_gains([whole, parts[0]], [("all", "none")])


def test_a_router_that_chose_one_subset_throughout_stands_for_it() -> None:
    """By hand: DCE, TSA and the Verifier solve 35 and 36 tasks, all six 32 and 33."""
    stands = [one for one in read_episodes(DATA / "fourth") if str(one.selector) == CONSTANT[TRIO]]
    assert {"+".join(decision.subset) for one in stands for decision in one.decisions} == {TRIO}
    both = [read_comparison(DATA / folder) for folder in ("mixed", "fourth")]
    assert pooled_gains(both, [(TRIO, "all")]).splitlines()[2].startswith(f"| {TRIO} over all | 160 | +4 [")
