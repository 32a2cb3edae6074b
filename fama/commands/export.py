"""``fama export DIR... --to inspect|acebench|hf --out DIR2``: episodes for other tools, a router for a model hub."""

import argparse
from itertools import chain
from pathlib import Path

from fama.errors import BadInput

_EXPORTERS = {"inspect": "fama.episodes.exporters.inspect_log", "acebench": "fama.envs.acebench.exporter"}
_NEXT = {
    "inspect": "look at them with: inspect view --log-dir {out}",
    "acebench": "score them in {out}, with the clone's data_all linked there: python CLONE/eval_main.py --model NAME",
}


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the command's flags."""
    parser.add_argument(
        "folders", nargs="+", metavar="DIR", help="folders with episodes.jsonl, or such files; for hf one router"
    )
    parser.add_argument(
        "--to",
        choices=(*_EXPORTERS, "hf"),
        required=True,
        help="inspect: .eval logs for `inspect view`; acebench: result files for its own evaluator; "
        "hf: a router as a folder for the Hugging Face Hub",
    )
    parser.add_argument("--out", metavar="DIR", required=True, help="folder that gets the files")
    parser.add_argument("--license", metavar="NAME", help="with --to hf: your licence in the card, e.g. apache-2.0")
    parser.add_argument("--push", metavar="OWNER/NAME", help="with --to hf: upload the folder there, privately")
    parser.add_argument("--public", action="store_true", help="with --push: a repository that is made is public")


def main(args: argparse.Namespace) -> int:
    """Write the files and say what to do with them."""
    from importlib import import_module

    from fama.episodes.store import read_episodes

    if args.push is not None and args.to != "hf":
        raise BadInput("--push: only with --to hf; episodes are not uploaded")
    if args.public and args.push is None:
        raise BadInput("--public: only with --push OWNER/NAME")
    if args.license is not None and args.to != "hf":
        raise BadInput("--license: only with --to hf; episodes have no card")
    if args.to == "hf":
        return _to_hub(args)

    export_episodes = import_module(_EXPORTERS[args.to]).export_episodes
    episodes = chain.from_iterable(read_episodes(Path(folder)) for folder in args.folders)
    written = export_episodes(episodes, Path(args.out))
    if not written:
        raise BadInput(f"{args.folders[0]}: holds no episodes; run `fama run` or `fama import` first")
    for path in written:
        print(path)
    print(_NEXT[args.to].format(out=args.out))
    return 0


def _to_hub(args: argparse.Namespace) -> int:
    from fama.selection.router.hub import push, write_hub_folder

    if len(args.folders) != 1:
        raise BadInput(f"--to hf: give one router, not {len(args.folders)}")
    out = Path(args.out)
    for path in write_hub_folder(Path(args.folders[0]), out, args.license):
        print(path)
    if args.push is None:
        print(f"nothing was uploaded; --push OWNER/NAME does, or: hf upload OWNER/NAME {out}")
    else:
        print(f"pushed: {push(out, args.push, args.public)}")
    return 0
