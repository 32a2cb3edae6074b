"""Training and test material of an ablation: disjoint tasks, and no conversation on both sides."""

from collections.abc import Sequence
from dataclasses import dataclass, replace

from eval.ablation.settings import AblateSettings, TestSet
from fama.errors import BadInput
from fama.randomness import derive_seed
from fama.selection.router.features import featurise
from fama.subsets import POOL
from training.data.examples import Example, ExampleSet, outcome_examples
from training.data.load import load_examples, table_examples
from training.data.splits import split_by_task, tied_tasks
from training.data.synthetic import EFFECTS, SyntheticTask, make_tasks, outcome_rows
from training.settings import TrainSettings


@dataclass(frozen=True)
class Test:
    """Examples of one test set; ``truth`` has the SYNTHETIC tasks behind them, by example's task."""

    __test__ = False

    name: str
    examples: tuple[Example, ...]
    truth: tuple[SyntheticTask, ...] = ()


@dataclass(frozen=True)
class AblationData:
    """Training examples, and test sets of other tasks; ``truth`` has the SYNTHETIC tasks behind the training."""

    train: ExampleSet
    tests: tuple[Test, ...]
    truth: tuple[SyntheticTask, ...] = ()


def load_material(settings: AblateSettings) -> AblationData:
    """Read what the settings name.

    Raises:
        BadInput: a file cannot be used, or one side is empty.
    """
    if settings.synthetic is not None:
        return _synthetic(settings)
    everything = load_examples(_union(settings))
    if settings.test_outcomes:
        test, train = _apart(settings, everything)
    else:
        split = split_by_task(
            everything.examples, settings.test, derive_seed(settings.seed, "ablation"), setting="test"
        )
        train, test = split.train, split.validation
    train = tuple(e for e in train if not settings.train_backbones or e.backbone in settings.train_backbones)
    if not train:
        known = ", ".join(sorted({e.backbone for e in everything.examples}))
        raise BadInput(f"train_backbones: no training example is of {settings.train_backbones}; there are {known}")
    tests = tuple(Test(one.name, _part(test, one)) for one in settings.tests)
    for found in tests:
        if not found.examples:
            raise BadInput(
                f"tests: no test example is in {found.name!r}; widen its backbones or domains, or raise test"
            )
    sides = {e.backbone for e in train}, {e.domain for e in train}
    return AblationData(replace(everything.only(train), backbones=_names(sides[0]), domains=_names(sides[1])), tests)


def at_most(data: ExampleSet, rows: int | None, seed: int) -> ExampleSet:
    """Take whole tasks, in an order drawn by seed, until there are ``rows`` examples: smaller sets are in larger ones.

    Raises:
        BadInput: there are not so many.
    """
    if rows is None:
        return data
    if rows > len(data.examples):
        raise BadInput(f"rows: {rows} training rows are asked for, there are {len(data.examples)}; ask for fewer")
    tasks: dict[str, list[Example]] = {}
    for example in data.examples:
        tasks.setdefault(example.task, []).append(example)
    kept: list[Example] = []
    for task in sorted(tasks, key=lambda name: (derive_seed(seed, "rows", name), name)):
        if len(kept) >= rows:
            break
        kept += tasks[task]
    return data.only(kept)


def _union(settings: AblateSettings) -> TrainSettings:
    """Return settings that load the data of every variant: the first one's, with every loss that some variant has."""
    variants = [settings.of(variant) for variant in settings.chosen()]
    for one in variants[1:]:
        if one.data != variants[0].data:
            raise BadInput("variants: their data differ; set data under train, so that all learn from the same")
    losses = variants[0].losses.model_dump()
    for one in variants:
        for name in ("outcome", "tokens", "coverage", "distillation", "categories", "decision"):
            losses[name] = max(losses[name], getattr(one.losses, name))
    # of the kind that can have every loss; nothing is trained by these settings
    return TrainSettings(kind="encoder", data=variants[0].data, losses=type(variants[0].losses)(**losses))


def _apart(settings: AblateSettings, everything: ExampleSet) -> tuple[tuple[Example, ...], tuple[Example, ...]]:
    """Return test examples of other tables, and the training examples of none of their tasks."""
    test = table_examples(settings.test_outcomes, settings.of(settings.chosen()[0]).data).examples
    group = tied_tasks([*everything.examples, *test])
    tested = {group[example.task] for example in test}
    train = [example for example in everything.examples if group[example.task] not in tested]
    if not train:
        raise BadInput("test_outcomes: they hold every training task, or its conversation; give tables of other tasks")
    return test, tuple(train)


def _part(examples: Sequence[Example], wanted: TestSet) -> tuple[Example, ...]:
    return tuple(
        example
        for example in examples
        if (not wanted.backbones or example.backbone in wanted.backbones)
        and (not wanted.domains or example.domain in wanted.domains)
    )


def _names(names: set[str]) -> tuple[str, ...]:
    return tuple(sorted(names - {""}))


def _synthetic(settings: AblateSettings) -> AblationData:
    source = settings.synthetic
    assert source is not None  # noqa: S101 - the caller's branch
    effects = EFFECTS[source.effects]
    learned = make_tasks(source.tasks, source.seed, effects)
    train = outcome_examples(outcome_rows(learned), POOL)
    tasks = make_tasks(source.test_tasks, source.test_seed, effects)
    test = outcome_examples(outcome_rows(tasks, seed=source.test_seed), POOL)
    said = {featurise(task.state).history() for task in tasks}
    kept = tuple(e for e in train.examples if e.features.history() not in said)
    tests = (Test("SYNTHETIC test tasks", test.examples, tuple(tasks)),)
    return AblationData(replace(train, examples=kept), tests, tuple(learned))
