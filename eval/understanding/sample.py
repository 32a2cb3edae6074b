"""Draw replies of the agent to be read by hand, from committed episodes; nothing here knows what the user understands.

Wordings that differ in ids, numbers and addresses only count once. Each backbone and domain gives up to the same number
of wordings, in proportion to their length and to whether they hold a question mark.
"""

import re
from collections import defaultdict
from collections.abc import Iterable, Iterator
from pathlib import Path
from random import Random

from eval.understanding.replies import Place, Reply, is_words
from fama.episodes.store import read_episodes
from fama.randomness import generator

#: More words than this are a long reply; about the median.
_LONG = 12
_ADDRESS = re.compile(r"[\w.+-]+@[\w.-]+")
_NUMBER = re.compile(r"\b[A-Za-z]*\d[\w.]*\b")

Group = tuple[str, str]
Cell = tuple[bool, bool]


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


def draw(data: Path, number: int, seed: int) -> list[Reply]:
    """Return up to ``number`` replies per backbone and domain, from all ``*episodes.jsonl.gz`` below ``data``."""
    groups: dict[Group, dict[str, list[Reply]]] = defaultdict(lambda: defaultdict(list))
    for reply in _replies(data):
        groups[reply.backbone, reply.domain][wording(reply.text)].append(reply)
    drawn: list[Reply] = []
    for group, wordings in sorted(groups.items()):
        rng = generator(seed, "understanding", *group)
        drawn += _draw_group([rng.choice(wordings[key]) for key in sorted(wordings)], number, rng)
    return drawn


def _draw_group(replies: Iterable[Reply], number: int, rng: Random) -> Iterator[Reply]:
    cells: dict[Cell, list[Reply]] = defaultdict(list)
    for reply in replies:
        cells[cell(reply.text)].append(reply)
    for one, count in sorted(shares({one: len(texts) for one, texts in cells.items()}, number).items()):
        yield from rng.sample(cells[one], count)


def _replies(data: Path) -> Iterator[Reply]:
    for path in sorted(data.rglob("*episodes.jsonl.gz")):
        for episode in read_episodes(path):
            user = ""
            for i, message in enumerate(episode.messages):
                if message.role == "user":
                    user = message.content or ""
                elif is_words(message):
                    yield Reply(
                        place=Place(file=path.relative_to(data).as_posix(), episode=episode.id, message=i),
                        backbone=episode.backbone,
                        domain=episode.domain,
                        user=user,
                        text=message.content or "",
                    )
