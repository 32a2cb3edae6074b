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
from fama.subsets import in_pool_order


@dataclass(eq=False)
class RandomSelector:
    """Draws a size from ``weights`` (index = size), then a subset of that size, all equally likely."""

    pool: tuple[str, ...]
    weights: tuple[float, ...]
    name: str = "random"
    track: str = "prospective"

    def propensity_of(self, subset: Sequence[str]) -> float:
        """Return the probability with which a subset is drawn."""
        size = len(subset)
        if size >= len(self.weights):
            return 0.0
        return self.weights[size] / math.comb(len(self.pool), size)

    async def select(self, state: VisibleState, allowance: Allowance, rng: random.Random) -> Selection:
        """Return a fresh draw; each helper's probability is its chance to be in a subset."""
        size = rng.choices(range(len(self.weights)), weights=self.weights)[0]
        subset = in_pool_order(rng.sample(self.pool, size), self.pool)
        mean = sum(count * weight for count, weight in enumerate(self.weights))
        share = min(1.0, mean / len(self.pool)) if self.pool else 0.0
        return Selection(subset, {name: share for name in self.pool}, propensity=self.propensity_of(subset))


@declare(SelectorTraits(blind=True))
def build(context: SelectorContext, **options: object) -> Selector:
    """Random subsets of the pool.

    ``size`` is a fixed size, or a list of weights for the sizes 0, 1, 2, …; ``mean_size`` draws each
    helper on its own so that subsets have that size on average (the control arm of a selector with
    that mean size). With neither, every size is equally likely.

    Raises:
        BadInput: a size that the pool cannot give, or another option.
    """
    size, mean_size = options.pop("size", None), options.pop("mean_size", None)
    no_options(options, "random")
    if size is not None and mean_size is not None:
        raise BadInput("selector.options: size and mean_size exclude each other; give one")
    pool = tuple(context.helpers)
    if mean_size is not None:
        return RandomSelector(pool, _binomial(mean_size, len(pool)))
    return RandomSelector(pool, _weights(size, len(pool)))


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
