"""Reads the files that a config names into one set of examples."""

import logging
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import chain
from pathlib import Path

from pydantic import ValidationError

from fama.diagnosis.taxonomy import Taxonomy, load_taxonomy
from fama.episodes.records import Episode, Failure
from fama.errors import BadInput
from fama.helpers.base import HELPERS
from fama.helpers.pool import are_names_of, declared_pool, forms_of, member_names
from fama.mining.records import Repair
from fama.selection.router.retrospective import failed_features
from fama.settings import Form, HelperSettings, written_settings
from fama.subsets import base_of
from training.data.examples import ExampleSet, failure_examples, outcome_examples, prompted_examples
from training.data.repairs import repair_examples
from training.data.row_weights import to_mean_one
from training.settings import DataSettings, LossSettings, TrainSettings

log = logging.getLogger(__name__)


def load_examples(settings: TrainSettings) -> ExampleSet:
    """Load the examples of every source whose loss is switched on.

    Raises:
        BadInput: a file is missing or unreadable, a switched-on loss has no data that it can use, or pools differ.
    """
    data, losses = settings.data, settings.losses
    _check_sources(settings)
    found = ExampleSet((), member_names(data.pool))
    if losses.outcome or losses.decision:
        found = _repairs(data) if data.repairs else found + table_examples(data.outcomes, data)
        _check_costs(found, data)
        _check_propensities(found, losses)
    if losses.coverage or losses.categories:
        found = _failures(data, found, bool(losses.coverage))
    if losses.distillation:
        found = _prompted(data, found)
    if not found.examples:
        left_out = ", ".join(f"{reason} {count}" for reason, count in found.left_out.items())
        raise BadInput(f"data: no usable example in the files given; left out: {left_out or 'nothing, they are empty'}")
    return found


def taxonomy_of(data: DataSettings) -> Taxonomy:
    """Load the taxonomy of the router's heads.

    Raises:
        BadInput: the file of the user's own is missing or wrong.
    """
    return load_taxonomy(Path(data.taxonomy) if data.taxonomy else None)


@dataclass(frozen=True)
class HelperCoverage:
    """Coverage of a helper under a taxonomy."""

    covers: frozenset[str]
    token_cap: int


def coverage_of(data: DataSettings) -> dict[str, HelperCoverage]:
    """Return the coverage of each helper of the pool under this taxonomy, in pool order.

    Raises:
        BadInput: an unknown helper, or the taxonomy's file is wrong.
    """
    taxonomy, pool = taxonomy_of(data), declared_pool(data.pool)
    known = {*HELPERS.names(), *map(base_of, pool)}
    for category in taxonomy.categories:
        for name in category.helpers:
            if name not in known:
                log.warning(
                    "%s: category %s names the helper %r, which is neither in the pool nor installed (%s); if it is "
                    "misspelt, the router learns that nobody addresses the category",
                    data.taxonomy,
                    category.code,
                    name,
                    ", ".join(sorted(known)),
                )
    return {
        name: HelperCoverage(taxonomy.covered_by(name, helper.covers), helper.token_cap)
        for name, helper in pool.items()
    }


def _check_sources(settings: TrainSettings) -> None:
    data, losses = settings.data, settings.losses
    needs = (
        ("outcomes", losses.outcome or losses.decision, data.outcomes or data.repairs),
        ("failures", losses.coverage or losses.categories, data.failures),
        ("prompted", losses.distillation, data.prompted),
    )
    for name, weight, files in needs:
        if weight and not files:
            raise BadInput(f"data.{name} is empty, but a loss that needs it is on; name its files or set the loss to 0")


def _check_costs(found: ExampleSet, data: DataSettings) -> None:
    """Refuse a unit of cost that no row says, or none with some helper: it would count as free.

    Repairs alone are only warned of: those mined with several continuations keep no cost in any unit.

    Raises:
        BadInput: names the unit, and the helper.
    """
    executed = {one.subset for one in found.examples if one.subset is not None}
    known = {one.subset for one in found.examples if one.subset is not None and one.tokens is not None}
    without = [
        name
        for place, name in enumerate(found.pool)
        if any(subset[place] for subset in executed) and not any(subset[place] for subset in known)
    ]
    if executed and (without or not known):
        rows = f"row with {without[0]}" if known else "row"
        told = f"data.cost: no {rows} says its {data.cost.replace('_', ' ')}, which would then cost nothing"
        if not data.repairs:
            raise BadInput(f"{told}; set it to a unit that the data hold, such as tokens")
        log.warning("%s: repairs mined with continuations above 1 hold no cost of the rest of an episode", told)


def _check_propensities(found: ExampleSet, losses: LossSettings) -> None:
    """Refuse to weigh by propensities that no row says: every row would count as drawn for certain.

    Raises:
        BadInput: names the loss.
    """
    weighed = losses.decision or losses.inverse_propensity
    if weighed and found.examples and not any(one.propensity for one in found.examples):
        asked, off = ("decision", "0") if losses.decision else ("inverse_propensity", "false")
        raise BadInput(f"losses.{asked}: no row of data.outcomes says its propensity; set it to {off}")


def _repairs(data: DataSettings) -> ExampleSet:
    """Read mined folders, each with its own episodes; balance holds over all of them.

    Raises:
        BadInput: a folder has no repairs, they cannot be used, or two folders do not go together.
    """
    from fama.episodes.store import read_episodes
    from fama.mining.mined_folder import read_repairs

    records: dict[str, Repair] = {}
    episodes: dict[str, Episode] = {}
    forms: dict[str, Form] | None = None
    for source in data.repairs:
        if not Path(source.repairs).is_dir():
            raise BadInput(f"data.repairs: {source.repairs} is no folder; give the one that `fama mine` wrote")
        mined = read_repairs(Path(source.repairs))
        if forms is not None and mined.records and mined.forms != forms:
            raise BadInput(f"data.repairs: {source.repairs} has helpers in other forms than the folders before it")
        forms = mined.forms if mined.records else forms
        for one in mined.records:
            if one.episode_id in records:
                raise BadInput(f"data.repairs: {source.repairs}: episode {one.episode_id} is in two folders; name one")
            if data.benchmark_version not in (None, one.benchmark_version):
                raise BadInput(
                    f"data.repairs: {source.repairs} is of {one.benchmark_version}, not of data.benchmark_version "
                    f"{data.benchmark_version}"
                )
            records[one.episode_id] = one
        wanted = {id_ for one in mined.records for id_ in (one.episode_id, one.repaired_episode)}
        executed = any(one.repaired_episode for one in mined.records)
        for folder in (source.episodes, *([source.repairs] if executed else [])):
            episodes |= {one.id: one for one in read_episodes(Path(folder)) if one.id in wanted}
    found = repair_examples(records.values(), episodes, member_names(data.pool), data.cost, data.balance)
    return replace(found, examples=to_mean_one(found.examples), forms=forms)


def table_examples(paths: Sequence[str], data: DataSettings) -> ExampleSet:
    """Read the rows of outcome tables, in the view that the data settings ask for; one that is in several counts once.

    Raises:
        BadInput: a table cannot be used, or the retrospective view has no failed plain episode.
    """
    from fama.episodes.outcome_table import OutcomeRow, read_outcomes
    from fama.episodes.store import read_episodes

    names = member_names(data.pool)
    failed, found = None, ExampleSet((), names)
    if data.view == "retrospective":
        failed = failed_features(chain.from_iterable(read_episodes(Path(path)) for path in data.plain))
        if not failed:
            raise BadInput(
                f"data.plain: no failed episode without helpers in {', '.join(data.plain)}; name the plain run's"
            )
    seen: set[OutcomeRow] = set()
    for place, path in enumerate(paths):
        read = read_outcomes(Path(path), data.benchmark_version)
        rows = [row for row in read if row not in seen]
        if len(rows) < len(read):
            log.warning(
                "%s: %d of %d rows stand in a table before it; they count once", path, len(read) - len(rows), len(read)
            )
        seen.update(rows)
        one = outcome_examples(rows, names, failed, data.cost, place)
        found += replace(one, forms=_table_forms(path, names))
    return found


def _table_forms(path: str, names: Sequence[str]) -> dict[str, Form] | None:
    """Return the forms of a table's helpers; None where it does not say its settings, or has them otherwise."""
    from fama.episodes.outcome_table import read_metadata

    try:
        helpers = HelperSettings.model_validate(written_settings(read_metadata(path)["config"])["helpers"])
    except (ValidationError, KeyError, AttributeError):
        return None
    return forms_of(helpers, names) if are_names_of(names, helpers.pool) else None


def _failures(data: DataSettings, found: ExampleSet, coverage: bool) -> ExampleSet:
    from fama.episodes.store import given_labels, read_episodes

    taxonomy = taxonomy_of(data)
    covers = {name: helper.covers for name, helper in coverage_of(data).items()}
    if coverage and not any(covers.values()):
        raise BadInput(
            f"data.taxonomy: no helper of the pool covers a category of {taxonomy.version}; name helpers at its "
            "categories, for example helpers: [DCE]"
        )
    labelled = ExampleSet((), member_names(data.pool))
    learned: dict[str, list[Failure]] = {}
    for source in data.failures:
        read = given_labels(Path(source.failures), allow_none=True)
        labels = [label for label in read if label not in learned.get(label.episode_id, ())]
        if len(labels) < len(read):
            log.warning(
                "%s: %d of %d labels stand in a log before it; they count once",
                source.failures,
                len(read) - len(labels),
                len(read),
            )
        other = sorted({label.taxonomy_version for label in labels} - {taxonomy.version})
        if other:
            raise BadInput(
                f"{source.failures}: labelled with taxonomy {', '.join(other)}, not with {taxonomy.version}; "
                "name its file as data.taxonomy, or diagnose again"
            )
        found_here: set[str] = set()
        episodes = _noted(read_episodes(Path(source.episodes)), found_here)
        labelled += failure_examples(
            labels,
            episodes,
            covers,
            taxonomy.codes,
            data.view,
            primary_only=data.labels == "primary",
            unexplained=data.unexplained,
            confidence=data.confidence,
            user_faults=data.user_faults,
        )
        for label in labels:
            if label.episode_id in found_here:
                learned.setdefault(label.episode_id, []).append(label)
    return found + replace(labelled, examples=to_mean_one(labelled.examples))


def _prompted(data: DataSettings, found: ExampleSet) -> ExampleSet:
    from fama.episodes.store import read_episodes

    before: set[str] = set()
    for path in data.prompted:
        here: set[str] = set()
        episodes = (one for one in _noted(read_episodes(Path(path)), here) if one.id not in before)
        found += prompted_examples(episodes, member_names(data.pool))
        if twice := here & before:
            log.warning("%s: %d of %d episodes stand in a log before it; they count once", path, len(twice), len(here))
        before |= here
    return found


def _noted(episodes: Iterable[Episode], ids: set[str]) -> Iterator[Episode]:
    """Yield episodes, and put their ids into a set."""
    for episode in episodes:
        ids.add(episode.id)
        yield episode
