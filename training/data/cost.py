"""The cost of a router's data, spent before it could learn from them."""

from pathlib import Path

from fama.diagnosis.diagnose import spent_on_labels
from fama.episodes.jsonl import RecordStore, existing_file
from fama.episodes.records import known_total
from fama.episodes.spending import Spent, spent_on_episodes, spent_on_table, unknown
from fama.episodes.store import read_episodes
from fama.mining.records import REPAIRS, Repair
from fama.selection.router.checkpoint import read_manifest
from fama.selection.router.retrospective import without_helpers
from training.settings import TrainSettings


def data_cost(settings: TrainSettings) -> tuple[Spent, ...]:
    """Outcome tables, plain runs with their diagnosis, prompted episodes, and all that an initial router cost.

    Raises:
        BadInput: a file cannot be read.
    """
    data = settings.data
    parts = [spent_on_table(path) for path in data.outcomes]
    parts += [spent_on_episodes("plain run", path, without_helpers(read_episodes(Path(path)))) for path in data.plain]
    for source in data.failures:
        parts += spent_on_labels(Path(source.failures))
    for mined in data.repairs:
        runs = read_episodes(Path(mined.episodes))
        parts += [spent_on_episodes("plain run", mined.episodes, runs), spent_on_mining(mined.repairs)]
    parts += [spent_on_episodes("prompted episodes", path, read_episodes(Path(path))) for path in data.prompted]
    if settings.init is not None:
        before = read_manifest(Path(settings.init)).cost
        parts += [unknown("training", settings.init)] if before is None else before
    return tuple(parts)


def spent_on_mining(folder: str) -> Spent:
    """Return the cost of the model calls of mined episodes.

    Raises:
        BadInput: the folder holds no repairs, or a line is damaged.
    """
    records = list(RecordStore(existing_file(Path(folder), REPAIRS), Repair).read())
    tokens = known_total(record.tokens for record in records)
    return Spent(part="mining", source=folder, tokens=tokens, seconds=round(sum(r.seconds for r in records), 3))
