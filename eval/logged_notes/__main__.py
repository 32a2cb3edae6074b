"""Note precision on logged failures: ``python -m eval.logged_notes LOGS... [--router CKPT]... --out FILE``.

Compares what the template helpers would have said before the decisive decision of a failed episode with the reference
actions of its task. The helpers see the visible state only; nothing is run, so nothing is said about success.
"""

import argparse
import asyncio
import shlex
import sys
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import get_args

from tqdm import tqdm

from eval.logged_notes.judged_notes import Choosers, judged
from eval.logged_notes.summary import NotePrecision, ahead, note_cells
from fama.diagnosis.taxonomy import load_taxonomy
from fama.episodes.records import Episode
from fama.episodes.store import EPISODES, read_episodes
from fama.errors import BadInput, FamaError
from fama.helpers.base import TEMPLATE_TEXTS
from fama.provenance import git_commit
from fama.settings import HelperSettings, ReadingMode


def main(arguments: Sequence[str] | None = None) -> int:
    """Judge and write the result; return 2 for bad input, told in one line."""
    words = list(sys.argv[1:] if arguments is None else arguments)
    args = _parser().parse_args(words)
    try:
        result = _result(args, shlex.join(["python", "-m", "eval.logged_notes", *words]))
        result.write(args.out)
    except FamaError as error:
        sys.stderr.write(f"{error}\n")
        return 2 if isinstance(error, BadInput) else 1
    except OSError as error:
        sys.stderr.write(f"{args.out}: cannot be written ({error.strerror}); give another file\n")
        return 2
    counts = result.failures
    if counts.no_tools:
        sys.stderr.write(
            f"{counts.no_tools} of {counts.failures} failures left out: their log lacks the agent's tools; "
            "import it again with --tools\n"
        )
    sys.stderr.write(f"{counts.judged} of {counts.failures} failures judged → {args.out}\n")
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m eval.logged_notes", description=__doc__)
    parser.add_argument(
        "logs", type=Path, nargs="+", metavar="LOGS", help="episodes.jsonl of `fama import`, or folders"
    )
    parser.add_argument(
        "--router",
        type=Path,
        action="append",
        default=[],
        metavar="CKPT",
        help="checkpoint folder of `fama train`; may be given several times",
    )
    parser.add_argument("--out", type=Path, required=True, metavar="FILE", help="the result, as JSON")
    parser.add_argument("--seed", type=int, default=0, help="of the random decisions (default: %(default)s)")
    parser.add_argument(
        "--reading",
        choices=get_args(ReadingMode),
        default="meaning",
        help="how helpers read user turns (default: %(default)s)",
    )
    return parser


def _result(args: argparse.Namespace, command: str) -> NotePrecision:
    if not args.out.parent.is_dir() or args.out.is_dir():
        raise BadInput(f"--out {args.out}: give a file in a folder that exists")
    if args.out.resolve() in {(path / EPISODES if path.is_dir() else path).resolve() for path in args.logs}:
        raise BadInput(f"--out {args.out}: is one of the logs, which it would replace; give another file")
    taxonomy, commit = load_taxonomy(), git_commit()  # of the code that runs, whatever is edited meanwhile
    choosers = Choosers.of(HelperSettings(reading=args.reading), args.router)
    episodes = _distinct(args.logs)
    with tqdm(total=len(episodes), unit="episode", disable=not sys.stderr.isatty()) as bar:
        counts, rows = asyncio.run(judged(episodes, choosers, taxonomy, args.seed, bar.update))
    if not rows:
        named = ", ".join(f"{name} {count}" for name, count in counts.model_dump().items())
        raise BadInput(
            f"{args.logs[0]}: no failure can be judged ({named}); give failed episodes with reference actions"
        )
    return NotePrecision(
        command=command,
        commit=commit,
        template_texts=TEMPLATE_TEXTS,
        taxonomy=taxonomy.version,
        reading=args.reading,
        seed=args.seed,
        failures=counts,
        ahead=ahead(rows),
        cells=note_cells(rows, choosers.names),
    )


def _distinct(paths: Iterable[Path]) -> list[Episode]:
    """Return the episodes of all logs; of an id that stands there several times, the last: an error is run again."""
    return list({episode.id: episode for path in paths for episode in read_episodes(path)}.values())


if __name__ == "__main__":
    sys.exit(main())
