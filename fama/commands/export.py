"""``fama export DIR... --to inspect --out DIR2``: episodes for other tools."""

import argparse
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

from fama.errors import BadInput

if TYPE_CHECKING:
    from fama.episodes.records import Episode

_EXPORTERS = {"inspect": "fama.episodes.exporters.inspect_log", "acebench": "fama.episodes.exporters.acebench"}
_NEXT = {
    "inspect": "look at them with: inspect view --log-dir {out}",
    "acebench": "score them in {out}, with the clone's data_all linked there: python CLONE/eval_main.py --model NAME",
}


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Flags of the command."""
    parser.add_argument("folders", nargs="+", metavar="DIR", help="folders with episodes.jsonl, or such files")
    parser.add_argument(
        "--to",
        choices=("inspect", "acebench"),
        required=True,
        help="inspect: .eval logs for `inspect view`; acebench: result files for its own evaluator",
    )
    parser.add_argument("--out", metavar="DIR", required=True, help="folder that gets the files")


def main(args: argparse.Namespace) -> int:
    """Write one file an arm and say how to look at them."""
    from importlib import import_module

    write = import_module(_EXPORTERS[args.to]).write
    written = write(_episodes([Path(folder) for folder in args.folders]), Path(args.out))
    if not written:
        raise BadInput(f"{args.folders[0]}: holds no episodes; run `fama run` or `fama import` first")
    for path in written:
        print(path)
    print(_NEXT[args.to].format(out=args.out))
    return 0


def _episodes(folders: list[Path]) -> "Iterator[Episode]":
    from fama.episodes.store import read_episodes

    for folder in folders:
        yield from read_episodes(folder)
