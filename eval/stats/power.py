"""Power of a paired design: detectable effects and the tasks that an effect needs."""

import math
from collections.abc import Sequence

from scipy.special import betaincinv, stdtrit

#: Stands for an effect that no test finds: rates differ by 1 at most.
NOT_FOUND = 2.0
#: The share of comparisons that find a detectable difference.
POWER = 0.8


def detectable_effect(sd: float, tasks: int, alpha: float = 0.05, trials: int = 1) -> float | None:
    """Return the smallest mean paired difference that a two-sided sign-flip test finds 4 times in 5 (power 0.8).

    ``sd`` is the standard deviation between tasks of the per-task difference of success rates over ``trials``. The
    larger of two bounds: Student's t on both sides, and the difference with which enough tasks differ at all, however
    little they vary. None for fewer than two tasks; at least ``NOT_FOUND`` where the test of so few tasks is not below
    ``alpha`` even if all of them differ one way.
    """
    if tasks < 2:
        return None
    df = tasks - 1
    effect = float((stdtrit(df, 1 - alpha / 2) + stdtrit(df, POWER)) * sd / math.sqrt(tasks))
    return max(effect, _least_effect(tasks, alpha, trials))


def _least_effect(tasks: int, alpha: float, trials: int) -> float:
    """Return the difference at which 4 times in 5 enough tasks differ for p to be below ``alpha``, all of them one way.

    m tasks that differ one way have p = 2 / 2^m. A task that gains on each trial with the same chance differs after
    ``trials`` of them; where chances are unequal, fewer tasks differ.
    """
    least = math.floor(1 - math.log2(alpha)) + 1
    if least > tasks:
        return NOT_FOUND
    share = float(betaincinv(least, tasks - least + 1, POWER))
    return float(1.0 - (1.0 - share) ** (1.0 / trials))


def spread_of(differences: Sequence[float]) -> float:
    """Return the standard deviation of per-task differences, for a detectable effect; never 0.

    Where no task differs, nothing was seen to vary: the rule of three (Hanley and Lippman-Hand 1983) gives the largest
    share of differing tasks that is still plausible, 3 in n, and with it a spread.
    """
    n = len(differences)
    mean = sum(differences) / n
    spread = math.sqrt(sum((value - mean) ** 2 for value in differences) / (n - 1)) if n > 1 else 0.0
    return spread or math.sqrt(min(1.0, 3.0 / n))


def tasks_needed(effect: float, sd: float, alpha: float = 0.05, trials: int = 1) -> int:
    """Return the fewest tasks whose detectable effect is at most ``effect``.

    Raises:
        ValueError: the effect is not above 0.
    """
    if effect <= 0:
        raise ValueError(f"the effect is {effect}; it must be above 0")

    def reaches(tasks: int) -> bool:
        found = detectable_effect(sd, tasks, alpha, trials)
        return found is not None and found <= effect

    low, high = 1, 2
    while not reaches(high):
        low, high = high, high * 2
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (low, middle) if reaches(middle) else (middle, high)
    return high


def planned_sd(discordance: float, trials: int, between: float = 0.0) -> float:
    """Return the standard deviation of per-task differences to expect before any run.

    ``discordance`` is the chance that two arms end differently on one trial; ``between`` the variance
    between tasks of the true difference, which more trials do not lower. Its largest value is the
    discordance itself.
    """
    return math.sqrt(between + max(0.0, discordance - between) / trials)
