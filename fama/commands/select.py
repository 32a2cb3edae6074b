"""``fama select``: what a router would choose before each decision of logged episodes."""

import argparse
import asyncio
import json
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from itertools import chain
from pathlib import Path
from typing import NamedTuple

from fama.episodes.state import decision_steps, state_at
from fama.errors import BadInput
from fama.randomness import generator
from fama.selection.base import Allowance, AnySelector, Selection, SelectorContext, select_for


class SelectedDecision(NamedTuple):
    """One decision of one episode, and the router's selection for it."""

    episode: str
    task: str
    turn: int
    selection: Selection
    arm: tuple[str, ...]


#: decisions that the table shows at most
SHOWN = 60
#: parts of an episode's identity that are shown where they differ between the episodes
_ARM = ("benchmark", "trial", "backbone", "strategy", "selector", "variant")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the command's flags."""
    parser.add_argument("--router", required=True, metavar="DIR", help="checkpoint folder of `fama train`")
    parser.add_argument("--episodes", required=True, metavar="DIR", help="episodes.jsonl, or its folder")
    parser.add_argument("--lam", type=float, help="success that 1,000 tokens are worth (default: the checkpoint's)")
    parser.add_argument("--taxonomy", metavar="FILE", help="a taxonomy of your own that the router was trained with")
    parser.add_argument(
        "--helper", metavar="FILE", action="append", default=[], help="YAML helper of the router's pool; once for each"
    )
    parser.add_argument(
        "--allowance",
        type=int,
        help="tokens that helpers may spend per decision, default no limit; a helper agent's "
        "include the agent's request",
    )
    parser.add_argument("--limit", type=int, help="episodes to read at most")
    parser.add_argument("--first", action="store_true", help="only the decision before an episode's first action")
    parser.add_argument("--json", action="store_true", help="one JSON object per line instead of a table")


def main(args: argparse.Namespace) -> int:
    """Select for every decision and print subset, probabilities and seconds.

    A router of the retrospective view selects once per episode: for running its task again, if it failed.
    """
    from fama.agents.agent_request import agent_request
    from fama.agents.strategies.base import STRATEGIES
    from fama.helpers.pool import declared_pool, member_names
    from fama.selection.router.checkpoint import read_manifest
    from fama.selection.selectors.learned import build

    for name, least in (("lam", 0), ("allowance", 0), ("limit", 1)):
        value = getattr(args, name)
        if value is not None and value < least:
            raise BadInput(f"--{name} is {value}; give a number of at least {least}")
    manifest = read_manifest(Path(args.router))
    pool, again = manifest.pool, manifest.view == "retrospective"
    files = dict(zip(member_names(args.helper), args.helper, strict=True))
    if unused := sorted(set(files) - set(pool)):
        raise BadInput(f"--helper {files[unused[0]]}: {unused[0]} is not in the router's pool; leave it out")
    strategy = STRATEGIES.load("fc")()
    context = SelectorContext(
        helpers=declared_pool([files.get(name, name) for name in pool], manifest.forms),
        request=lambda state: agent_request(strategy, state),
    )
    selector = build(
        context,
        checkpoint=args.router,
        lam=args.lam,
        taxonomy=args.taxonomy,
        episodes=args.episodes if again else None,
    )
    chosen = _choose(selector, Path(args.episodes), Allowance(args.allowance), args.limit, args.first or again)
    if (first := next(chosen, None)) is None:
        raise BadInput(f"{args.episodes}: no episode with a decision; give episodes that `fama run` wrote")
    if args.json:
        return _print_json(chain([first], chosen))
    _print_table([first, *chosen], pool)
    return 0


def _choose(
    selector: AnySelector, path: Path, allowance: Allowance, limit: int | None, first: bool
) -> Iterator[SelectedDecision]:
    from fama.episodes.store import read_episodes

    for count, episode in enumerate(read_episodes(path)):
        if limit is not None and count >= limit:
            return
        decisions = len(decision_steps(episode))
        for turn in range(min(decisions, 1) if first else decisions):
            rng = generator(0, "select", episode.id, turn)
            selection = asyncio.run(select_for(episode.key.pair, selector, state_at(episode, turn), allowance, rng))
            arm = tuple("" if (part := getattr(episode, name)) is None else str(part) for name in _ARM)
            yield SelectedDecision(episode.id, f"{episode.domain}/{episode.task_id}", turn, selection, arm)


def _print_json(chosen: Iterable[SelectedDecision]) -> int:
    for one in chosen:
        line = {
            "episode_id": one.episode,
            "task": one.task,
            "turn": one.turn,
            "subset": list(one.selection.subset),
            "probabilities": {name: round(value, 6) for name, value in one.selection.probabilities.items()},
            "seconds": round(one.selection.seconds, 6),
        }
        print(json.dumps(line))
    return 0


def _print_table(chosen: list[SelectedDecision], pool: tuple[str, ...]) -> None:
    from fama.commands.terminal import Column, console, names, numbers, print_note, print_table
    from fama.selection.health import HealthTally, state_of

    varying = [i for i in range(len(_ARM)) if len({one.arm[i] for one in chosen}) > 1]
    rows = [
        (
            *(one.task, *(one.arm[i] for i in varying), str(one.turn)),
            " + ".join(one.selection.subset) or "none",
            *(f"{one.selection.probabilities[name]:.2f}" for name in pool),
            f"{one.selection.seconds * 1000:.0f}",
        )
        for one in chosen[:SHOWN]
    ]
    titles = names("task", *(_ARM[i] for i in varying), "turn")
    screen = console()
    print_table(screen, [*titles, Column("subset", "words"), *numbers(*pool, "ms")], rows, title="Selections")
    print_note(screen, "Columns of helpers: probability of belonging to the best subset.")
    tally = HealthTally()
    for one in chosen:
        tally.add_selection(state_of(one.selection.ledger), one.selection.subset, one.selection.ledger)
    for line in tally.health().warnings("router"):
        print_note(screen, line)
    if len(chosen) > SHOWN:
        print_note(screen, f"The first {SHOWN} of {len(chosen)} decisions; --json lists all.")
    print_table(screen, [Column("subset", "words"), *numbers("decisions", "%")], subset_counts(chosen), title="Subsets")
    seconds = sorted(one.selection.seconds for one in chosen)
    first = chosen[0].selection.seconds
    screen.print(
        f"{len(seconds)} decisions of {len({one.episode for one in chosen})} episodes; seconds per decision: "
        f"median {_quantile(seconds, 0.5):.4f}, 95 % {_quantile(seconds, 0.95):.4f}, first {first:.4f}"
    )


def subset_counts(chosen: Sequence[SelectedDecision]) -> list[tuple[str, str, str]]:
    """Return each subset with the number and the share of the decisions that chose it, the most frequent first."""
    counts = Counter(" + ".join(one.selection.subset) or "none" for one in chosen)
    return [(subset, str(n), f"{100 * n / len(chosen):.0f}") for subset, n in counts.most_common()]


def _quantile(ordered: list[float], share: float) -> float:
    return ordered[min(len(ordered) - 1, int(share * len(ordered)))]
