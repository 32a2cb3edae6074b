"""Draw replies of the agent to be labelled: ``python -m eval.understanding.sample``.

The user's understanding of them has no part in the draw. Wordings that differ in ids, numbers and addresses only count
once. Each backbone and domain gives up to the same number of wordings, in proportion to their length and to whether
they hold a question mark.
"""

import argparse
import re
import sys
from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from random import Random

from eval.understanding.labelled_replies import DATA, LabelledReply, ReplyPlace, is_words
from fama.episodes.store import read_episodes
from fama.errors import BadInput
from fama.randomness import generator

#: More words than this are a long reply; about the median.
_LONG = 12
_ADDRESS = re.compile(r"[\w.+-]+@[\w.-]+")
_NUMBER = re.compile(r"\b[A-Za-z]*\d[\w.]*\b")

ReplyGroup = tuple[str, str]
Cell = tuple[bool, bool]
#: The draw that the committed labels are of.
NUMBER, SEED = 80, 0

#: Folders of episodes that were committed after the replies were drawn and read.
LATER = frozenset(
    {
        "agents",
        "agents-fourth",
        "fourth",
        "fourth-0.5b",
        "fourth-seen",
        "fourth-setfit",
        "grid-mixed.episodes.jsonl.gz",
        "mixed",
        "mixed-oracle",
        "mixed-seen",
        "outcomes-mixed.episodes.jsonl.gz",
        "outcomes-saas.episodes.jsonl.gz",
        "plain-train-mixed",
        "repairs-agents",
        "repairs-agents-third",
        "repairs-mixed",
        "repairs-train",
        "repairs-turn-mixed",
        "rounds",
        "turn-train-mixed",
    }
)


def main(arguments: Sequence[str] | None = None) -> int:
    """Print the drawn replies, one JSON object per line; return 2 for bad input, told in one line."""
    parser = argparse.ArgumentParser(prog="python -m eval.understanding.sample", description=__doc__)
    parser.add_argument("--data", type=Path, default=DATA, help="folder of the episodes (default: %(default)s)")
    parser.add_argument(
        "--number", type=int, default=NUMBER, help="replies per backbone and domain (default: %(default)s)"
    )
    parser.add_argument("--seed", type=int, default=SEED, help="of the draw (default: %(default)s)")
    args = parser.parse_args(arguments)
    try:
        drawn = draw_replies(args.data, args.number, args.seed)
    except BadInput as error:
        sys.stderr.write(f"{error}\n")
        return 2
    for reply in drawn:
        sys.stdout.write(f"{reply.model_dump_json()}\n")
    return 0


def wording(text: str) -> str:
    """Return the text without what differs between two uses of one wording: addresses, ids, numbers, case."""
    return _NUMBER.sub("#", _ADDRESS.sub("@", text)).strip().casefold()


def cell(text: str) -> Cell:
    """Return the surface feature that the draw is stratified by: long, and with a question mark."""
    return len(text.split()) > _LONG, "?" in text


def shares(sizes: dict[Cell, int], number: int) -> dict[Cell, int]:
    """Return ``number`` draws in proportion to the cells' sizes, by largest remainder; all where there are fewer."""
    total = sum(sizes.values())
    number = min(number, total)
    exact = {one: number * size / total for one, size in sizes.items()}
    found = {one: int(value) for one, value in exact.items()}
    for one in sorted(exact, key=lambda c: (found[c] - exact[c], c))[: number - sum(found.values())]:
        found[one] += 1
    return found


def draw_replies(data: Path, number: int, seed: int) -> list[LabelledReply]:
    """Return up to ``number`` replies per backbone and domain, from all ``*episodes.jsonl.gz`` below ``data``.

    Raises:
        BadInput: ``number`` is below 1, or no episode there has a reply to the user.
    """
    if number < 1:
        raise BadInput(f"--number {number}: nothing to draw; give 1 or more")
    groups: dict[ReplyGroup, dict[str, list[LabelledReply]]] = defaultdict(lambda: defaultdict(list))
    for reply in _replies(data):
        groups[reply.backbone, reply.domain][wording(reply.text)].append(reply)
    if not groups:
        raise BadInput(f"{data}: no *episodes.jsonl.gz with replies to a user; give a folder of episodes")
    drawn: list[LabelledReply] = []
    for group, wordings in sorted(groups.items()):
        rng = generator(seed, "understanding", *group)
        drawn += _draw_group([rng.choice(wordings[key]) for key in sorted(wordings)], number, rng)
    return drawn


def _draw_group(replies: Iterable[LabelledReply], number: int, rng: Random) -> Iterator[LabelledReply]:
    cells: dict[Cell, list[LabelledReply]] = defaultdict(list)
    for reply in replies:
        cells[cell(reply.text)].append(reply)
    for one, count in sorted(shares({one: len(texts) for one, texts in cells.items()}, number).items()):
        yield from rng.sample(cells[one], count)


def _replies(data: Path) -> Iterator[LabelledReply]:
    for path in sorted(data.rglob("*episodes.jsonl.gz")):
        if LATER & {*path.relative_to(data).parts}:
            continue
        for episode in read_episodes(path):
            user = ""
            for i, message in enumerate(episode.messages):
                if message.role == "user":
                    user = message.content or ""
                elif is_words(message):
                    yield LabelledReply(
                        place=ReplyPlace(file=path.relative_to(data).as_posix(), episode=episode.id, message=i),
                        backbone=episode.backbone,
                        domain=episode.domain,
                        user=user,
                        text=message.content or "",
                    )


if __name__ == "__main__":
    sys.exit(main())
