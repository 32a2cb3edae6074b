"""``fama import FORMAT PATH... --out DIR``: foreign logs → ``DIR/episodes.jsonl``, labels → ``DIR/labels.jsonl``."""

import argparse
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from filelock import FileLock, Timeout
from tqdm import tqdm

from fama.envs.material import OWN, attachment
from fama.episodes.intake import Intake
from fama.episodes.log_import import AUTO, LogImport, check_format, log_files
from fama.episodes.records import Failure
from fama.episodes.store import EpisodeStore, read_failures, write_failures
from fama.hashing import content_hash

LABELS = "labels.jsonl"
_FILLED = ("benchmark", "domain", "backbone", "strategy")
_WINS = "where a chat record (openai, sharegpt, a trace) does not say it, in place of what other logs say"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the command's flags."""
    known = "acebench, ck496 (labels of τ-bench failures), inspect, langfuse, langsmith, openai, "
    known += "opentelemetry, sharegpt, tau-bench (τ-trait too), tau2"
    parser.add_argument(
        "format", metavar="FORMAT", help=f"{known}, a plug-in's name, or {AUTO}: found out file by file"
    )
    suffixes = "files, folders or patterns of .json, .jsonl or .ndjson, packed (.gz) or not, and .eval"
    parser.add_argument("paths", metavar="PATH", nargs="+", help=suffixes)
    parser.add_argument("--out", metavar="DIR", required=True, help="folder that gets episodes.jsonl")
    for option in _FILLED:
        parser.add_argument(f"--{option}", metavar="NAME", help=f"the {option}: {_WINS}")
    for option in ("tools", "policy"):
        parser.add_argument(
            f"--{option}",
            metavar="FILE",
            help=f"the agent's {option}, for episodes without; {OWN!r}: the benchmark's own, from its package (tau2)",
        )
    parser.add_argument(
        "--roles",
        metavar="FILE",
        help="YAML, `tool: role` each: read, identify, write, close, handover or other, where its name misleads",
    )
    parser.add_argument(
        "--strip-user-thinking", action="store_true", help="cut the user simulator's leaked <think> text, and count it"
    )


def main(args: argparse.Namespace) -> int:
    """Import file by file; run again, it adds only what is new. A bad file is named, the good ones are kept."""
    check_format(args.format)
    options = {key: getattr(args, key) for key in _FILLED if getattr(args, key)}
    attach = attachment(args.tools, args.policy, args.roles)
    store = EpisodeStore(Path(args.out))
    files, base = log_files(args.paths, store.path)
    with _alone(store.path):
        intake = Intake(store, args.strip_user_thinking)
        importing = LogImport(intake, attach, args.format, options)
        for path in tqdm(files, unit="file", disable=len(files) < 2 or not sys.stderr.isatty()):
            told = importing.add(path, base)
            if told is not None:
                tqdm.write(told)
    if intake.size:
        print(f"→ {intake.store.path} ({intake.size} episodes)")
    if importing.labels:
        print(f"→ {_add_labels(intake.store.path.with_name(LABELS), importing.labels)}")
    if args.tools or args.policy:
        print(f"attached: tools to {attach.tools} episodes, a policy to {attach.policies}")
    for remark in importing.remarks(lambda name: f"--{name.replace('_', '-')}", "and import with another --out"):
        print(remark)
    importing.check(len(files))
    return 0


@contextmanager
def _alone(store: Path) -> Iterator[None]:
    """Hold the lock of imports into a store: two at once would give different episodes the same trial."""
    name = content_hash([str(Path.home()), str(store.resolve())])
    lock = FileLock(Path(tempfile.gettempdir()) / f"fama-import-{name}.lock")
    try:
        lock.acquire(timeout=0)
    except Timeout:
        print(f"another import writes into {store}; waiting for its end", file=sys.stderr)
        lock.acquire()
    try:
        yield
    finally:
        lock.release()


def _add_labels(path: Path, labels: list[Failure]) -> str:
    """Add to the file what it does not have; return in words what it holds then."""
    known = {(label.episode_id, label.labeller): label for label in (read_failures(path) if path.exists() else ())}
    known.update({(label.episode_id, label.labeller): label for label in labels})
    write_failures(path, known.values())
    return f"{path} ({len(known)} labels)"
