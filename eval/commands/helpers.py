"""``fama helpers list | candidates | draft``: the pool, groups of unexplained failures, a helper from a group."""

import argparse
import asyncio
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from fama.commands.flags import refuse_unused
from fama.episodes.records import known_total
from fama.errors import BadInput

if TYPE_CHECKING:
    from eval.annotation.drafts import HelperDraft
    from eval.annotation.unexplained import FailureGroup, FailureGroups

FILE = "candidates.json"
_CANDIDATES: dict[str, object] = {"episodes": None, "smallest": 3, "unsure": 0.2, "apart": 0.45, "encoder": None}
_DRAFT: dict[str, object] = {"candidates": FILE, "category": None, "writer": None, "writer_url": None}


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the command's arguments."""
    parser.add_argument("action", choices=("list", "candidates", "draft"), help="what to do")
    parser.add_argument("what", nargs="?", metavar="LABELS|NUMBER", help="candidates: failures.jsonl; draft: a group")
    parser.add_argument("--episodes", metavar="DIR", help="candidates: the labelled episodes")
    parser.add_argument(
        "--out", metavar="FILE", help=f"candidates: default {FILE} beside LABELS; draft: the helper file"
    )
    parser.add_argument("--smallest", type=int, default=3, metavar="N", help="failures a group needs (default 3)")
    parser.add_argument(
        "--unsure", type=float, default=0.2, metavar="P", help="a label less sure than P fits no category (default 0.2)"
    )
    parser.add_argument(
        "--apart", type=float, default=0.45, metavar="D", help="cosine distance up to which groups merge (default 0.45)"
    )
    parser.add_argument("--encoder", metavar="NAME", help="sentence encoder of candidates (default: the router's)")
    parser.add_argument(
        "--candidates", metavar="FILE", default=FILE, help="draft: the file of candidates (default: %(default)s here)"
    )
    parser.add_argument("--category", metavar="CODE", help="draft: the category it covers (default NEW and the number)")
    parser.add_argument("--writer", metavar="MODEL", help="draft: a chat model that words it (default: none)")
    parser.add_argument("--writer-url", metavar="URL", help="OpenAI-compatible endpoint of the writer")


def main(args: argparse.Namespace) -> int:
    """Run the command; returns the exit code."""
    if args.action != "draft":
        refuse_unused(args, _DRAFT, f"is for fama helpers draft, not for {args.action}")
    if args.action != "candidates":
        refuse_unused(args, _CANDIDATES, f"is for fama helpers candidates, not for {args.action}")
    if args.writer is None:
        refuse_unused(args, {"writer_url": None}, "no model writes without --writer MODEL")
    if args.action == "list":
        refuse_unused(args, {"out": None}, "fama helpers list writes no file")
        if args.what:
            raise BadInput(f"fama helpers list: takes nothing more; leave {args.what} out")
        return _list()
    if not args.what:
        needed = "LABELS, a failures.jsonl or its folder" if args.action == "candidates" else "a group's NUMBER"
        raise BadInput(f"fama helpers {args.action}: give {needed}")
    return _candidates(args) if args.action == "candidates" else _draft(args)


def _list() -> int:
    from fama.commands.terminal import Column, console, names, numbers, print_table
    from fama.helpers.base import HELPERS
    from fama.settings import Form, HelperSettings

    default = HelperSettings().pool
    rows = []
    for name, build in HELPERS.loadable().items():
        forms: tuple[Form, Form] = ("template", "llm")
        plain, worded = (build(form) for form in forms)
        used = "yes" if name in default else "no"
        rows.append((name, used, ", ".join(sorted(plain.covers)), str(plain.token_cap), str(worded.cost_cap)))
    columns = [*names("helper"), Column("default"), Column("covers", "words")]
    print_table(console(), [*columns, *numbers("note, tokens", "question, tokens (llm form)")], rows)
    return 0


def _candidates(args: argparse.Namespace) -> int:
    from eval.annotation.unexplained import embed_texts, failure_text, group, without_category, write_candidates
    from fama.episodes.store import given_labels, read_episodes
    from fama.selection.router.encoder import DEFAULT_ENCODER

    if not args.episodes:
        raise BadInput("fama helpers candidates: add --episodes DIR, the folder that was labelled")
    if args.smallest < 2:
        raise BadInput(f"--smallest {args.smallest}: a group has at least 2 failures")
    if not 0 < args.apart <= 2:
        raise BadInput(f"--apart {args.apart}: a cosine distance is over 0 and at most 2")
    labels = Path(args.what)
    failures = without_category(given_labels(labels), args.unsure)
    wanted = {failure.episode_id for failure in failures}
    episodes = {e.id: e for e in read_episodes(Path(args.episodes)) if e.id in wanted}
    if wanted - set(episodes):
        raise BadInput(
            f"{args.episodes}: lacks episode {min(wanted - set(episodes))} of {labels}; give what was labelled"
        )
    texts = [failure_text(episodes[failure.episode_id], failure) for failure in failures]
    if len(texts) < args.smallest:
        told = f"{len(texts)} of the failures fit no category, too few for a group of {args.smallest}"
        sys.stdout.write(f"{told}; --unsure takes in labels that are less sure\n")
        return 0
    vectors = embed_texts(texts, args.encoder or DEFAULT_ENCODER)
    found = group(episodes, failures, vectors, args.smallest, args.apart)
    out = Path(args.out) if args.out else (labels if labels.is_dir() else labels.parent) / FILE
    write_candidates(out, found)
    _show(found)
    sys.stdout.write(f"→ {out}; draft a helper: fama helpers draft NUMBER --candidates {out} --out helper.yaml\n")
    return 0


def _show(found: "FailureGroups") -> None:
    from fama.commands.terminal import console

    screen = console()
    for one in found.groups:
        places = "; ".join(f"{count} × {place}" for place, count in one.where.items())
        screen.print(f"group {one.number}: {one.size} failures of {one.tasks} tasks ({places})", markup=False)
        screen.print(f"  words: {', '.join(one.words) or '–'}", markup=False)
        for example in one.examples:
            last = example.said[-1] if example.said else ""
            screen.print(f"  task {example.task_id}: {example.rationale or '–'} | {last}", markup=False)
    screen.print(
        f"{found.unexplained} failures fit no category, {found.ungrouped} of them like no other; groups are candidates "
        "to be read, not findings",
        style="dim",
        markup=False,
    )


def _draft(args: argparse.Namespace) -> int:
    from eval.annotation.drafts import as_yaml, plain_draft
    from eval.annotation.unexplained import read_candidates
    from fama.files import write_atomically

    if not args.out:
        raise BadInput("fama helpers draft: add --out helper.yaml")
    out = Path(args.out)
    if out.exists():
        raise BadInput(f"{out}: exists, and may have been reviewed; choose another --out")
    found = {str(one.number): one for one in read_candidates(Path(args.candidates)).groups}
    if args.what not in found:
        raise BadInput(f"group {args.what!r} is none of {args.candidates}: {', '.join(found) or 'it has no groups'}")
    group = found[args.what]
    draft = asyncio.run(_written(args, group)) if args.writer else plain_draft(group)
    write_atomically(out, as_yaml(draft, group, args.category or f"NEW{group.number}"))
    if draft.ledger:
        spent = known_total(row.total_tokens for row in draft.ledger)
        tokens = "unknown" if spent is None else f"{spent:,}"
        sys.stdout.write(f"{len(draft.ledger)} calls of {draft.writer}, {tokens} tokens\n")
    sys.stdout.write(f"→ {out}: read and correct it, then set reviewed: true\n")
    return 0


async def _written(args: argparse.Namespace, group: "FailureGroup") -> "HelperDraft":
    from eval.annotation.drafts import written_draft
    from fama.models.connect import connect
    from fama.settings import ModelSettings

    async with connect(ModelSettings(name=args.writer, base_url=args.writer_url)) as model:
        return await written_draft(group, model)
