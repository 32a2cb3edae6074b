"""Draws of a random selector held against the propensities that it states."""

import math
import random
from collections import Counter
from collections.abc import Mapping, Sequence

from fama.episodes.state import VisibleState
from fama.selection.base import Allowance
from fama.selection.selectors.random_subset import RandomSelector

STATE = VisibleState("", (), ())
DRAWS = 4000


async def check_draws(selector: RandomSelector, expected: Mapping[tuple[str, ...], float], pool: Sequence[str]) -> None:
    """Check that propensities sum to one, that draws say and follow them, and that helpers' probabilities add up."""
    assert math.isclose(sum(expected.values()), 1.0)
    rng = random.Random(7)
    drawn = [await selector.select(STATE, Allowance(), rng) for _ in range(DRAWS)]
    assert all(math.isclose(one.propensity or 0, expected[one.subset]) for one in drawn)
    counts = Counter(one.subset for one in drawn)
    chi = sum((counts[subset] - DRAWS * p) ** 2 / (DRAWS * p) for subset, p in expected.items() if p)
    cells = sum(p > 0 for p in expected.values())
    assert chi <= (cells - 1) + 4 * math.sqrt(2 * max(1, cells - 1))
    for name in pool:
        share = sum(p for subset, p in expected.items() if name in subset)
        assert math.isclose(drawn[0].probabilities[name], share, abs_tol=1e-9)
