"""``fama benchmarks list | add NAME PATH | check NAME DIR...``."""

import argparse
import asyncio
import sys
from collections import Counter
from itertools import chain
from pathlib import Path
from typing import TYPE_CHECKING

from tqdm import tqdm

from fama.errors import BadInput, BoundaryError

if TYPE_CHECKING:
    from fama.envs.episode_replay import Replayed


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the command's arguments."""
    parser.add_argument(
        "action",
        choices=("list", "add", "check"),
        help="list benchmarks; name the checkout of one that is on no package index; replay logged actions, to see "
        "whether our adapter gives the logged rewards",
    )
    parser.add_argument("name", nargs="?", metavar="NAME", help="add: acebench, tau_bench or tau_trait; check: any")
    parser.add_argument("paths", nargs="*", metavar="PATH", help="add: the clone; check: folders of imported episodes")


def main(args: argparse.Namespace) -> int:
    """Run one of the three; return the exit code."""
    if args.action == "list":
        if args.name:
            raise BadInput(f"fama benchmarks list: takes no NAME; leave {args.name} out")
        return _list()
    if not args.name or not args.paths or (args.action == "add" and len(args.paths) > 1):
        wanted = "NAME PATH" if args.action == "add" else "NAME DIR..."
        raise BadInput(f"fama benchmarks {args.action}: give {wanted}; `fama benchmarks list` shows the names")
    paths = [Path(path) for path in args.paths]
    if args.action == "check":
        return asyncio.run(_check(args.name, paths))
    from fama.envs.checkouts import add

    print(f"{args.name}: {paths[0]}, remembered in {add(args.name, paths[0])}")
    return 0


def _list() -> int:
    from fama.commands.terminal import Column, console, names, print_table
    from fama.envs.base import BENCHMARKS

    rows: list[tuple[str, str, str]] = []
    for name in BENCHMARKS.names():
        versions: dict[str, list[str]] = {}
        try:
            benchmark = BENCHMARKS.load(name)()
            for domain in benchmark.domains():
                versions.setdefault(benchmark.version(domain), []).append(domain)
        except BadInput as error:
            rows.append((name, "", f"not here; {str(error).partition(': ')[2] or error}"))
        else:
            rows += [(name, version, ", ".join(domains)) for version, domains in versions.items()]
    print_table(console(), [*names("benchmark", "version"), Column("domains", "words")], rows)
    return 0


async def _check(name: str, folders: list[Path]) -> int:
    from fama.envs.base import BENCHMARKS
    from fama.envs.episode_replay import Replayed, replay
    from fama.episodes.store import read_episodes

    benchmark = BENCHMARKS.load(name)()
    counts: Counter[str] = Counter()
    by_file: Counter[tuple[str, bool]] = Counter()
    versions: set[str] = set()
    episodes = chain.from_iterable(map(read_episodes, folders))
    for episode in tqdm(episodes, unit="episode", disable=not sys.stderr.isatty()):
        if episode.outcome.status == "error" or episode.reward is None:
            counts["no reward"] += 1
            continue
        try:
            replayed = await replay(benchmark, episode)
        except BoundaryError as error:
            replayed = Replayed(episode, float("nan"), " ".join(str(error).split()))
        versions.add(benchmark.version(episode.domain))
        counts["replayed"] += 1
        counts["agree"] += replayed.agrees
        by_file[episode.source.file or "own runs", replayed.agrees] += 1
        if not replayed.agrees:
            tqdm.write(_told(replayed))
    for file in sorted({file for file, _ in by_file}):
        print(f"{file}: {by_file[file, True]} of {by_file[file, True] + by_file[file, False]} rewards as logged")
    if not counts["replayed"]:
        raise BadInput(f"{folders[0]}: holds no episode with a reward; import logs of {name} first")
    print(
        f"{counts['agree']} of {counts['replayed']} rewards as logged ({counts['agree'] / counts['replayed']:.1%}); "
        f"{counts['no reward']} episodes without a reward left out; {', '.join(sorted(versions))}"
    )
    return 0 if counts["agree"] == counts["replayed"] else 1


def _told(replayed: "Replayed") -> str:
    episode = replayed.episode
    where = f"{episode.source.file or episode.id}, task {episode.task_id}, trial {episode.trial}"
    cause = replayed.difference or f"ended by {episode.outcome.reason} in the log; no tool answered otherwise"
    return f"{where}: logged {episode.reward:.15g}, now {replayed.reward:.15g}; {cause}"
