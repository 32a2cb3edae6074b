"""The cost of a router's data, spent before it could learn from them."""

from collections.abc import Iterable, Iterator
from itertools import chain
from pathlib import Path

from fama.diagnosis.diagnose import spent_on_labels
from fama.episodes.jsonl import RecordStore, existing_file
from fama.episodes.outcome_table import spent_on_table
from fama.episodes.records import Episode, known_total
from fama.episodes.spending import SpendingPart, Spent, spent_on_episodes, unknown
from fama.episodes.store import read_episodes, read_set_aside
from fama.hashing import content_hash
from fama.mining.records import REPAIRS, Repair
from fama.selection.router.checkpoint import read_manifest
from fama.selection.router.retrospective import without_helpers
from training.settings import TrainSettings


def data_cost(settings: TrainSettings) -> tuple[Spent, ...]:
    """Add up outcome tables, plain runs with their diagnosis, prompted episodes, and all that an initial router cost.

    An episode that several sources name counts once, with the first one; so does a part that the initial router paid.

    Raises:
        BadInput: a file cannot be read.
    """
    data = settings.data
    counted: set[str] = set()
    parts = [spent_on_table(path) for path in dict.fromkeys(data.outcomes)]
    for path in data.plain:
        parts += _uncounted("plain run", path, without_helpers(_attempts(path)), counted)
    for source in data.failures:
        run, diagnosis = spent_on_labels(Path(source.failures))
        parts += _uncounted("plain run", source.failures, _attempts(source.episodes), counted, whole=run)
        parts.append(diagnosis)
    for mined in data.repairs:
        parts += _uncounted("plain run", mined.episodes, _attempts(mined.episodes), counted)
        parts.append(spent_on_mining(mined.repairs))
    for path in data.prompted:
        parts += _uncounted("prompted episodes", path, _attempts(path), counted)
    if settings.init is not None:
        paid = read_manifest(Path(settings.init)).cost
        if paid is None:
            parts.append(unknown("training", settings.init))
        else:
            parts += [part for part in paid if part not in parts]
    return tuple(parts)


def _uncounted(
    part: SpendingPart, source: str, episodes: Iterable[Episode], counted: set[str], whole: Spent | None = None
) -> list[Spent]:
    """Return the cost of the episodes that are not counted yet, nothing where all are; they are counted then.

    ``whole`` is the cost of all of them where something else than the episodes tells it.
    """
    # by content: an id is that of the settings, not of the run
    logged = {content_hash(one.model_dump_json()): one for one in episodes}
    left = [one for key, one in logged.items() if key not in counted]
    counted.update(logged)
    if whole is not None and len(left) == len(logged):
        return [whole]
    return [spent_on_episodes(part, source, left)] if left or not logged else []


def _attempts(path: str) -> Iterator[Episode]:
    """Stream a run's episodes, those that ended in an error and were run again, too: their tokens were spent."""
    return chain(read_set_aside(Path(path)), read_episodes(Path(path)))


def spent_on_mining(folder: str) -> Spent:
    """Return the cost of the model calls of mined episodes.

    Raises:
        BadInput: the folder holds no repairs, or a line is damaged.
    """
    records = list(RecordStore(existing_file(Path(folder), REPAIRS), Repair).read())
    tokens = known_total(record.tokens for record in records)
    return Spent(part="mining", source=folder, tokens=tokens, seconds=round(sum(r.seconds for r in records), 3))
