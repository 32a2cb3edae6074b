"""The typed settings of ``fama ablate``. One attribute is one key of its YAML."""

from collections.abc import Iterator
from typing import Any, Literal

from pydantic import Field, ValidationError, model_validator

from fama.config import first_fault
from fama.settings import Count, Settings
from training.settings import TrainSettings

Tree = dict[str, Any]
_FILES = ("outcomes", "repairs", "failures", "prompted", "plain")
MAJORITY = "majority"
"""The row of a router that always says the most frequent category of the training failures."""


class TestSet(Settings):
    """A part of the test tasks, by who ran them where."""

    __test__ = False

    name: str
    backbones: tuple[str, ...] = ()
    """Empty: every one."""
    domains: tuple[str, ...] = ()
    """Empty: every one."""


class Variant(Settings):
    """One way to train a router: settings of ``fama train`` laid on top of the shared ones."""

    name: str = Field(pattern=r"^[\w.+-]+$")
    set: Tree = {}


class SyntheticSettings(Settings):
    """SYNTHETIC tasks in place of files, with the true success of every subset."""

    effects: Literal["weak", "strong"] = "weak"
    """Size of the helpers' effects: ``training.data.synthetic.EFFECTS``."""
    tasks: int = Field(default=4000, ge=8)
    """Training tasks at most; each has four rows."""
    test_tasks: int = Field(default=300, ge=1)
    seed: int = 0
    test_seed: int = 1
    """Seed of the test tasks; choose one that nobody has tuned on."""


class AblateSettings(Settings):
    """Settings of ``fama ablate``."""

    train: Tree = {}
    """Settings of ``fama train`` that all variants share."""
    variants: tuple[Variant, ...] = Field(min_length=1)
    only: tuple[str, ...] = ()
    """Names of the variants to run now; empty: every one."""
    train_backbones: tuple[str, ...] = ()
    """Backbones that are trained on; empty: every one."""
    test: float = Field(default=0.4, gt=0.0, lt=1.0)
    """Share of the tasks that no variant is trained or tuned on, whoever ran them."""
    test_outcomes: tuple[str, ...] = ()
    """Outcome tables of test tasks, in place of a share of the training ones."""
    tests: tuple[TestSet, ...] = (TestSet(name="held-out tasks"),)
    rows: tuple[Count | None, ...] = (None,)
    """Numbers of training rows to try, whole tasks each; null is all there are."""
    reference: str | None = None
    """The variant that differences are against; None is the first."""
    synthetic: SyntheticSettings | None = None
    bootstrap: int = Field(default=2000, ge=100)
    """Resamples of the tasks behind every interval."""
    seed: int = 0

    @model_validator(mode="after")
    def _consistent(self) -> "AblateSettings":
        names = [variant.name for variant in self.variants]
        if len(set(names)) < len(names):
            raise ValueError(f"variants: a name occurs twice in {', '.join(names)}")
        if MAJORITY in names:
            raise ValueError(f"variants: {MAJORITY} is a row of every table of labels; choose another name")
        for name in sorted({*self.only} - {*names}):
            raise ValueError(f"only: {name!r} is no variant; there are {', '.join(names)}")
        chosen = [variant.name for variant in self.chosen()]
        for what, given in (("tests", [one.name for one in self.tests]), ("rows", [*map(str, self.rows)])):
            if not given or len(set(given)) < len(given):
                raise ValueError(f"{what}: none given, or one twice; name each once")
        if self.synthetic is not None:
            self._check_synthetic(self.synthetic)
        if self.reference is not None and self.reference not in chosen:
            raise ValueError(f"reference: {self.reference!r} is no variant to run; there are {', '.join(chosen)}")
        for variant in self.variants:
            try:
                trained = self.of(variant)
            except ValidationError as error:
                raise ValueError(f"variant {variant.name}: {first_fault(error)}") from None
            if trained.data.repairs or trained.rounds > 1:
                raise ValueError(
                    f"variant {variant.name}: routers for every turn (data.repairs, rounds) are compared by running "
                    "them: `fama train` each, then `fama compare` with cadence=turn"
                )
        return self

    def _check_synthetic(self, synthetic: SyntheticSettings) -> None:
        if synthetic.seed == synthetic.test_seed:
            raise ValueError("synthetic: seed and test_seed are the same; the test tasks would be trained on")
        files = [name for name in ("test_outcomes", "train_backbones") if getattr(self, name)]
        data = self.train.get("data")
        files += [f"train.data.{name}" for name in _FILES if isinstance(data, dict) and data.get(name)]
        if files:
            raise ValueError(f"{files[0]}: synthetic tasks take the place of files; leave one of both out")

    def unused(self) -> Iterator[str]:
        """Yield what synthetic tasks and test tables replace."""
        if self.changed("test") and (self.synthetic is not None or self.test_outcomes):
            yield f"test: the test tasks are those of {'synthetic' if self.synthetic else 'test_outcomes'}"
        if self.synthetic is not None and any(one.backbones or one.domains for one in self.tests):
            yield "tests: synthetic tasks have one test set"

    def chosen(self) -> tuple[Variant, ...]:
        """Return the variants to run."""
        return tuple(variant for variant in self.variants if not self.only or variant.name in self.only)

    def of(self, variant: Variant) -> TrainSettings:
        """Return the training settings of a variant, for ``fama train``."""
        return TrainSettings.model_validate(_merged(self.train, variant.set))


def _merged(tree: Tree, more: Tree) -> Tree:
    found = dict(tree)
    for key, value in more.items():
        before = found.get(key)
        found[key] = _merged(before, value) if isinstance(before, dict) and isinstance(value, dict) else value
    return found
