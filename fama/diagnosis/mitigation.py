"""The mitigation agent: from primary failure categories to the smallest subset of helpers that covers them."""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, Literal, cast

from pydantic import Field, create_model

from fama.diagnosis.judging import JudgeForm, ask_json
from fama.diagnosis.taxonomy import Taxonomy
from fama.episodes.records import Failure, LedgerRow
from fama.errors import BadInput
from fama.helpers.base import Covering, Helper, form_of, purpose_of
from fama.models.base import ChatModel
from fama.prompts import render
from fama.subsets import base_of, in_pool_order, is_admissible, subsets_of_size


@dataclass(frozen=True)
class Mitigation:
    """A subset in pool order, what it cost to choose, and whether a model's answer stood."""

    subset: tuple[str, ...]
    ledger: tuple[LedgerRow, ...] = ()
    by_model: bool = False


def minimal_cover(categories: Collection[str], helpers: Mapping[str, Covering]) -> tuple[str, ...]:
    """Return the smallest subset of the pool that covers every category, in pool order.

    Exact: all subsets of size 1, 2, … are tried. Of equally small ones the most specific wins (its helpers
    cover the fewest categories in sum), then the lower sum of token caps, then the first in pool order.

    Members that exclude each other are never in it together.

    Raises:
        BadInput: no helper of the pool covers one of the categories, or only two that exclude each other do.
    """
    wanted = frozenset(categories)
    check_covered(wanted, helpers)
    useful = [name for name, helper in helpers.items() if wanted & helper.covers]
    for size in range(len(wanted) + 1):
        covering = [
            names for names in subsets_of_size(useful, size) if wanted <= {c for n in names for c in helpers[n].covers}
        ]
        if covering:  # combinations come in pool order, and min keeps the first of equals
            return min(
                covering,
                key=lambda names: (
                    sum(len(helpers[name].covers) for name in names),
                    sum(helpers[name].token_cap for name in names),
                ),
            )
    raise BadInput(  # of helpers that do not exclude each other, one per category always does
        f"failure categories {', '.join(sorted(wanted))}: only forms of one helper that exclude each other cover them "
        f"together ({', '.join(useful)}); add a helper to the pool"
    )


class _CoveringUnder:
    """A helper with the categories that a taxonomy of the user's own says it addresses; all else is the helper's."""

    def __init__(self, helper: Helper, covers: frozenset[str]) -> None:
        self.covers = covers
        self._helper = helper

    def __getattr__(self, name: str) -> Any:
        return getattr(self._helper, name)


def covering_under(helpers: Mapping[str, Helper], taxonomy: Taxonomy) -> dict[str, Helper]:
    """Return the pool as it covers a taxonomy's categories: those that helpers declare, and those that name them."""
    return {
        name: cast(Helper, _CoveringUnder(helper, taxonomy.covered_by(name, helper.covers)))
        for name, helper in helpers.items()
    }


def check_covered(categories: Collection[str], helpers: Mapping[str, Covering]) -> None:
    """Refuse a category that no helper covers.

    Raises:
        BadInput: naming the category and what the pool covers.
    """
    covered = {category for helper in helpers.values() for category in helper.covers}
    for category in sorted(categories):
        if category not in covered:
            known = ", ".join(sorted(covered)) or "nothing"
            pool = ", ".join(helpers) or "no helper"
            raise BadInput(f"failure category {category!r}: no helper of the pool covers it ({pool} cover {known})")


class ChoiceForm(JudgeForm):
    """A subset of the pool, as a model names it."""

    helpers: list[str]


@lru_cache(maxsize=64)
def choice_form(pool: tuple[str, ...]) -> type[ChoiceForm]:
    """Return the form whose helpers are those of the pool.

    A server is asked for no more names than the pool has; an answer that repeats one is taken nevertheless.
    """
    name: Any = Literal[pool] if pool else str
    return create_model(
        "ChoiceForm", __base__=ChoiceForm, helpers=(list[name], Field(json_schema_extra={"maxItems": len(pool)}))
    )


async def mitigate(
    failure: Failure,
    helpers: Mapping[str, Helper],
    model: ChatModel | None = None,
    seed: int = 0,
    turn: int | None = None,
    reply_tokens: int = 40,
    repairs: int = 1,
) -> Mitigation:
    """Return the subset for a failure: by set cover, or by a model that reads the rationale and the catalogue.

    A model's answer stands only if it names helpers of the pool, covers every primary category, and holds no
    helper that could be left out; else the set cover decides. The call is billed either way. A reply has at most
    ``reply_tokens`` and is asked for again ``repairs`` times.

    Raises:
        BadInput: no helper covers one of the primary categories.
        ModelError: the endpoint failed after all retries.
    """
    wanted = failure.primary or failure.categories
    cover = minimal_cover(wanted, helpers)
    if model is None or not wanted:
        return Mitigation(cover)
    names = list(helpers)
    messages = ({"role": "user", "content": mitigation_prompt(failure, helpers)},)
    form = choice_form(tuple(names))
    answer, ledger = await ask_json(
        model, messages, "mitigation", form, max_tokens=reply_tokens, seed=seed, repairs=repairs, turn=turn
    )
    if answer is not None:
        chosen = in_pool_order(answer.helpers, names)
        if covers_minimally(chosen, wanted, helpers):
            return Mitigation(chosen, ledger, by_model=True)
    return Mitigation(cover, ledger)


def mitigation_prompt(failure: Failure, helpers: Mapping[str, Helper]) -> str:
    """Return the mitigation agent's only message: the failure's categories and rationale, and the catalogue."""
    return render(
        "diagnosis/mitigation.v1",
        categories=failure.primary or failure.categories,
        rationale=failure.rationale[:600],
        helpers=catalogue(helpers),
    )


def covers_minimally(chosen: Sequence[str], wanted: Collection[str], helpers: Mapping[str, Covering]) -> bool:
    """Return whether a subset of the pool covers every category and none of its helpers could be left out."""

    def covered(names: Sequence[str]) -> bool:
        return set(wanted) <= {c for name in names for c in helpers[name].covers}

    return (
        is_admissible(chosen, tuple(helpers))
        and covered(chosen)
        and not any(covered([n for n in chosen if n != name]) for name in chosen)
    )


def catalogue(helpers: Mapping[str, Helper]) -> list[dict[str, object]]:
    """Return name, purpose, coverage and token cap of every helper, for prompts.

    Of members that exclude each other the purpose also has the form and the others' names.
    """
    return [
        {
            "name": name,
            "does": (purpose_of(helper) or "gives a note.") + _not_beside(name, helpers),
            "covers": sorted(helper.covers),
            "cap": helper.token_cap,
        }
        for name, helper in helpers.items()
    ]


def _not_beside(name: str, helpers: Mapping[str, Helper]) -> str:
    """Return a sentence about the form of a member that others exclude; empty for any other."""
    others = [other for other in helpers if other != name and base_of(other) == base_of(name)]
    form = form_of(helpers[name])
    return f" {f'Form: {form}; not' if form else 'Not'} together with {' or '.join(others)}." if others else ""
