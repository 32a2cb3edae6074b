import math
from itertools import combinations
from typing import Any

import pytest

from fama.errors import BadInput
from fama.helpers.pool import build_pool
from fama.selection.base import SelectorContext
from fama.selection.selectors.random_subset import RandomSelector, build
from fama.settings import HelperSettings
from tests.support.draws import check_draws

POOL = build_pool(HelperSettings(pool=("DCE", "TSA", "TOR", "Verifier")))


def selector(**options: Any) -> RandomSelector:
    built = build(SelectorContext(POOL), **options)
    assert isinstance(built, RandomSelector)
    return built


def subsets() -> list[tuple[str, ...]]:
    return [subset for size in range(len(POOL) + 1) for subset in combinations(POOL, size)]


@pytest.mark.parametrize("options", [{}, {"size": 2}, {"size": [1, 2, 1]}, {"mean_size": 1.3}, {"mean_size": 0}])
async def test_propensities_sum_to_one_and_match_the_draws(options: dict[str, Any]) -> None:
    chosen = selector(**options)
    expected = {
        subset: chosen.propensity_of(subset) if len(subset) < len(chosen.weights) else 0 for subset in subsets()
    }
    await check_draws(chosen, expected, tuple(POOL))


async def test_mean_size_is_met() -> None:
    weights = selector(mean_size=1.3).weights
    assert math.isclose(sum(size * weight for size, weight in enumerate(weights)), 1.3)


@pytest.mark.parametrize(
    "options",
    [
        {"size": 5},
        {"size": -1},
        {"size": True},
        {"size": "2"},
        {"size": []},
        {"size": [0, 0]},
        {"size": [1, -1]},
        {"size": [1] * 6},
        {"mean_size": 4.5},
        {"mean_size": float("nan")},
        {"mean_size": "2"},
        {"size": 1, "mean_size": 1},
        {"sizes": 1},
    ],
)
def test_bad_sizes_say_what_to_mend(options: dict[str, Any]) -> None:
    with pytest.raises(BadInput, match="selector"):
        selector(**options)
