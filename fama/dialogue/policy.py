"""Rules of a policy text: which one bears on the change that is ahead, and whether a record keeps it."""

import re
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, Literal

from fama.dialogue.language import meanings, sentences, stem, words
from fama.dialogue.requests import Want, own_objects, verb_of
from fama.dialogue.roles import READ_VERBS, WRITE_VERBS
from fama.dialogue.tools import ToolView, views
from fama.episodes.state import VisibleState

RuleVerdict = Literal["kept", "broken", "open"]

_RESTRICTS = re.compile(
    r"\b(?:only|must|never|not|no|cannot|can't|unless|except|before|after|at (?:most|least)|within|until"
    r"|require[sd]?|limit\w*|maximum|minimum|once|already|exclud\w*|allowed)\b",
    re.IGNORECASE,
)
_LEANS = re.compile(
    r"(?:otherwise|then|this|that|these|those|it|they|he|she|in (?:this|that|such) case|if so|if not)\b", re.I
)
_EXCEPTS = re.compile(r"\b(?:only|unless|except)\b", re.IGNORECASE)
_FORBIDS = re.compile(r"\b(?:not|never|cannot|can't|no)\b", re.IGNORECASE)
_IDENTITY = re.compile(r"\b(?:verif\w*|authenticat\w*|identi(?:ty|fy|fies|fied)\w*)\b", re.IGNORECASE)
_CONFIRM = re.compile(r"\b(?:confirm\w*|explicit\w*|consent|approv\w*|agree\w*|yes)\b", re.IGNORECASE)
_WRITE_STEMS = frozenset(map(stem, WRITE_VERBS))
_UNIT = r"\D{0,12}?(?P<number>\d+(?:\.\d+)?)(?:\s*%)?(?:\s+(?P<unit>[^\W\d_]+))?"
_AT_MOST = re.compile(
    r"\b(?:at most|within|up to|(?:no|not) more than|less than|under|below|maximum(?: of)?|limit(?: of)?)" + _UNIT,
    re.IGNORECASE,
)
_AT_LEAST = re.compile(r"\b(?:at least|minimum(?: of)?|(?<!no )(?<!not )more than|over|above)" + _UNIT, re.IGNORECASE)

#: A number held against another one of the same record: "as many seats as are in use".
_AS_MANY = re.compile(
    r"\bat (?P<end>least|most) as (?:many|much) (?P<thing>[^\W\d_]+) as (?P<other>[^.,;]{3,60})", re.IGNORECASE
)


@dataclass(frozen=True)
class Rule:
    """A sentence of the policy; ``restricts`` says that it limits what may be done, ``forbids`` that it says no."""

    text: str
    roots: frozenset[str]
    restricts: bool
    forbids: bool


@lru_cache(maxsize=64)
def rules(policy: str) -> tuple[Rule, ...]:
    """Return the policy's sentences of 4 to 45 words, without mark-up, that can stand alone."""
    found = []
    for text in sentences(policy):
        plain = text.replace("**", "").replace("`", "")
        if 4 <= len(words(plain)) <= 45 and not _LEANS.match(plain):
            found.append(
                Rule(
                    plain,
                    meanings(plain.replace("_", " ")),
                    bool(_RESTRICTS.search(plain)),
                    bool(_FORBIDS.search(plain)),
                )
            )
    return tuple(found)


@lru_cache(maxsize=64)
def asks_identity(policy: str) -> bool:
    """Return whether the policy wants the user's identity established first."""
    return any(_IDENTITY.search(rule.text) for rule in rules(policy))


@lru_cache(maxsize=64)
def asks_confirmation(policy: str) -> bool:
    """Return whether the policy wants the user's yes before a change."""
    return any(_CONFIRM.search(rule.text) for rule in rules(policy) if not _IDENTITY.search(rule.text))


def is_procedure(rule: Rule) -> bool:
    """Return whether a rule is about identity or confirmation, the Verifier's subjects, or about looking first."""
    used = words(rule.text)
    looks = bool(READ_VERBS & set(used)) and not _WRITE_STEMS & {stem(word) for word in used}
    return looks or used[0] in READ_VERBS or bool(_IDENTITY.search(rule.text) or _CONFIRM.search(rule.text))


def about_identity(policy: str, shown: ToolView) -> str:
    """Return the rule that limits what a look-up shows to the verified user, or empty."""
    found = (
        rule.text
        for rule in rules(policy)
        if rule.restricts and _IDENTITY.search(rule.text) and _EXCEPTS.search(rule.text) and rule.roots & shown.stems
    )
    return next(found, "")


def relevance(rule: Rule, want: Want, state: VisibleState) -> float:
    """Return how much a restricting rule bears on a request: 0 when it speaks of other changes only.

    It bears on it by the verb of its tool or by an object that no other change is about; a rule without
    the verb of any change, by two words of the tool's name.
    """
    changes = views(state, "write")
    shared = rule.roots & want.tool.name_stems
    verbs = {verb_of(tool) for tool in changes} & rule.roots
    own = verb_of(want.tool) in verbs or bool(shared & own_objects(want.tool, changes))
    if not rule.restricts or not (own or (not verbs and len(shared) >= 2)):
        return 0.0
    return 2.0 * own + 0.5 * len(shared) + 0.25 * len(rule.roots & meanings(want.clause))


def rule_verdict(rule: Rule, records: list[dict[str, Any]], worded: dict[str, frozenset[str]]) -> RuleVerdict:
    """Return whether records keep a rule, break it, or leave it open because it names none of their fields.

    ``worded`` holds, for a key, the values seen anywhere: a rule that names another value than the
    record's speaks of that key, too.
    """
    findings = [_between(rule, record) for record in records if _AS_MANY.search(rule.text)]
    own = frozenset(
        root for record in records for value in record.values() if isinstance(value, str) for root in _stems(value)
    )
    for key, value in (pair for record in records for pair in record.items()):
        findings.append(_field_verdict(rule, key, value, worded.get(key, frozenset()), own))
    if "broken" in findings:
        return "broken"
    return "kept" if "kept" in findings else "open"


def _between(rule: Rule, record: dict[str, Any]) -> RuleVerdict:
    """Return how two numbers of a record meet a rule that sets one against the other."""
    found = _AS_MANY.search(rule.text)
    if found is None:
        return "open"
    thing, other = _stems(found["thing"]), _stems(found["other"])
    numbers = {
        _stems(key.replace("_", " ")): value
        for key, value in record.items()
        if isinstance(value, int | float) and not isinstance(value, bool)
    }
    against = [
        value
        for named, value in numbers.items()
        if named > thing and any(_alike(one, word) for one in named - thing for word in other)
    ]
    if thing not in numbers or len(against) != 1:
        return "open"
    sign = 1 if found["end"].lower() == "least" else -1
    return "broken" if sign * numbers[thing] < sign * against[0] else "kept"


def _field_verdict(rule: Rule, key: str, value: Any, seen: frozenset[str], record: frozenset[str]) -> RuleVerdict:
    named = meanings(key.replace("_", " "))
    if isinstance(value, bool):
        if not named or not named <= rule.roots:
            return "open"
        return "broken" if value == rule.forbids else "kept"
    if isinstance(value, int | float):
        if value == 0 and named and re.search(rf"\bin {re.escape(key)}\b", rule.text, re.IGNORECASE):
            return "broken"  # nothing is "in stock" when there are none
        return _number_verdict(rule, named, value, record)
    if not isinstance(value, str) or len(words(value)) > 3 or any(sign.isdigit() for sign in value):
        return "open"
    speaks = bool(named) and named <= rule.roots and not _compares(rule, key)
    said = _values_in(rule.text, seen if value in seen else seen | {value})
    if value in said:
        return "broken" if rule.forbids and not _EXCEPTS.search(rule.text) else "kept"
    return "broken" if (speaks or said) and _EXCEPTS.search(rule.text) else "open"


@lru_cache(maxsize=4_000)
def _values_in(text: str, values: frozenset[str]) -> frozenset[str]:
    """Return the values of one key that a text names: each in a row, and nowhere only as a part of a longer one."""
    said = _stem_row(text)
    spans = [
        (start, start + len(own), value)
        for value in values
        if (own := _stem_row(value))
        for start in range(len(said) - len(own) + 1)
        if said[start : start + len(own)] == own
    ]
    return frozenset(
        value
        for start, end, value in spans
        if not any(first <= start and end <= last and last - first > end - start for first, last, _ in spans)
    )


def _alike(one: str, other: str) -> bool:
    """Return whether two stems are forms of one word, as ``use`` and ``used`` are."""
    short, long = sorted((one, other), key=len)
    return len(short) > 2 and long.startswith(short)


@lru_cache(maxsize=4_000)
def _stems(text: str) -> frozenset[str]:
    """Return stems as written: ``shipped`` and ``delivered``, one verb elsewhere, are two states of an order."""
    return frozenset(_stem_row(text))


@lru_cache(maxsize=4_000)
def _stem_row(text: str) -> tuple[str, ...]:
    """Return stems as written, in order, without numbers."""
    return tuple(stem(word) for word in words(text) if not word.isdigit())


def _compares(rule: Rule, key: str) -> bool:
    """Return whether a rule sets a field against another object's (``in another color``): no record breaks it alone."""
    return bool(
        re.search(rf"\b(?:another|other|same|different|new|any)\s+{re.escape(words(key)[-1])}", rule.text, re.I)
    )


def _number_verdict(rule: Rule, named: frozenset[str], value: float, record: frozenset[str]) -> RuleVerdict:
    """Return how a number meets a rule's limit whose unit, or two words of the rule, its key names.

    Of several limits ("the small one holds at most 5, the large one at most 20") the one counts that stands behind a
    word of the record; without such a word nothing is known.
    """
    for pattern, sign in ((_AT_MOST, 1), (_AT_LEAST, -1)):
        limits = list(pattern.finditer(rule.text))
        if not limits:
            continue
        units = meanings(" ".join(found["unit"] or "" for found in limits))
        if len(named & rule.roots) < 2 and not named & units:
            continue
        if len(limits) > 1:
            ends = [0, *(found.end() for found in limits)]
            limits = [
                found
                for start, found in zip(ends, limits, strict=False)
                if _stems(rule.text[start : found.start()]) & record
            ]
        if len(limits) != 1:
            return "open"
        return "broken" if sign * value > sign * float(limits[0]["number"]) else "kept"
    return "open"
