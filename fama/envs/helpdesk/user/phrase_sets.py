"""Sets of user phrases: independent wordings of everything that a simulated customer may say.

A set is a folder with ``common.yaml``, ``shop.yaml`` and ``saas.yaml``. ``phrases/keys.yaml`` lists their keys, the
slots of each key's templates, and what the customer does with them.
"""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

from fama.config import read_yaml
from fama.errors import BadInput
from fama.hashing import content_hash
from fama.randomness import generator

FOLDER = Path(__file__).with_name("phrases")
#: The set that templates of helpers were once written on; all users spoke from it until version 2.0.
FIRST = "first"
#: The sets that users speak from unless told otherwise, on every split but those of ``MIXED_ON``.
MIXED = ("first", "second")
MIXED_ON: Mapping[str, tuple[str, ...]] = {"test": ("third",)}
#: Sets that speak on these splits only: nobody who tunes on other tasks shall hear them.
ONLY_ON: Mapping[str, tuple[str, ...]] = {"third": ("test",), "fourth": ("test",)}
COMMON = "common"
_SLOT = re.compile(r"\{(\w+)\}")

#: Templates by key: those of a domain and the common ones.
Phrases = Mapping[str, tuple[str, ...]]


@dataclass(frozen=True)
class PhraseSet:
    """One wording. ``domains`` holds the templates by domain, the common ones included; ``digest`` is of all texts.

    ``kept`` are the splits that it is kept for, None for every one.
    """

    name: str
    domains: Mapping[str, Phrases]
    digest: str
    kept: tuple[str, ...] | None = None


def shipped_sets() -> tuple[str, ...]:
    """Return the names of the sets that ship."""
    return tuple(sorted(path.name for path in FOLDER.iterdir() if path.is_dir()))


@lru_cache(maxsize=16)
def load_phrase_set(name: str) -> PhraseSet:
    """Return a set by the name of a shipped one, or by the path of a folder.

    Raises:
        BadInput: there is no such set, a key is missing or unknown, or a template has other slots than its key.
    """
    folder = FOLDER / name if name in shipped_sets() else Path(name)
    if not folder.is_dir():
        raise BadInput(
            f"helpdesk: no phrase set {name!r}; known: {', '.join(shipped_sets())}, or the path of a folder like them"
        )
    keys = read_yaml(FOLDER / "keys.yaml", "phrase keys")
    lists = {domain: _read(folder / f"{domain}.yaml", keys[domain]) for domain in keys}
    common = lists.pop(COMMON)
    domains = {domain: {**common, **own} for domain, own in lists.items()}
    kept = ONLY_ON.get(folder.name) if folder.parent == FOLDER else None
    return PhraseSet(folder.name, domains, content_hash([common, lists]), kept)


def mixed_sets(split: str) -> tuple[PhraseSet, ...]:
    """Return the sets that users speak from on a split: of the test split, one that nobody who tunes has heard."""
    return tuple(load_phrase_set(name) for name in MIXED_ON.get(split, MIXED))


def may_be_heard(sets: Sequence[PhraseSet], split: str) -> bool:
    """Return whether no set is kept for other splits."""
    return all(phrase_set.kept is None or split in phrase_set.kept for phrase_set in sets)


def check_split(sets: Sequence[PhraseSet], split: str) -> None:
    """Refuse sets that are kept for other splits.

    Raises:
        BadInput: a set may not be heard on this split.
    """
    for phrase_set in sets:
        if not may_be_heard([phrase_set], split):
            kept = ", ".join(phrase_set.kept or ())
            known = ", ".join(name for name in shipped_sets() if split in ONLY_ON.get(name, (split,)))
            raise BadInput(
                f"helpdesk: phrase set {phrase_set.name!r} is kept for the split {kept}, so that whoever "
                f"tunes does not hear it; on {split} take: {known}"
            )


def draw_set(sets: Sequence[PhraseSet], seed: int, task_id: str) -> PhraseSet:
    """Return the set that the user of an episode speaks from: equal for all arms, drawn anew for each trial's seed."""
    return sets[0] if len(sets) == 1 else generator(seed, "helpdesk.phrases", task_id).choice(sets)


def _read(path: Path, keys: Mapping[str, Mapping[str, Any]]) -> dict[str, tuple[str, ...]]:
    value = read_yaml(path, "phrases", f"{FOLDER.name}/{FIRST}/{path.name}")
    if missing := [key for key in keys if key not in value]:
        raise BadInput(f"{path}: {missing[0]} is missing ({keys[missing[0]]['use']}); add a list of templates")
    if unknown := [key for key in value if key not in keys]:
        raise BadInput(f"{path}: unknown key {unknown[0]!r}; keys.yaml beside the shipped sets has all keys")
    return {key: _templates(path, key, value[key], keys[key]["slots"]) for key in keys}


def _templates(path: Path, key: str, value: Any, slots: Sequence[str]) -> tuple[str, ...]:
    if not isinstance(value, list) or not value or not all(isinstance(text, str) and text.strip() for text in value):
        raise BadInput(f"{path}: {key} must be a list of texts; quote a text that YAML reads as something else")
    if len(set(value)) < len(value):
        raise BadInput(f"{path}: {key} has one template twice; remove one")
    for text in value:
        if sorted(_SLOT.findall(text)) != sorted(slots):
            wanted = ", ".join(f"{{{slot}}}" for slot in slots) or "no slot"
            raise BadInput(f"{path}: {key}: {text!r} must fill {wanted}, each once")
        if "{" in _SLOT.sub("", text) or "}" in _SLOT.sub("", text):
            raise BadInput(f"{path}: {key}: {text!r} has a brace that opens no slot; remove it")
    return tuple(value)
