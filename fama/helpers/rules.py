"""Rules of a policy text, and which of them bears on the change that is ahead."""

import re
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

from fama.helpers.wants import Want
from fama.helpers.words import meanings, sentences, words

_RESTRICTS = re.compile(
    r"\b(?:only|must|never|not|no|cannot|can't|unless|except|before|after|at (?:most|least)|within|until"
    r"|require[sd]?|limit\w*"
    r"|maximum|minimum|once|already|exclud\w*|allowed)\b",
    re.IGNORECASE,
)
_IDENTITY = re.compile(r"\b(?:verif\w*|authenticat\w*|identi(?:ty|fy|fies|fied)\w*)\b", re.IGNORECASE)
_CONFIRM = re.compile(r"\b(?:confirm\w*|explicit\w*|consent|approval|agree\w*)\b", re.IGNORECASE)


@dataclass(frozen=True)
class Rule:
    """A sentence of the policy; ``restricts`` says that it limits what may be done."""

    text: str
    roots: frozenset[str]
    restricts: bool


@lru_cache(maxsize=64)
def rules(policy: str) -> tuple[Rule, ...]:
    """The policy's sentences of 4 to 45 words, headings left out."""
    found = []
    for text in sentences(policy):
        plain = text.replace("**", "").replace("`", "")
        if 4 <= len(words(plain)) <= 45:
            found.append(Rule(plain, meanings(plain), bool(_RESTRICTS.search(plain))))
    return tuple(found)


def asks_identity(policy: str) -> bool:
    """Whether the policy wants the user's identity established first."""
    return any(_IDENTITY.search(rule.text) for rule in rules(policy))


def asks_confirmation(policy: str) -> bool:
    """Whether the policy wants the user's yes before a change."""
    return any(_CONFIRM.search(rule.text) for rule in rules(policy) if not _IDENTITY.search(rule.text))


def is_procedure(rule: Rule) -> bool:
    """Whether a rule is about identity or confirmation, which the Verifier looks after."""
    return bool(_IDENTITY.search(rule.text) or _CONFIRM.search(rule.text))


def relevance(rule: Rule, want: Want, record: dict[str, Any]) -> float:
    """How much a rule bears on a request, given the record just looked up; 0 when it does not restrict it.

    It must restrict something and share a word with the request's tool name; fields of the record that it
    names, by key or by value, weigh double.
    """
    shared = rule.roots & want.tool.name_stems
    if not rule.restricts or not shared:
        return 0.0
    return len(shared) + 2.0 * len(touched_fields(rule, record)) + 0.5 * len(rule.roots & meanings(want.clause))


def touched_fields(rule: Rule, record: dict[str, Any]) -> list[str]:
    """Keys of the record's scalar fields that a rule names, by all words of the key or by a worded value."""
    found = []
    for key, value in record.items():
        if isinstance(value, dict | list) or value is None:
            continue
        named = meanings(str(key).replace("_", " "))
        worded = meanings(str(value)) if isinstance(value, str) and len(words(value)) <= 3 else frozenset()
        by_value = bool(worded) and worded <= rule.roots and not any(sign.isdigit() for sign in str(value))
        if by_value or (named and named <= rule.roots):
            found.append(str(key))
    return found
