"""The files of episodes and failure labels: their places, and what a run may do with them."""

import gzip
import logging
import re
from collections.abc import Collection, Iterable, Iterator, Sequence
from functools import cache
from itertools import chain
from pathlib import Path

from fama.episodes.jsonl import RecordStore, existing_file, is_torn, line_of
from fama.episodes.records import Episode, Failure
from fama.errors import BadInput

log = logging.getLogger(__name__)

EPISODES = "episodes.jsonl"
FAILURES = "failures.jsonl"
#: Names of files of a recording that grew too large and were renamed.
RENAMED = re.compile(r"episodes-(\d{6})\.jsonl")
#: The importer that recorded conversations name.
SERVED = "serve"
#: The mark of a recorded conversation that went on; inside of texts its quotes are escaped.
_CONTINUES = re.compile(rb'"continues":"([^"\\]+)"')
#: Episodes that ended in an error and were run again; kept because their tokens were spent.
SET_ASIDE = "errors.jsonl"


class EpisodeStore(RecordStore[Episode]):
    """The ``episodes.jsonl`` of one folder."""

    def __init__(self, folder: Path) -> None:
        super().__init__(Path(folder) / EPISODES, Episode)
        self.folder = Path(folder)
        self._errors = RecordStore(self.folder / SET_ASIDE, Episode)

    def ids(self) -> set[str]:
        """Return the ids of the stored episodes; empty when there are none yet.

        Raises:
            BadInput: a line is damaged.
        """
        return {episode.id for episode in self.read()}

    def set_aside(self, ids: Collection[str]) -> None:
        """Move episodes to ``errors.jsonl``, so that they can be run again and every id stays unique.

        A process that is killed between the two files leaves an episode in both. ``aside`` then passes over it,
        and the next call moves it without adding it twice.
        """
        if not ids:
            return
        with self.locked():
            moved = [line_of(episode) for episode in self.read() if episode.id in ids]
            there = set(map(line_of, self._errors.read()))
            for line in moved:
                if line not in there:
                    self._errors.add_unlocked([line])
            self.rewrite_unlocked(episode for episode in self.read() if episode.id not in ids)

    def aside(self) -> Iterator[Episode]:
        """Stream the episodes that were set aside and are in ``episodes.jsonl`` no more."""
        if self._errors.path.exists():
            current = {line_of(episode) for episode in self.read() if episode.outcome.status == "error"}
            yield from (episode for episode in self._errors.read() if line_of(episode) not in current)


def read_episodes(path: Path) -> Iterator[Episode]:
    """Stream the episodes of a folder or of a ``.jsonl`` or ``.jsonl.gz`` file; a torn last line is left out.

    So is a recorded conversation that went on after a pause: a later episode of the file holds all of it. For what a
    user names: a run that goes on in its own folder reads with ``EpisodeStore``, which may hold none yet.

    Raises:
        BadInput: nothing is there, no whole line is, one is damaged (``file:line``), or it is a log of another tool.
    """
    folder = Path(path)
    path = existing_file(folder, EPISODES)
    if renamed := sorted(one.name for one in folder.glob("episodes-*.jsonl") if RENAMED.fullmatch(one.name)):
        _tell_renamed(folder, path.name, tuple(renamed))
    hint = f"if another tool wrote it: fama import auto {path}"
    return _at_least_one(RecordStore(path, Episode).read(hint), path)


def read_set_aside(path: Path) -> Iterator[Episode]:
    """Stream the attempts that a run's folder set aside, whose tokens were spent, too; a single file has none."""
    return EpisodeStore(path).aside() if path.is_dir() else iter(())


@cache
def _tell_renamed(folder: Path, name: str, renamed: tuple[str, ...]) -> None:
    """Say once per process that a recording has older files."""
    log.warning("%s: only %s is read; give %s by name for what was recorded before", folder, name, _span(renamed))


def _span(names: Sequence[str]) -> str:
    return names[0] if len(names) == 1 else f"{names[0]} to {names[-1]}"


def _at_least_one(episodes: Iterator[Episode], path: Path) -> Iterator[Episode]:
    first = next(episodes, None)
    if first is None:
        raise BadInput(f"{path}: holds no episodes; run `fama run` or `fama import` first")
    went_on = _went_on(path) if first.source.importer == SERVED else frozenset()
    yield from (episode for episode in chain([first], episodes) if episode.id not in went_on)


@cache
def _tell_went_on(path: Path, count: int) -> None:
    """Say once per process that a recording holds conversations twice."""
    log.warning("%s: %d conversations went on after a pause; the episodes that end before it are left out", path, count)


def _went_on(path: Path) -> frozenset[str]:
    """Return the ids of episodes of a recording whose conversations went on in others, found without parsing all.

    A torn last line holds no conversation, so that the one that it went on with is all there is.
    """
    with gzip.open(path) if path.suffix == ".gz" else path.open("rb") as file:
        marked = (line for line in file if _CONTINUES.search(line) and not is_torn(line))
        ids = frozenset(found[1].decode() for line in marked for found in _CONTINUES.finditer(line))
    if ids:
        _tell_went_on(path, len(ids))
    return ids


def read_failures(path: Path) -> list[Failure]:
    """Return the failure labels of a folder or file; a torn last line is left out.

    Raises:
        BadInput: nothing is there, or a line is damaged (``file:line``).
    """
    return list(RecordStore(existing_file(Path(path), FAILURES), Failure).read())


def given_labels(path: Path, allow_none: bool = False) -> list[Failure]:
    """Return the labels of a folder or file that name a category or say that none fits; begun ones are left out.

    Raises:
        BadInput: nothing is there, a line is damaged (``file:line``), or there is no label and ``allow_none`` is unset.
    """
    labels = read_failures(path)
    given = [label for label in labels if label.is_complete]
    if begun := len(labels) - len(given):
        log.warning("%s: %d labels are left out: no category, and no mark that none fits (fama annotate)", path, begun)
    if not given and not allow_none:
        raise BadInput(f"{path}: holds no label; run `fama diagnose` or `fama annotate` on failed episodes first")
    return given


def write_failures(path: Path, failures: Iterable[Failure]) -> None:
    """Replace the failure labels of a file (or ``failures.jsonl`` of a folder), whole or not at all."""
    path = Path(path)
    RecordStore(path / FAILURES if path.is_dir() else path, Failure).rewrite(failures)
