"""Trains every variant at every size, measures it on every test set, and keeps what is done for the next start."""

import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path

import numpy as np

from eval.ablation.datasets import AblationData, Test, at_most, load_material
from eval.ablation.informed import TOLD, measure_informed
from eval.ablation.router_measures import Sums, label_measures, measure_router
from eval.ablation.settings import MAJORITY, AblateSettings
from fama.config import dump_settings
from fama.episodes.records import Record
from fama.files import write_atomically
from fama.hashing import content_hash
from fama.helpers.base import Covering
from fama.intervals import Interval
from fama.provenance import git_commit
from fama.selection.router.checkpoint import load_router
from fama.selection.router.embedder import Embedder
from fama.settings import hashed_form
from training.data.examples import Example, ExampleSet
from training.data.load import coverage_of, taxonomy_of
from training.kinds.base import trainer_of
from training.settings import TrainSettings
from training.train import train_on

RESULT = "ablation.json"


class AblationCell(Record):
    """One router on one test set: rows and tasks of both, measures, and their differences to the reference's.

    ``counted`` has (rows that count, all rows) of measures that count fewer than all, such as the success of choices
    that were not all executed. A difference is on the rows that count for both, and missing where there are none.
    """

    variant: str
    kind: str
    train_rows: int
    train_tasks: int
    test: str
    test_rows: int
    test_tasks: int
    measures: dict[str, Interval]
    differences: dict[str, Interval] = {}
    counted: dict[str, tuple[int, int]] = {}


class Ablation(Record):
    """All cells; hashes say which data and settings they come from."""

    schema_version: int = 1
    view: str
    reference: str
    synthetic: bool
    data_hash: str
    settings_hash: str
    git_commit: str | None
    command: str
    cells: tuple[AblationCell, ...]


def ablate(settings: AblateSettings, out: Path, command: str, tell: Callable[[str], None]) -> Ablation:
    """Train, measure and write ``out/ablation.json``.

    Routers that are there already, from the same settings and data, are not trained again.

    Raises:
        BadInput: data or settings cannot be used.
    """
    material = load_material(settings)
    reference = settings.reference or settings.chosen()[0].name
    embedders: dict[str, Embedder] = {}
    cells: list[AblationCell] = []
    for rows in settings.rows:
        train = at_most(material.train, rows, settings.seed)
        routers = list(_routers(settings, train, material, out, embedders, tell))
        theirs = next(found for name, _, found in routers if name == reference)
        for name, kind, found in routers:
            for test in material.tests:
                other = {} if name == reference else theirs[test.name]
                cells.append(_cell(name, kind, train, test, found[test.name], other, settings))
    result = Ablation(
        view=settings.of(settings.chosen()[0]).data.view,
        reference=reference,
        synthetic=material.train.synthetic,
        data_hash=_hash(material),
        settings_hash=content_hash(hashed_form(dump_settings(settings))),
        git_commit=git_commit(),
        command=command,
        cells=tuple(cells),
    )
    write_atomically(out / RESULT, result.model_dump_json(indent=1) + "\n")
    return result


def _hash(material: AblationData) -> str:
    tests = [ExampleSet(test.examples, material.train.pool).digest() for test in material.tests]
    return content_hash([material.train.digest(), *tests])


def _routers(
    settings: AblateSettings,
    train: ExampleSet,
    material: AblationData,
    out: Path,
    embedders: dict[str, Embedder],
    tell: Callable[[str], None],
) -> Iterator[tuple[str, str, dict[str, dict[str, Sums]]]]:
    """Yield name, kind and measures by test set of every row of the table."""
    shared = settings.of(settings.chosen()[0])
    helpers = coverage_of(shared.data)
    if _labelled(train.examples) and any(_labelled(test.examples) for test in material.tests):
        codes = taxonomy_of(shared.data).codes
        yield MAJORITY, MAJORITY, {t.name: _majority(train.examples, t, codes, helpers) for t in material.tests}
    if material.truth:
        found = {t.name: measure_informed(shared, train.examples, material.truth, t) for t in material.tests}
        yield TOLD, TOLD, found
    for variant in settings.chosen():
        wanted = settings.of(variant)
        tell(f"{variant.name}, {len(train.examples)} rows")
        folder = out / "routers" / f"{variant.name}-{len(train.examples)}"
        embedder = _embedder(wanted, embedders)
        _train_once(wanted, train, folder, embedder)
        router = load_router(folder, embedder=embedder)
        knows = wanted.knows_success
        yield variant.name, wanted.kind, {t.name: measure_router(router, t, helpers, knows) for t in material.tests}


def _embedder(settings: TrainSettings, known: dict[str, Embedder]) -> Embedder | None:
    """Return one embedder for all variants on the same frozen encoder: every text is encoded once."""
    shape = trainer_of(settings.kind).frozen_encoder(settings)
    if shape is None:
        return None
    key = shape.model_dump_json()
    if key not in known:
        known[key] = Embedder.load(shape, entries=1_000_000)
    return known[key]


def _train_once(settings: TrainSettings, data: ExampleSet, folder: Path, embedder: Embedder | None) -> None:
    stamp = folder / "work" / "ablation.json"
    wanted = {"settings": hashed_form(dump_settings(settings)), "data": data.digest()}
    try:
        if json.loads(stamp.read_text(encoding="utf-8")) == wanted and (folder / "router.json").is_file():
            return
    except (OSError, ValueError):
        pass
    stamp.unlink(missing_ok=True)  # a process that dies before the new one leaves no router under the stamp of another
    train_on(settings, data, folder, command="fama ablate", embedder=embedder)
    write_atomically(stamp, json.dumps(wanted) + "\n")


def _labelled(examples: Sequence[Example]) -> bool:
    return any(example.categories is not None for example in examples)


def _majority(
    train: Sequence[Example], test: Test, codes: Sequence[str], helpers: Mapping[str, Covering]
) -> dict[str, Sums]:
    labelled = [e for e in test.examples if e.categories is not None]
    if not labelled:
        return {}
    counts = np.array([e.categories for e in train if e.categories is not None], dtype=np.float64).sum(axis=0)
    said = np.zeros((len(labelled), len(counts)))
    said[:, int(counts.argmax())] = 1.0
    return label_measures(said, labelled, codes, helpers)


def _cell(
    name: str,
    kind: str,
    train: ExampleSet,
    test: Test,
    found: Mapping[str, Sums],
    other: Mapping[str, Sums],
    settings: AblateSettings,
) -> AblationCell:
    """Return a cell with its paired differences to ``other``, where the two have rows in common."""
    draws, seed = settings.bootstrap, settings.seed
    shared = [key for key in found if key in other and found[key].tasks == other[key].tasks]
    paired = {key: found[key].minus(other[key], draws, seed) for key in shared}
    return AblationCell(
        variant=name,
        kind=kind,
        train_rows=len(train.examples),
        train_tasks=len({example.task for example in train.examples}),
        test=test.name,
        test_rows=len(test.examples),
        test_tasks=len({example.task for example in test.examples}),
        measures={key: sums.interval(draws, seed) for key, sums in found.items()},
        differences={key: value for key, value in paired.items() if value is not None},
        counted={key: sums.counted for key, sums in found.items() if sums.counted[0] < sums.counted[1]},
    )
