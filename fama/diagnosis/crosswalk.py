"""Labels of other taxonomies in terms of ours: data, versioned, replaceable by a user's own file."""

import re
from collections.abc import Iterable
from functools import lru_cache
from pathlib import Path
from typing import Self

from pydantic import Field, model_validator

from fama.config import read_yaml_as
from fama.dialogue.language import marked_words
from fama.episodes.records import Blame, Failure, Record
from fama.errors import BadInput

DEFAULT_PATH = Path(__file__).with_name("crosswalk.yaml")
#: The number that some label sets put in front of their words: ``FM-1.3 Step Repetition``.
_NUMBER = re.compile(r"^\s*(?:fm-?)?\d+(?:\.\d+)*\.?\s*")


class Vocabulary(Record):
    """One foreign label set: each label's categories here, and who is to blame where the label says it.

    Labels are compared by their words; case, marks, and a number in front of words do not count.
    """

    source: str = ""
    labels: dict[str, tuple[str, ...]] = Field(min_length=1)
    blame: dict[str, Blame] = Field(default_factory=dict)

    @model_validator(mode="after")
    def _check_labels(self) -> Self:
        known: dict[str, str] = {}
        for label, codes in self.labels.items():
            if codes != self.labels[first := known.setdefault(_plain(label), label)]:
                raise ValueError(f"labels {first!r} and {label!r} read alike; give each words of its own")
        if lost := [label for label in self.blame if _plain(label) not in known]:
            raise ValueError(f"blame {lost[0]!r} is none of the labels")
        return self


class Crosswalk(Record):
    """From the labels of several vocabularies to the codes of one taxonomy, whose version is ``to``."""

    version: str
    to: str
    description: str = ""
    vocabularies: dict[str, Vocabulary]

    @property
    def codes(self) -> frozenset[str]:
        """Return every code that a label maps to."""
        return frozenset(c for v in self.vocabularies.values() for codes in v.labels.values() for c in codes)

    def translate(self, failure: Failure) -> Failure:
        """Return the failure under this crosswalk's taxonomy; one that is labelled in it stays as it is.

        Raises:
            BadInput: its taxonomy or one of its labels is unknown here.
        """
        family = failure.taxonomy_version.split("/")[0]
        if family == self.to.split("/")[0]:
            return failure
        vocabulary = self.vocabularies.get(family)
        if vocabulary is None:
            known = ", ".join(self.vocabularies) or "none"
            raise BadInput(
                f"labels of taxonomy {failure.taxonomy_version!r}: no crosswalk from it to {self.to} (known: {known}); "
                "give its own file (--taxonomy), or a crosswalk (--crosswalk)"
            )
        said = (*failure.primary, *failure.categories)
        blames = {_plain(label): blame for label, blame in vocabulary.blame.items()}
        blame = next((blames[_plain(label)] for label in said if _plain(label) in blames), failure.blame)
        return failure.model_copy(
            update={
                "categories": _codes(vocabulary, family, failure.categories),
                "primary": _codes(vocabulary, family, failure.primary),
                "blame": blame,
                "taxonomy_version": self.to,
            }
        )


def load_crosswalk(path: Path | None = None) -> Crosswalk:
    """Return the shipped crosswalk, or one from a YAML file of the same form.

    Raises:
        BadInput: the file is missing, is not YAML, or a field is wrong.
    """
    return _load(str(path or DEFAULT_PATH))


@lru_cache(maxsize=8)
def _load(path: str) -> Crosswalk:
    return read_yaml_as(Path(path), Crosswalk, "crosswalk", f"see {DEFAULT_PATH.name} for the form")


def _codes(vocabulary: Vocabulary, family: str, labels: Iterable[str]) -> tuple[str, ...]:
    by_name = {_plain(label): codes for label, codes in vocabulary.labels.items()}
    found: list[str] = []
    for label in labels:
        if _plain(label) not in by_name:
            known = ", ".join(vocabulary.labels)
            raise BadInput(f"label {label!r} is none of {family}'s: {known}")
        found += by_name[_plain(label)]
    return tuple(dict.fromkeys(found))


def _plain(label: str) -> str:
    """Return lower case words and digits, without the number in front of words."""
    text = label.casefold()
    return " ".join(marked_words(_NUMBER.sub("", text), "'") or marked_words(text, "'"))
