"""TOR, the tool-output reformatter: the one row of a large output that matches what the user asked."""

import math
from collections.abc import Iterator
from typing import Any, NamedTuple

from fama.helpers.base import Form, Helper
from fama.helpers.facts import quote
from fama.helpers.forms import Candidate, make, refuse_options
from fama.helpers.history import calls, tool_spoke_last, user_text
from fama.helpers.values import is_id
from fama.helpers.words import STOP, stem, words
from fama.state import VisibleState

NOTE = "Matching row: {fields}."

TOKEN_CAP = 64
#: Fewest rows of an output that is worth a digest, and most fields of a digest.
LEAST_ROWS, MOST_FIELDS = 2, 4


class Row(NamedTuple):
    """A record with the ids of the records around it, and the words of its values."""

    fields: dict[str, Any]
    outer: dict[str, Any]
    roots: frozenset[str]


def write(state: VisibleState) -> Iterator[Candidate]:
    """The digest of the single best row, if one stands out."""
    made = calls(state)
    if not tool_spoke_last(state) or not made or made[-1].failed:
        return
    found = table(made[-1].data)
    if len(found) < LEAST_ROWS:
        return
    asked = frozenset(stem(word) for word in words(user_text(state)) if word not in STOP and len(word) > 1)
    if (best := best_row(found, asked)) is not None:
        yield Candidate(NOTE.format(fields=digest(best, asked)))


def table(data: Any) -> list[Row]:
    """The rows of nested data: the dicts of its lists, and of dicts keyed by id."""
    return list(_rows(data, {}, 0, listed=False))


def _rows(value: Any, outer: dict[str, Any], depth: int, listed: bool) -> Iterator[Row]:
    if depth > 10:
        return
    if isinstance(value, list):
        for inner in value:
            yield from _rows(inner, outer, depth + 1, listed=True)
    elif isinstance(value, dict):
        scalars = {str(key): inner for key, inner in value.items() if not isinstance(inner, dict | list)}
        own = {key: inner for key, inner in scalars.items() if is_id(key)}
        branches = [inner for inner in value.values() if isinstance(inner, dict | list)]
        if listed and len(scalars) >= 2:
            flat = {**scalars, **_flat(value)}
            yield Row(scalars, outer, frozenset(stem(word) for item in flat.values() for word in words(str(item))))
        keyed = len(branches) >= 2 and len(branches) == len(value) and all(isinstance(b, dict) for b in branches)
        for inner in branches:
            yield from _rows(inner, {**outer, **own}, depth + 1, listed=keyed or isinstance(inner, list))


def _flat(value: dict[str, Any]) -> dict[str, Any]:
    """Scalars of the plain dicts inside a record, such as its options."""
    return {
        f"{key}.{name}": inner
        for key, nested in value.items()
        if isinstance(nested, dict)
        for name, inner in nested.items()
        if not isinstance(inner, dict | list)
    }


def best_row(found: list[Row], asked: frozenset[str]) -> Row | None:
    """The row whose values hold most of the user's words, rare ones counting more; None on a tie or no match."""
    count: dict[str, int] = {}
    for row in found:
        for root in row.roots:
            count[root] = count.get(root, 0) + 1
    scored = sorted(
        ((sum(math.log(len(found) / count[root]) for root in row.roots & asked), row) for row in found),
        key=lambda pair: -pair[0],
    )
    if not scored or scored[0][0] <= 0:
        return None
    return scored[0][1] if len(scored) == 1 or scored[0][0] - scored[1][0] > 1e-6 else None


def digest(row: Row, asked: frozenset[str]) -> str:
    """Ids first, then the fields the user spoke of, then what a row's short words say, values as data."""
    ids = {key: value for key, value in {**row.outer, **row.fields}.items() if is_id(key)}
    spoken = {k: v for k, v in row.fields.items() if k not in ids and asked & {stem(w) for w in words(str(v))}}
    states = {
        k: v for k, v in row.fields.items() if k not in ids and k not in spoken and isinstance(v, str) and v.isalpha()
    }
    chosen = list({**dict(list(ids.items())[-2:]), **spoken, **states}.items())[:MOST_FIELDS]
    return ", ".join(f"{key} {quote(str(value), 40)}" for key, value in chosen)


def build(form: Form = "template", **options: int | str) -> Helper:
    """TOR in one of its forms; no options."""
    refuse_options("TOR", options)
    return make(
        "TOR",
        ("WRCO",),
        form=form,
        write=write,
        token_cap=TOKEN_CAP,
        llm_cost_cap=1200,
        gate=lambda state: tool_spoke_last(state) and len(state.messages[-1].content or "") > 300,
    )
