"""``fama import FORMAT PATH... --out DIR``: foreign logs → ``DIR/episodes.jsonl``, labels → ``DIR/labels.jsonl``."""

import argparse
import os
import sys
from collections.abc import Iterator
from glob import glob, has_magic
from itertools import islice
from pathlib import Path

from tqdm import tqdm

from fama.episodes.attach import Attachment, Material, read_policy, read_tools
from fama.episodes.foreign.streams import read_records
from fama.episodes.importers.acebench import is_score
from fama.episodes.importers.base import IMPORTERS, LABEL_READERS, detect
from fama.episodes.importers.tau2 import is_part
from fama.episodes.intake import Intake, LogFile
from fama.episodes.records import Failure
from fama.episodes.store import EpisodeStore, read_failures, write_failures
from fama.errors import BadInput

AUTO, LABELS = "auto", "labels.jsonl"
#: Word for the tools or the policy of the log's own benchmark, from its installed package.
OWN = "benchmark"
_SUFFIXES = (".json", ".jsonl", ".json.gz", ".jsonl.gz", ".eval")
#: records of a file of unknown ending that are tried
_FIRST = 50
_FILLED = ("benchmark", "domain", "backbone", "strategy")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the command's flags."""
    known = "acebench, ck496 (labels of τ-bench failures), inspect, openai, sharegpt, tau-bench (τ-trait too), tau2"
    parser.add_argument(
        "format", metavar="FORMAT", help=f"{known}, a plug-in's name, or {AUTO}: found out file by file"
    )
    parser.add_argument(
        "paths", metavar="PATH", nargs="+", help="files, folders or patterns of .json, .jsonl, .gz, .eval"
    )
    parser.add_argument("--out", metavar="DIR", required=True, help="folder that gets episodes.jsonl")
    for option in _FILLED:
        parser.add_argument(f"--{option}", metavar="NAME", help=f"the {option}, where the log does not say it")
    for option in ("tools", "policy"):
        parser.add_argument(
            f"--{option}",
            metavar="FILE",
            help=f"the agent's {option}, for episodes without; {OWN!r}: the benchmark's own, from its package (tau2)",
        )
    parser.add_argument(
        "--strip-user-thinking", action="store_true", help="cut the user simulator's leaked <think> text, and count it"
    )


def main(args: argparse.Namespace) -> int:
    """Import file by file; run again, it adds only what is new. A bad file is named, the good ones are kept."""
    if args.format != AUTO:
        IMPORTERS.load(args.format)
    files, base = _files(args.paths)
    options = {key: getattr(args, key) for key in _FILLED if getattr(args, key)}
    attach = _attachment(args.tools, args.policy)
    intake = Intake(EpisodeStore(Path(args.out)), args.strip_user_thinking)
    bad: list[str] = []
    labels: list[Failure] = []
    for path in tqdm(files, unit="file", disable=len(files) < 2 or not sys.stderr.isatty()):
        try:
            file = LogFile.of(path, base)
            name = detect(path) if args.format == AUTO else args.format
            found = list(LABEL_READERS.load(name)(path)) if name in LABEL_READERS.names() else []
            told = intake.add(file, attach(IMPORTERS.load(name)(path, **options)))
            labels += found
        except BadInput as error:
            bad.append(str(error) if _is_log(path) else f"{path}: not a log; give a .json, .jsonl, .gz or .eval file")
        else:
            tqdm.write(f"{file.place}: {told}")
    if intake.ids:
        print(f"→ {intake.store.path} ({len(intake.ids)} episodes)")
    if labels:
        print(f"→ {_add_labels(intake.store.path.with_name(LABELS), labels)}")
    if args.tools or args.policy:
        print(f"attached: tools to {attach.tools} episodes, a policy to {attach.policies}")
    if len(intake.own_arms) > 1:
        print(
            f"kept apart: {len(intake.own_arms)} logs do not name backbone, strategy or domain, each is its own arm;"
            " give --backbone, --strategy and --domain to count them as trials of one"
        )
    if bad:
        good = len(files) - len(bad)
        raise BadInput("; ".join(bad) + (f" (the other {good} of {len(files)} files are imported)" if good else ""))
    return 0


def _attachment(tools: str | None, policy: str | None) -> Attachment:
    """Return what adds the given tools and policy, each from a file or by the word for the benchmark's own."""
    given = Material(
        None if tools in (None, OWN) else read_tools(Path(str(tools))),
        None if policy in (None, OWN) else read_policy(Path(str(policy))),
    )

    def known(benchmark: str, domain: str) -> Material:
        if OWN not in (tools, policy):
            return given
        from fama.envs.material import known_material

        own = known_material(benchmark, domain)
        return Material(own.tools if tools == OWN else given.tools, own.policy if policy == OWN else given.policy)

    return Attachment(known)


def _add_labels(path: Path, labels: list[Failure]) -> str:
    """Add to the file what it does not have; return in words what it holds then."""
    known = {(label.episode_id, label.labeller): label for label in (read_failures(path) if path.exists() else ())}
    known.update({(label.episode_id, label.labeller): label for label in labels})
    write_failures(path, known.values())
    return f"{path} ({len(known)} labels)"


def _files(names: list[str]) -> tuple[list[Path], Path]:
    """Return the files of the given paths, and the folder that their places are relative to."""
    found: dict[Path, None] = {}
    bases: set[Path] = set()
    for name in names:
        path = Path(name)
        bases |= {path.absolute() if path.is_dir() else one.parent.absolute() for one in _matching(path)}
        found.update(dict.fromkeys(_matching(path)))
    if not found:
        raise BadInput(f"{', '.join(names)}: no file; give a log file, a pattern or a folder of them")
    base = Path(os.path.commonpath(bases))
    results = [path for path in found if not is_score(path)]
    found = dict.fromkeys(results) if results else found  # an evaluator's file is read with the results beside it
    parts = {path for path in found if is_part(path)}
    read_above = {
        path for path in parts if any(path.parent.parent.samefile(other.parent) for other in found.keys() - parts)
    }
    return [path for path in found if path not in read_above], base


def _is_log(path: Path) -> bool:
    """Return False for a file of another ending that holds no JSON record either."""
    if path.name.endswith((*_SUFFIXES, ".gz")) or not os.access(path, os.R_OK):
        return True  # the importer's own words say what is wrong
    try:
        return any(not record.fault for record in islice(read_records(path), _FIRST))
    except BadInput:
        return False


def _matching(path: Path) -> Iterator[Path]:
    if path.is_dir():
        found = sorted(p for p in path.rglob("*") if p.name.endswith(_SUFFIXES) and p.is_file())
        if not found:
            raise BadInput(f"{path}: holds no .json, .jsonl, .gz or .eval file; give a folder of logs")
        yield from found
    elif path.exists():
        yield path
    elif has_magic(str(path)) and (matching := sorted(glob(str(path), recursive=True))):
        yield from (Path(match) for match in matching if Path(match).is_file())
    else:
        raise BadInput(f"{path}: does not exist; give a log file, a pattern or a folder of them")
