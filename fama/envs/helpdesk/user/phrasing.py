"""The user's words: templates of a phrase set, filled, varied and sometimes mistyped."""

import random
import re
from collections.abc import Mapping

from fama.envs.helpdesk.user.phrase_sets import Phrases

_SLOT = re.compile(r"(\{\w+\})")
_ARTICLE = re.compile(r"\ba (?=[aeio]|umbrella)")
_WORD = re.compile(r"\b[a-z]{5,}\b")
TYPO_SHARE = 0.12


def pick(phrases: Phrases, name: str, rng: random.Random, slots: Mapping[str, str]) -> str:
    """Fill one template of a list; words of the template, never the values, may be mistyped."""
    template = rng.choice(phrases[name])
    if rng.random() < TYPO_SHARE:
        template = mistype(template, rng)
    text = "".join(slots[part[1:-1]] if _SLOT.fullmatch(part) else part for part in _SLOT.split(template))
    return _ARTICLE.sub("an ", text)


def mistype(template: str, rng: random.Random) -> str:
    """Swap or drop one letter inside one longer word outside of the slots."""
    parts = _SLOT.split(template)
    places = [(i, m) for i, part in enumerate(parts) if not _SLOT.fullmatch(part) for m in _WORD.finditer(part)]
    if not places:
        return template
    index, match = rng.choice(places)
    word = match.group()
    at = rng.randrange(1, len(word) - 2)
    wrong = word[:at] + word[at + 1] + word[at] + word[at + 2 :] if rng.random() < 0.6 else word[:at] + word[at + 1 :]
    parts[index] = parts[index][: match.start()] + wrong + parts[index][match.end() :]
    return "".join(parts)


def sentence(text: str) -> str:
    """Return the text with an upper-case first letter, unless it opens an address or id, and a final stop."""
    text = text.strip()
    if text and text[0].islower() and "@" not in text.split()[0]:
        text = text[0].upper() + text[1:]
    return text if text.endswith((".", "!", "?")) else text + "."
