"""The failure categories: data, versioned, replaceable by a user's own file."""

from fnmatch import fnmatch
from functools import lru_cache
from pathlib import Path

from pydantic import Field

from fama.config import read_yaml_as
from fama.episodes.records import Evidence, Record
from fama.errors import BadInput
from fama.hashing import content_hash
from fama.subsets import base_of

DEFAULT_PATH = Path(__file__).with_name("taxonomy.yaml")


class Category(Record):
    """One failure category.

    ``sources`` are patterns of detector names whose findings speak for it. ``helpers`` address it, besides those that
    declare so themselves; for taxonomies of a user's own, whose codes the shipped helpers do not know.
    """

    code: str = Field(pattern=r"^[A-Za-z][A-Za-z0-9_-]*$")
    name: str
    definition: str
    causes: tuple[str, ...] = ()
    not_this: tuple[str, ...] = ()
    examples: tuple[str, ...] = ()
    sources: tuple[str, ...] = ()
    helpers: tuple[str, ...] = ()


class Taxonomy(Record):
    """A versioned set of failure categories."""

    version: str
    description: str = ""
    categories: tuple[Category, ...] = Field(min_length=1)

    @property
    def codes(self) -> tuple[str, ...]:
        """Return the categories' codes, in file order."""
        return tuple(category.code for category in self.categories)

    @property
    def label_hash(self) -> str:
        """Return the hash of what labels depend on: all but the helpers, which address a category once it is named."""
        return content_hash(self.model_dump(mode="json", exclude={"categories": {"__all__": {"helpers"}}}))

    def category(self, code: str) -> Category:
        """Return the category with that code.

        Raises:
            KeyError: there is none.
        """
        for category in self.categories:
            if category.code == code:
                return category
        raise KeyError(code)

    def covered_by(self, helper: str, own: frozenset[str]) -> frozenset[str]:
        """Return the codes that a helper addresses in any form: its declared ones that are here, those that name it."""
        return (own & set(self.codes)) | {c.code for c in self.categories if base_of(helper) in c.helpers}

    def recode(self, evidence: Evidence) -> Evidence | None:
        """Return the finding under this taxonomy's code.

        A category that claims the finding's source takes it; else the detector's own code stands if this
        taxonomy has it; else the finding says nothing here and None comes back.
        """
        for category in self.categories:
            if matches(evidence.source, category.sources):
                return evidence.model_copy(update={"category": category.code})
        return evidence if evidence.category in self.codes else None


@lru_cache(maxsize=4096)
def matches(source: str, patterns: tuple[str, ...]) -> bool:
    """Return whether the source of a finding is one of the patterns."""
    return any(fnmatch(source, pattern) for pattern in patterns)


def load_taxonomy(path: Path | None = None) -> Taxonomy:
    """Return the shipped taxonomy (DCV, WRCO, CM, IFU), or one from a YAML file of the same form.

    Raises:
        BadInput: the file is missing, is not YAML, or a field is wrong; codes must be unique.
    """
    return _load(str(path or DEFAULT_PATH))


@lru_cache(maxsize=8)
def _load(path: str) -> Taxonomy:
    taxonomy = read_yaml_as(Path(path), Taxonomy, "taxonomy", f"see {DEFAULT_PATH.name} for the form")
    if len(set(taxonomy.codes)) != len(taxonomy.codes):
        raise BadInput(f"{path}: categories: two have the same code; make each code unique")
    return taxonomy
