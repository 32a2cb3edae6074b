"""Random subsets with exact propensities: the control arm of matched size, and data for routers."""

import math
import random
from collections.abc import Sequence
from dataclasses import dataclass

from fama.episodes.state import VisibleState
from fama.errors import BadInput
from fama.selection.base import Allowance, Selection, Selector, SelectorContext
from fama.selection.selectors.fixed import no_options
from fama.selection.traits import SelectorTraits, declare
from fama.subsets import by_helper, in_pool_order, is_admissible


@dataclass(eq=False)
class RandomSelector:
    """Draws a size from ``weights`` (index = size), then a subset of that size, all equally likely.

    Members that exclude each other are in no subset together.
    """

    pool: tuple[str, ...]
    weights: tuple[float, ...]
    name: str = "random"
    track: str = "prospective"

    def propensity_of(self, subset: Sequence[str]) -> float:
        """Return the probability with which a subset is drawn; 0 for what is no subset of the pool."""
        size = len(subset)
        if size >= len(self.weights) or not is_admissible(subset, self.pool):
            return 0.0
        return self.weights[size] / counts_by_size(by_helper(self.pool))[size]

    def chance_of(self, name: str) -> float:
        """Return the probability with which a helper is in the drawn subset."""
        groups = by_helper(self.pool)
        if len(groups) == len(self.pool):
            mean = sum(count * weight for count, weight in enumerate(self.weights))
            return min(1.0, mean / len(self.pool)) if self.pool else 0.0
        every = counts_by_size(groups)
        without = counts_by_size([group for group in groups if name not in group])
        # a subset of k helpers with this one is one of k - 1 helpers of the others
        return sum(weight * without[size - 1] / every[size] for size, weight in enumerate(self.weights) if size)

    async def select(self, state: VisibleState, allowance: Allowance, rng: random.Random) -> Selection:
        """Return a fresh draw; each helper's probability is its chance to be in a subset."""
        size = rng.choices(range(len(self.weights)), weights=self.weights)[0]
        groups = by_helper(self.pool)
        drawn = rng.sample(self.pool, size) if len(groups) == len(self.pool) else _drawn(groups, size, rng)
        subset = in_pool_order(drawn, self.pool)
        chances = {name: self.chance_of(name) for name in self.pool}
        return Selection(subset, chances, propensity=self.propensity_of(subset))


def counts_by_size(groups: Sequence[Sequence[str]]) -> list[int]:
    """Return how many subsets of size 0, 1, … take at most one member of each group."""
    counts = [1]
    for group in groups:
        counts = [fewer + len(group) * more for fewer, more in zip([*counts, 0], [0, *counts], strict=True)]
    return counts


def _drawn(groups: Sequence[Sequence[str]], size: int, rng: random.Random) -> list[str]:
    """Return a subset of ``size`` with at most one member of each group, all equally likely."""
    drawn: list[str] = []
    for place, group in enumerate(groups):
        left = size - len(drawn)
        if not left:
            break
        rest = counts_by_size(groups[place + 1 :])
        taking, leaving = len(group) * rest[left - 1], rest[left] if left < len(rest) else 0
        if rng.randrange(taking + leaving) < taking:
            drawn.append(rng.choice(group))
    return drawn


@declare(SelectorTraits(blind=True, asks_model=False))
def build(context: SelectorContext, **options: object) -> Selector:
    """Build a selector of random subsets of the pool.

    ``size`` is a fixed size, or a list of weights for the sizes 0, 1, 2, …; ``mean_size`` draws each
    helper on its own so that subsets have that size on average (the control arm of a selector with
    that mean size). With neither, every size is equally likely. Forms of one helper count as one in the largest size.

    Raises:
        BadInput: a size that the pool cannot give, or another option.
    """
    size, mean_size = options.pop("size", None), options.pop("mean_size", None)
    no_options(options, "random")
    if size is not None and mean_size is not None:
        raise BadInput("selector.options: size and mean_size exclude each other; give one")
    pool = tuple(context.helpers)
    most = len(by_helper(pool))
    if mean_size is not None:
        return RandomSelector(pool, _binomial(mean_size, most))
    return RandomSelector(pool, _weights(size, most))


def _number(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)


def _weights(size: object, count: int) -> tuple[float, ...]:
    if size is None:
        return (1 / (count + 1),) * (count + 1)
    if isinstance(size, int) and not isinstance(size, bool):
        if 0 <= size <= count:
            return tuple(float(index == size) for index in range(count + 1))
    elif isinstance(size, Sequence) and not isinstance(size, str) and 0 < len(size) <= count + 1:
        given = [float(weight) for weight in size if _number(weight) and weight >= 0]
        if len(given) == len(size) and sum(given) > 0:
            return tuple(weight / sum(given) for weight in given)
    raise BadInput(
        f"selector.options.size: {size!r} does not fit; give 0 to {count}, or weights of the sizes 0 to {count}"
    )


def _binomial(mean: object, count: int) -> tuple[float, ...]:
    if not isinstance(mean, int | float) or not _number(mean) or not 0 <= mean <= count:
        raise BadInput(f"selector.options.mean_size: {mean!r} does not fit; give a number from 0 to {count}")
    share = mean / count if count else 0.0
    return tuple(math.comb(count, k) * share**k * (1 - share) ** (count - k) for k in range(count + 1))
