"""``fama import FORMAT PATH... --out DIR``: foreign logs → ``DIR/episodes.jsonl``, labels → ``DIR/labels.jsonl``."""

import argparse
import sys
import tempfile
from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field, replace
from glob import glob, has_magic
from pathlib import Path
from typing import IO

from tqdm import tqdm

from fama.episodes.importers.base import IMPORTERS, LABEL_READERS, detect
from fama.episodes.importers.clean import dialogue_hash, strip_thinking
from fama.episodes.keys import EpisodeKey
from fama.episodes.records import Episode, Failure
from fama.episodes.store import EpisodeStore, read_episodes, read_failures, write_failures
from fama.errors import BadInput

AUTO, LABELS = "auto", "labels.jsonl"
_SUFFIXES = (".json", ".jsonl", ".json.gz", ".jsonl.gz", ".eval")
_FILLED = ("benchmark", "domain", "backbone", "strategy")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Flags of the command."""
    known = "acebench, ck496 (labels of τ-bench failures), inspect, openai, tau-bench (τ-trait too), tau2"
    parser.add_argument(
        "format", metavar="FORMAT", help=f"{known}, a plug-in's name, or {AUTO}: found out file by file"
    )
    parser.add_argument(
        "paths", metavar="PATH", nargs="+", help="files, folders or patterns of .json, .jsonl, .gz, .eval"
    )
    parser.add_argument("--out", metavar="DIR", required=True, help="folder that gets episodes.jsonl")
    for option in _FILLED:
        parser.add_argument(f"--{option}", metavar="NAME", help=f"the {option}, where the log does not say it")
    parser.add_argument(
        "--strip-user-thinking", action="store_true", help="cut the user simulator's leaked <think> text, and count it"
    )


def main(args: argparse.Namespace) -> int:
    """Import file by file; run again, it adds only what is new. A bad file is named, the good ones are kept."""
    if args.format != AUTO:
        IMPORTERS.load(args.format)
    files = list(_files(args.paths))
    options = {key: getattr(args, key) for key in _FILLED if getattr(args, key)}
    intake = Intake(EpisodeStore(Path(args.out)), args.strip_user_thinking)
    bad: list[str] = []
    labels: list[Failure] = []
    for path in tqdm(files, unit="file", disable=len(files) < 2 or not sys.stderr.isatty()):
        try:
            name = detect(path) if args.format == AUTO else args.format
            found = list(LABEL_READERS.load(name)(path)) if name in LABEL_READERS.names() else []
            told = intake.add(IMPORTERS.load(name)(path, **options))
            labels += found
        except BadInput as error:
            bad.append(str(error))
        else:
            tqdm.write(f"{path.name}: {told}")
    if intake.ids:
        print(f"→ {intake.store.path} ({len(intake.ids)} episodes)")
    if labels:
        print(f"→ {_add_labels(intake.store.path.with_name(LABELS), labels)}")
    if bad:
        good = len(files) - len(bad)
        raise BadInput("; ".join(bad) + (f" (the other {good} of {len(files)} files are imported)" if good else ""))
    return 0


def _add_labels(path: Path, labels: list[Failure]) -> str:
    """Add to the file what it does not have; returns in words what it holds then."""
    known = {(label.episode_id, label.labeller): label for label in (read_failures(path) if path.exists() else ())}
    known.update({(label.episode_id, label.labeller): label for label in labels})
    write_failures(path, known.values())
    return f"{path} ({len(known)} labels)"


@dataclass
class Intake:
    """Puts the episodes of one file after the other into a store, each file whole or not at all.

    Memory holds no dialogue: episodes wait on disk until their file is known to be good.
    """

    store: EpisodeStore
    strip: bool = False
    ids: set[str] = field(default_factory=set)
    _taken: set[EpisodeKey] = field(default_factory=set)
    _dialogues: dict[str, str] = field(default_factory=dict)

    def __post_init__(self) -> None:
        for episode in read_episodes(self.store.path) if self.store.path.exists() else ():
            self.ids.add(episode.id)
            self._taken.add(episode.key.pair)
            self._dialogues.setdefault(dialogue_hash(episode), _place(episode))

    def add(self, episodes: Iterable[Episode]) -> str:
        """Store a file's new episodes; returns in words what was there.

        Raises:
            BadInput: the file is bad; nothing of it is stored.
        """
        counts: Counter[str] = Counter()
        seen: dict[str, EpisodeKey] = {}
        dialogues: dict[str, str] = {}
        twin = ""
        with tempfile.TemporaryFile() as spool:
            for episode in episodes:
                counts[episode.outcome.status] += 1
                if self.strip:
                    episode, cut = strip_thinking(episode)
                    counts["thoughts"] += cut
                if episode.id in self.ids or episode.id in seen:
                    counts["known"] += 1
                    continue
                digest = dialogue_hash(episode)
                if first := digest and (self._dialogues.get(digest) or dialogues.get(digest)):
                    counts["same"] += 1
                    twin = twin or first
                dialogues.setdefault(digest, _place(episode))
                seen[episode.id] = episode.key.pair
                spool.write(episode.model_dump_json().encode("utf-8") + b"\n")
            offset = self._offset(seen.values())
            self.store.append_lines(_moved(spool, offset))
        self.ids |= seen.keys()
        self._taken |= {_later(key, offset) for key in seen.values()}
        for digest, place in dialogues.items():
            self._dialogues.setdefault(digest, place)
        return _in_words(counts, len(seen), twin)

    def _offset(self, keys: Iterable[EpisodeKey]) -> int:
        """Return how far a file's trials move up: several files of one arm are repetitions, each numbered from 0."""
        keys, offset = list(keys), 0
        while any(_later(key, offset) in self._taken for key in keys):
            offset += 1
        return offset


def _moved(spool: IO[bytes], offset: int) -> Iterator[bytes]:
    """The waiting lines, with their trials moved up."""
    spool.seek(0)
    for line in spool:
        if offset:
            episode = Episode.model_validate_json(line)
            moved = episode.model_copy(update={"trial": episode.trial + offset})
            line = moved.model_dump_json().encode("utf-8") + b"\n"
        yield line


def _in_words(counts: Counter[str], new: int, twin: str) -> str:
    total = counts["success"] + counts["failure"] + counts["error"]
    told = [
        f"{total} episodes, {counts['success']} successes, {counts['failure']} failures, {counts['error']} errors",
        *([f"{new} new"] if counts["known"] else []),
        *([f"thoughts cut from {counts['thoughts']} user turns"] if counts["thoughts"] else []),
        *([f"{counts['same']} with the same messages as another episode, the first as {twin}"] if twin else []),
    ]
    return "; ".join(told)


def _later(key: EpisodeKey, by: int) -> EpisodeKey:
    return replace(key, trial=key.trial + by)


def _place(episode: Episode) -> str:
    return f"task {episode.task_id} of {episode.source.file or 'the store'}"


def _files(names: list[str]) -> Iterator[Path]:
    for name in names:
        path = Path(name)
        if path.is_dir():
            found = sorted(p for p in path.rglob("*") if p.name.endswith(_SUFFIXES) and p.is_file())
            if not found:
                raise BadInput(f"{path}: holds no .json, .jsonl, .gz or .eval file; give a folder of logs")
            yield from found
        elif path.exists():
            yield path
        elif has_magic(name) and (matching := sorted(glob(name, recursive=True))):
            yield from (Path(match) for match in matching if Path(match).is_file())
        else:
            raise BadInput(f"{path}: does not exist; give a log file, a pattern or a folder of them")
