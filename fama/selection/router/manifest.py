"""The records of ``router.json``: what a checkpoint stores about itself."""

from typing import Annotated, Literal

import numpy as np
from pydantic import AfterValidator, Field, JsonValue, model_validator

from fama.episodes.records import Record
from fama.episodes.spending import CostUnit, Spent
from fama.hashing import content_hash
from fama.selection.decision_rule import Masks
from fama.selection.router.features import PromptPart
from fama.settings import Form

ROUTER_SCHEMA = 1
#: Helpers of a pool, numbers in a vector, and the largest λ, tolerance, strength or temperature of a checkpoint.
_HELPERS, _WIDEST, _LARGEST = 64, 65_536, 1e6

View = Literal["prospective", "retrospective"]
#: When a router chooses: before an episode's first decision for all of them, or before every decision.
RouterCadence = Literal["episode", "turn"]


class LoraShape(Record):
    """Low-rank adapters. ``targets`` are layer names; None takes peft's default for the architecture."""

    rank: int = Field(default=8, ge=1, le=4096)
    alpha: int = Field(default=16, ge=1, le=1_000_000)
    dropout: float = Field(default=0.05, ge=0.0, lt=1.0)
    targets: tuple[str, ...] | None = None


class EncoderShape(Record):
    """The encoder of segments. ``fingerprint`` is of its weights where they are a local folder."""

    name: str = Field(min_length=1, max_length=4096)
    window: int = Field(ge=8, le=1_000_000)
    fingerprint: str | None = None
    adapted: bool = False


class NetworkShape(Record):
    """Sizes of the network: inputs, hidden units, attention heads, helpers, categories."""

    embedding: int = Field(ge=1, le=_WIDEST)
    evidence: int = Field(ge=0, le=_WIDEST)
    helpers: int = Field(ge=0, le=_HELPERS)
    categories: int = Field(ge=0, le=_WIDEST)
    hidden: int = Field(default=64, ge=1, le=_WIDEST)
    attention: int = Field(default=4, ge=1, le=_WIDEST)
    dropout: float = Field(default=0.1, ge=0.0, lt=1.0)

    def head_sizes(self) -> list[int]:
        """Return the numbers of outputs of base, utility, pair, token_base and token_utility."""
        count = self.helpers
        return [1, count, count * (count - 1) // 2, 1, count]


class VectorShape(Record):
    """The state vectors of the kinds without a network: mean embeddings or hashed words, projected."""

    source: Literal["embedding", "hashed"]
    buckets: int = Field(default=4096, ge=1, le=2**24)
    latest: int = Field(default=0, ge=0, exclude_if=lambda value: value == 0)
    """Messages from the end that have a mean of their own beside that of all; 0 has none."""


class KnnShape(Record):
    """Number of neighbours, prior strength in rows, and the discount of a neighbour per differing helper."""

    neighbours: int = Field(ge=0)
    strength: float = Field(ge=0.0, le=_LARGEST)
    decay: float = Field(ge=0.0, le=1.0)


class PriorShape(Record):
    """Domains of a prior, by their policy and tools, and the smoothing of its rates.

    ``strength`` is the weight of all domains together, in rows; ``decay`` the weight of a row for each helper in which
    its subset differs.
    """

    frames: tuple[str, ...]
    strength: float = Field(ge=0.0, le=_LARGEST)
    decay: float = Field(ge=0.0, le=1.0)


class Calibration(Record):
    """Temperature fitted on the validation split; expected calibration errors in [0, 1].

    ``ece_after`` is cross-fitted over two halves of the validation tasks. None: too few rows.
    """

    temperature: float = Field(default=1.0, ge=1e-6, le=_LARGEST)
    rows: int = Field(default=0, ge=0)
    ece_before: float | None = Field(default=None, ge=0.0, le=1.0)
    ece_after: float | None = Field(default=None, ge=0.0, le=1.0)


class Guarantee(Record):
    """The result of learn-then-test: with ``confidence``, not worse than all helpers by more than ``epsilon``.

    The router's choice stands where its predicted success is at most ``threshold`` below that of all helpers; elsewhere
    all are used. ``threshold`` None: the ``tasks`` were too few for any; about ``needed`` would do if the router were
    as good as all helpers. ``bound`` is the upper bound of the loss at the threshold. ``errors`` counts the episodes of
    the ``tasks`` that ended in an error, each of which counts against the router.
    """

    epsilon: float = Field(ge=0.0, le=1.0)
    confidence: float = Field(gt=0.0, lt=1.0)
    tasks: int = Field(ge=0)
    errors: int = Field(default=0, ge=0, exclude_if=lambda value: value == 0)
    threshold: float | None = Field(default=None, ge=-1.0, le=1.0)
    bound: float | None = Field(default=None, ge=-1.0, le=1.0)
    needed: int | None = Field(default=None, ge=0)


class StoredFile(Record):
    """A file of the checkpoint with its size and SHA-256."""

    size: int = Field(ge=0)
    sha256: str = Field(pattern=r"^[0-9a-f]{64}$")


def _inside(name: str) -> str:
    """Return the name of a file inside a folder, in POSIX form."""
    if not name or "\\" in name or "\0" in name or any(part in ("", ".", "..") for part in name.split("/")):
        raise ValueError("no name of a file inside the checkpoint")
    return name


FileName = Annotated[str, AfterValidator(_inside)]


#: Fields about the making of a router, not about its decisions: trained again from the same data, they may differ.
TOLD = frozenset({"cost", "command", "git_commit", "versions"})


def task_hash(task: str) -> str:
    """Return what a router keeps of a task that it learned from: a hash, since a router may be given to others.

    ``task`` is the text of a ``TaskKey``. The benchmark in it may be named as where it is run (``tau_bench``) or as in
    its logs (``tau-bench``).
    """
    return content_hash(task.replace("_", "-"))


class RouterManifest(Record):
    """The content of ``router.json``.

    ``kind`` is a name of ``ROUTER_KINDS``; ``encoder`` to ``shape`` are what that kind reads beside its arrays, of
    which ``shape`` is for kinds that check it themselves. ``forms`` are the helpers' in the executed episodes that it
    learned from. ``candidates`` are the subsets it chooses from; None is every
    one of the pool. ``labelled``: it has heads for failure categories. ``view`` says if it reads the state before a
    decision or a whole failed episode; ``cadence`` which decisions it was trained on: success and cost, in
    ``cost_unit``, are those of the whole episode, or with ``turn`` of the rest of it. ``hidden`` are parts of a state
    that it never reads, since training states lacked them; any other part that a state lacks counts as average. None is
    a router from before: it reads a lacking part as zero. ``tasks`` are hashes of the tasks that it was fitted or
    calibrated on, see ``task_hash``; ``cost`` is what was spent on its data and its fit. None: not recorded.
    """

    schema_version: int = ROUTER_SCHEMA
    kind: str = Field(min_length=1)
    pool: tuple[str, ...] = Field(max_length=_HELPERS)
    forms: dict[str, Form] | None = Field(default=None, exclude_if=lambda value: value is None)
    taxonomy_version: str
    categories: tuple[str, ...] = Field(max_length=_WIDEST)
    evidence_names: tuple[str, ...] = Field(max_length=_WIDEST)
    encoder: EncoderShape | None = None
    network: NetworkShape | None = None
    vectors: VectorShape | None = None
    knn: KnnShape | None = None
    label_knn: KnnShape | None = None
    prior: PriorShape | None = None
    shape: dict[str, JsonValue] | None = Field(default=None, exclude_if=lambda value: value is None)
    labelled: bool = False
    view: View = "prospective"
    cadence: RouterCadence = Field(default="episode", exclude_if=lambda value: value == "episode")
    cost_unit: CostUnit = Field(default="tokens", exclude_if=lambda value: value == "tokens")
    hidden: tuple[PromptPart, ...] | None = Field(default=None, exclude_if=lambda value: value is None)
    calibration: Calibration = Calibration()
    guarantee: Guarantee | None = None
    lam: float = Field(ge=0.0, le=_LARGEST)
    epsilon: float = Field(ge=0.0, le=_LARGEST)
    softness: float = Field(default=0.05, ge=1e-6, le=_LARGEST)
    candidates: tuple[tuple[str, ...], ...] | None = None
    data_hash: str
    split_hash: str
    prompts_hash: tuple[str, ...] = ()
    benchmark_version: tuple[str, ...] = ()
    domains: tuple[str, ...] = ()
    backbones: tuple[str, ...] = ()
    tasks: tuple[str, ...] | None = Field(default=None, exclude_if=lambda value: value is None)
    synthetic: bool = False
    cost: tuple[Spent, ...] | None = None
    seed: int = 0
    versions: dict[str, str] = Field(default_factory=dict)
    git_commit: str | None = None
    command: str = ""
    files: dict[FileName, StoredFile] = Field(default_factory=dict)

    @model_validator(mode="after")
    def _fits_its_pool(self) -> "RouterManifest":
        if len(set(self.pool)) < len(self.pool):
            raise ValueError("pool: names a helper twice")
        if self.forms is not None and set(self.forms) != set(self.pool):
            raise ValueError("forms: are not of the helpers of the pool")
        for subset in self.candidates or ():
            if unknown := sorted(set(subset) - set(self.pool)):
                raise ValueError(f"candidates: {unknown[0]!r} is not in the pool")
        return self

    def candidate_masks(self) -> Masks | None:
        """Return the candidates as flags in pool order, shape (n, helpers)."""
        if self.candidates is None:
            return None
        rows = [[name in subset for name in self.pool] for subset in self.candidates]
        return np.array(rows, dtype=np.bool_).reshape(-1, len(self.pool))
