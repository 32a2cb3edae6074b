"""``fama import FORMAT PATH... --out DIR``: foreign logs → ``DIR/episodes.jsonl``."""

import argparse
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

from fama.episodes.importers.base import IMPORTERS
from fama.episodes.records import Episode
from fama.episodes.store import EpisodeStore, read_episodes
from fama.errors import BadInput

_SUFFIXES = (".json", ".jsonl", ".json.gz", ".jsonl.gz")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Flags of the command."""
    parser.add_argument("format", metavar="FORMAT", help="tau-bench (τ-trait too) or openai, or a plug-in's name")
    parser.add_argument("paths", metavar="PATH", nargs="+", help="files or folders of .json, .jsonl, plain or .gz")
    parser.add_argument("--out", metavar="DIR", required=True, help="folder that gets episodes.jsonl")
    for option in ("benchmark", "domain", "backbone", "strategy"):
        parser.add_argument(f"--{option}", metavar="NAME", help=f"the {option}, where the log does not say it")
    parser.add_argument("--keep-thoughts", action="store_true", help="keep the user simulator's <think> text")


def main(args: argparse.Namespace) -> int:
    """Import; run again, it adds only what is new."""
    importer = IMPORTERS.load(args.format)
    files = list(_files(args.paths))
    options = {key: getattr(args, key) for key in ("benchmark", "domain", "backbone", "strategy") if getattr(args, key)}
    if args.keep_thoughts:
        options["thoughts"] = "keep"
    read = [(path, list(importer(path, **options))) for path in files]  # all of it before anything is written
    store = EpisodeStore(Path(args.out))
    known = list(read_episodes(store.path)) if store.path.exists() else []
    ids = {episode.id for episode in known}
    taken = {_slot(episode, episode.trial) for episode in known}
    for path, episodes in read:
        fresh = [episode for episode in episodes if episode.id not in ids]
        counts = Counter(episode.outcome.status for episode in episodes)
        offset = _offset(fresh, taken)
        for episode in fresh:
            kept = episode.model_copy(update={"trial": episode.trial + offset})
            store.append(kept)
            ids.add(kept.id)
            taken.add(_slot(kept, kept.trial))
        print(
            f"{path.name}: {len(episodes)} episodes, {counts['success']} successes, {counts['failure']} failures, "
            f"{counts['error']} errors" + (f"; {len(fresh)} new" if len(fresh) < len(episodes) else "")
        )
    print(f"→ {store.path} ({len(ids)} episodes)")
    return 0


def _files(paths: list[str]) -> Iterator[Path]:
    for name in paths:
        path = Path(name)
        if not path.exists():
            raise BadInput(f"{path}: does not exist; give a log file or a folder of them")
        if path.is_dir():
            found = sorted(p for p in path.rglob("*") if p.name.endswith(_SUFFIXES) and p.is_file())
            if not found:
                raise BadInput(f"{path}: holds no .json, .jsonl or .gz file; give a folder of logs")
            yield from found
        else:
            yield path


def _slot(episode: Episode, trial: int) -> tuple[str, ...]:
    parts = (episode.benchmark, episode.domain, episode.task_id, episode.backbone, episode.strategy, trial)
    return tuple(str(part) for part in parts)


def _offset(episodes: list[Episode], taken: set[tuple[str, ...]]) -> int:
    """How far a file's trials move up: several files of one arm are repetitions, each numbered from 0."""
    offset = 0
    while any(_slot(episode, episode.trial + offset) in taken for episode in episodes):
        offset += 1
    return offset
