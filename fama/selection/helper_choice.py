"""Lenient reading of a reply that names helpers.

A choice is never guessed from prose: names count where they are the answer, not where a sentence mentions them.
"""

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any, NamedTuple

from fama.diagnosis.judging import parse
from fama.diagnosis.mitigation import choice_form
from fama.subsets import Subset, in_pool_order, one_form_each
from fama.text.json_objects import objects
from fama.text.tokens import estimate_tokens

#: Keys of an object that hold the names, besides the one that is asked for.
_KEYS = ("helpers", "helper", "names", "subset", "selected", "selection", "answer", "choice")
_NOBODY = frozenset({"none", "nothing", "no helper", "no helpers", "null", "empty", ""})
#: Words around names that say nothing of them: 'the "Planner" tool', "only the TSA helper".
_FILLERS = frozenset({"the", "only", "just", "helper", "helpers", "tool", "tools", "agent", "agents"})
#: What a choice goes on with that opens with such a word; with anything else it is a sentence about a helper.
_PURPOSE = frozenset({"to", "for"})
_NAME = re.compile(r"\w+(?:[:-]\w+)*")
_FENCE_MARKS = re.compile(r"```(?:json)?")
#: An open or bare list, up to its end or to where the reply was cut.
_LIST = re.compile(r"\[([^\[\]{}]*)(\]?)")
_LABEL = re.compile(
    r"^\W*(?:(?:the )?(?:helpers?|answer|names|choice|selected)(?: are| is)?\s*[:=]\s*)?\W*", re.IGNORECASE
)
_REFUSED = re.compile(r"\b(?:not|no|never|without|unnecessary|unneeded)\b|n't\b", re.IGNORECASE)
_SENTENCE = re.compile(r"[.;\n!?]")
_MOST_UNKNOWN, _LONGEST_NAME = 6, 40


class NamedHelpers(NamedTuple):
    """The helpers that a reply names, in pool order, None where no choice can be read; and names that no helper has."""

    subset: Subset | None
    unknown: tuple[str, ...] = ()


def default_reply_tokens(pool: Sequence[str]) -> int:
    """Return output tokens with room for the JSON of all helpers, indented and fenced, and a few words around it."""
    lines = "\n".join(f'    "{name}",' for name in pool)
    return max(64, estimate_tokens(f'```json\n{{\n  "helpers": [\n{lines}\n  ]\n}}\n```') + 24)


def read_choice(text: str, pool: Sequence[str], truncated: bool = False) -> NamedHelpers:
    """Read the choice of a reply without thoughts.

    Read are, in this order: JSON of the asked form, bare or fenced, with any text around it; JSON-like objects and
    lists with other quotes, keys or an open end, of which complete names count; names before any other word.

    Args:
        text: the reply's words.
        pool: names of the helpers, in pool order; capitals do not matter in a reply.
        truncated: whether the reply was cut, so that its last name may be the beginning of a longer one.
    """
    strict = parse(text, choice_form(tuple(pool)))
    if strict is not None:
        return NamedHelpers(in_pool_order(one_form_each(strict.helpers), pool))
    unknown: list[str] = []
    for items in _listed(text):
        found = _known(items, pool)
        if found.subset is not None:
            return found
        unknown += found.unknown
    words = _FENCE_MARKS.sub(" ", text).strip()
    plain = None if words.startswith(("{", "[")) else read_names(_LABEL.sub("", words, count=1), pool, truncated)
    return NamedHelpers(plain, _kept(unknown))


def read_names(answer: str, pool: Sequence[str], truncated: bool = False) -> Subset | None:
    """Return the helpers that an answer names before any other word, in pool order; ``the`` and the like do not count.

    ``none`` is the empty subset, of two that exclude each other the first one stands. None where the answer starts with
    another word, says of the names that they are not needed, or opens with ``the`` and goes on with a sentence about
    them. The last word of a ``truncated`` answer does not count.
    """
    first = _NAME.search(answer)
    opened = first is not None and first[0].lower() in _FILLERS
    said = _SENTENCE.split(answer, maxsplit=1)[0] if opened else answer
    found, end = _leading(said, pool, truncated and len(said) == len(answer))
    rest = _SENTENCE.split(said[end:], maxsplit=1)[0]
    if not found:
        return () if found is not None else None
    following = _NAME.search(rest)
    if opened and following is not None and following[0].lower() not in _PURPOSE:
        return None
    return None if _REFUSED.search(rest) else in_pool_order(one_form_each(found), pool)


def _leading(said: str, pool: Sequence[str], truncated: bool) -> tuple[list[str] | None, int]:
    """Return the names before any other word, none for a word that says so, None for neither, and where they end."""
    known = {name.lower(): name for name in pool}
    found: list[str] = []
    for match in _NAME.finditer(said):
        word = match[0].lower()
        cut = truncated and match.end() == len(said)
        if word in known and not cut:
            found.append(known[word])
        elif word != "and" and word not in _FILLERS:
            nobody = not found and word in _NOBODY and not cut
            return (found if found or nobody else None), match.start()
    return found or None, len(said)


def _listed(text: str) -> Iterator[list[str]]:
    """Yield the names of each object that holds some, then of each bare list, left to right."""
    for value in objects(text):
        items = _items(value)
        if items is not None:
            yield items
    for match in _LIST.finditer(text):
        quoted = re.findall(r"""["']([^"'\n]*)["']""", match[1])
        bare = [part.strip() for part in match[1].split(",")] if not re.search("[\"']", match[1]) else []
        if not match[2]:
            bare = bare[:-1]  # the last one may have been cut
            if not (quoted or bare):
                continue
        yield quoted or bare


def _items(value: Any) -> list[str] | None:
    """Return the names that an object holds under one of the keys; None where there is none."""
    if not isinstance(value, dict):
        return None
    by_key = {str(key).lower(): inner for key, inner in value.items()}
    key = next((key for key in _KEYS if key in by_key), None)
    if key is None:
        return None
    inner = by_key[key]
    if inner is None:
        return []
    if isinstance(inner, str):
        return [part.strip() for part in re.split(r"[,+]|\band\b", inner)]
    if not isinstance(inner, list):
        return None
    return [str(item.get("name", "")) if isinstance(item, Mapping) else str(item) for item in inner]


def _known(items: Sequence[str], pool: Sequence[str]) -> NamedHelpers:
    """Return the helpers among the items of a list; no choice where all of its names are unknown."""
    known = {name.lower(): name for name in pool}
    found: list[str] = []
    unknown: list[str] = []
    said = [item.strip() for item in items]
    if all(item.lower() in _NOBODY for item in said):
        return NamedHelpers(())
    for item in said:
        first = _NAME.match(item)
        name = known.get(item.lower()) or (known.get(first[0].lower()) if first else None)
        if name is not None:
            found.append(name)
        elif item.lower() not in _NOBODY:
            unknown.append(item)
    return NamedHelpers(in_pool_order(one_form_each(found), pool) if found else None, _kept(unknown))


def _kept(names: Iterable[str]) -> tuple[str, ...]:
    """Return a few unknown names without repeats, cut to a length that a line of a log can bear."""
    return tuple(dict.fromkeys(" ".join(name.split())[:_LONGEST_NAME] for name in names))[:_MOST_UNKNOWN]
