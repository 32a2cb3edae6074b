"""Questions about a paired difference that were asked before a run: no worse, more, the same; decided by its interval.

An arm is shown to be no worse by more than a margin where the lower end of the difference's 95 % interval is above
minus the margin: a one-sided test at 2.5 % (non-inferiority, e.g. Piaggio et al. 2012, doi:10.1001/jama.2012.87802);
the same within a margin where both ends are inside (equivalence).
"""

from typing import Literal

from fama.intervals import Interval

Ask = Literal["no_worse", "more", "same"]


def shows_margin(difference: Interval, ask: Ask, margin: float) -> bool | None:
    """Return whether a difference in success shows what was asked; None where it has no interval.

    ``margin`` is a share of success above 0; "more" does not need one.
    """
    if difference.low is None or difference.high is None:
        return None
    if ask == "more":
        return difference.low > 0
    no_worse = difference.low > -margin
    return no_worse if ask == "no_worse" else no_worse and difference.high < margin
