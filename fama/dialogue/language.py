"""Words of plain English, domain-free: stems, verbs of one meaning, sentences and clauses."""

import re
from functools import lru_cache
from unicodedata import category

_WORD = re.compile(r"[^\W_]+(?:'[^\W_]+)?")
#: Where a word of a name in ``camelCase`` begins, behind an acronym, too (``HTTPGet``).
_HUMP = re.compile(r"(?<=[a-z\d])(?=[A-Z])|(?<=[A-Z])(?=[A-Z][a-z]{2})")
_SENTENCE = re.compile(r"(?<=[.!?])\s+|\n+|;\s+")
_CLAUSE = re.compile(r"\b(?:and then|and also|and|also|then|plus|but|as well as|oh)\b|[,;:]", re.IGNORECASE)

STOP = frozenset(
    """a about above after again all also am an and any anyone anything are as ask at be because been before being
    both but by call can cannot could did do does doing done each either else etc ever every for from further get
    gets give given go had has have having hello help her here hers hey hi him his how however i if in into is it
    its itself just know let like make many may me might mine more most much must my need needs never new no nor
    not now of off ok okay on once one only or other our ours out over own per please possible provide rather same
    shall she should since so some something still such take than thank thanks that the their them then there
    these they thing this those through thus to too under until up upon us use used using very via want wants was
    we well were what when where which while who whom whose why will with within without would yes yet you your
    yours""".split()
)

#: Verbs that say the same thing, in everyday English. The first of a line stands for all.
_SAME = (
    "change modify update edit alter adjust amend move",
    "exchange swap trade replace",
    "cancel terminate abort void scrap drop stop",
    "return",
    "refund reimburse",
    "add include attach append",
    "remove delete erase detach",
    "find search locate lookup look",
    "track trace follow",
    "check verify inspect confirm",
    "upgrade raise increase",
    "downgrade lower decrease reduce",
    "invite enrol onboard",
    "transfer escalate",
    "book reserve",
    "grant allow permit enable activate restore reinstate unlock",
    "revoke block disable deactivate suspend lock",
    "create open start register",
    "deliver delivery send sent ship dispatch redirect reroute forward",
)

#: Verbs of several words; the middle may hold a short object ("send it back").
_PHRASES = tuple(
    (re.compile(rf"\b{first}\s+((?:[\w'’#-]+\s+){{0,5}}?){last}\b", re.IGNORECASE), verb)
    for first, last, verb in (
        (r"(?:send|sent|sending|give|giving|ship|take|bring)", "back", "return"),
        (r"(?:call|calling|called)", "off", "cancel"),
        (r"(?:get|getting|got)\s+rid", "of", "remove"),
        (r"(?:take|taking|took)", "(?:off|out)", "remove"),
        (r"(?:kick|kicking|throw|throwing)", "(?:off|out)", "remove"),
        (r"(?:money|cash)", "back", "refund"),
        (r"(?:look|looking)", "up", "find"),
        (r"(?:change|changing)", "going", "redirect"),
        (r"(?:set|sign|signing)", "up", "create"),
        (r"(?:turn|switch)", "off", "disable"),
        (r"(?:turn|switch)", "on", "enable"),
    )
)


@lru_cache(maxsize=20_000)
def stem(word: str) -> str:
    """Return a rough stem: ``cancelled``, ``cancellation`` and ``cancels`` all give ``cancel``."""
    text = word.lower().replace("’", "'")
    text = text.removesuffix("'s")
    if len(text) <= 3 or not text.isalpha():
        return text
    for ending, instead in (
        ("ications", "y"),
        ("ication", "y"),
        ("ations", ""),
        ("ation", ""),
        ("ings", ""),
        ("ing", ""),
        ("ies", "y"),
        ("ied", "y"),
        ("ers", "er"),
        ("ed", ""),
        ("ses", "s"),
        ("xes", "x"),
        ("s", ""),
    ):
        if text.endswith(ending) and len(text) - len(ending) >= 3 and not (ending == "s" and text[-2] in "sui"):
            text = text[: len(text) - len(ending)] + instead
            break
    if len(text) > 3 and text[-1] == text[-2] and text[-1] not in "aeiosl":
        text = text[:-1]
    if len(text) > 4 and text.endswith("ll"):
        text = text[:-1]
    return text[:-1] if len(text) > 3 and text.endswith("e") else text


@lru_cache(maxsize=1)
def _meanings() -> dict[str, str]:
    return {stem(word): stem(line.split()[0]) for line in _SAME for word in line.split()}


def meaning(word: str) -> str:
    """Return the stem of a word, or of the verb that stands for it."""
    root = stem(word)
    return _meanings().get(root, root)


def words(text: str) -> list[str]:
    """Return lower-case words of a text, in order; ``snake_case`` is taken apart."""
    return [word.lower() for word in _WORD.findall(text)]


def marked_words(text: str, also: str = "") -> list[str]:
    """Return runs of letters with the marks on them, digits, and the signs in ``also``; case is kept.

    ``words`` ends at a mark, so that words of Indic and other scripts that differ in a vowel are the same.
    """
    kept = (sign if sign in also or sign.isalnum() or category(sign)[0] == "M" else " " for sign in text)
    return "".join(kept).split()


def words_at_end(text: str, count: int) -> list[str]:
    """Return the last words of a text as ``words`` has them, without reading what comes before them."""
    taken = count
    while True:
        pieces = text.rsplit(None, taken)
        found = words(" ".join(pieces[-taken:]))
        if len(found) >= count or len(pieces) <= taken:
            return found[-count:]
        taken *= 4


def name_words(name: str) -> list[str]:
    """Return lower-case words of a name of a tool, parameter or field, ``camelCase`` taken apart, too."""
    return words(_HUMP.sub(" ", name))


def phrases_to_verbs(text: str) -> str:
    """Return the text with verbs of several words (``send it back``) as one (``return it``)."""
    for pattern, verb in _PHRASES:
        text = pattern.sub(rf"{verb} \1", text)
    return text


@lru_cache(maxsize=4_000)
def meanings(text: str) -> frozenset[str]:
    """Return the meanings of a text's content words: no stop words, no numbers, nothing of one letter."""
    return frozenset(
        meaning(word)
        for word in words(phrases_to_verbs(text))
        if word not in STOP and len(word) > 1 and not word.isdigit()
    )


def one_slip(left: str, right: str) -> bool:
    """Return whether two words differ by one typing slip: two letters swapped, or one missing, added or wrong.

    Words under four letters never count, those of four only by a swap.
    """
    short, long = sorted((left, right), key=len)
    if len(short) < 4 or len(long) - len(short) > 1 or left == right:
        return False
    start = next((place for place in range(len(short)) if short[place] != long[place]), len(short))
    if len(short) == len(long):
        swapped = short[:start] + short[start : start + 2][::-1] + short[start + 2 :]
        return swapped == long or (len(short) > 4 and short[start + 1 :] == long[start + 1 :])
    return len(short) > 4 and short[start:] == long[start + 1 :]


_NEGATED = re.compile(r"\b(?:don'?t|do not|not|never|no need to|without|instead of|rather than)\b.*", re.IGNORECASE)


def without_negated(clause: str) -> str:
    """Return a clause up to what it denies: ``the red one instead of the blue one`` gives ``the red one``."""
    return _NEGATED.sub("", clause)


def verb_meanings() -> frozenset[str]:
    """Return meanings that are verbs of a known group."""
    return frozenset(_meanings().values())


def every_verb() -> frozenset[str]:
    """Return stems of all verbs of the known groups."""
    return frozenset(_meanings())


def sentences(text: str) -> list[str]:
    """Return sentences and list items of a text, without bullets, headings' hashes and blank ones."""
    found = (re.sub(r"^\s*(?:[-*•#]+|\d+[.)])\s+", "", part).strip() for part in _SENTENCE.split(text))
    return [part for part in found if part and not re.fullmatch(r"\d+[.)]?", part)]


def clauses(text: str) -> list[str]:
    """Return clauses of a text: its sentences, cut at conjunctions and commas."""
    parts = (part.strip(" .!?") for sentence in sentences(text) for part in _CLAUSE.split(sentence))
    return [part for part in parts if part]
