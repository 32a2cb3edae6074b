"""A router that chooses the same in every state has learned nothing that a fixed subset does not say."""

from collections.abc import Mapping, Sequence

from fama.subsets import one_form_each, subset_label

#: With fewer states there is no warning.
MIN_STATES = 10
_SHARE = 0.95


def collapse(chosen: Mapping[str, int], pool: Sequence[str]) -> str | None:
    """Return one sentence where at least 95 % of ten or more states get one subset; None otherwise.

    Args:
        chosen: states by the subset that is chosen in them, members joined by ``+``, ``none`` for none.
        pool: the helpers there are.
    """
    total = sum(chosen.values())
    if total < MIN_STATES:
        return None
    name, count = max(chosen.items(), key=lambda item: item[1])
    if count < _SHARE * total:
        return None
    everyone = subset_label(one_form_each(pool))
    what = {"none": "no helper", everyone: "all helpers"}.get(name, name)
    cheaper = {"none": "none", everyone: "all"}.get(name, "best_fixed or fixed")
    return (
        f"Collapsed: it chooses {what} in {count} of {total} validation states; the selector {cheaper} does as much "
        "for less. More outcomes, another λ or another kind may tell states apart."
    )
