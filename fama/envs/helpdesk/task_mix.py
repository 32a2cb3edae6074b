"""The mix of a split's tasks: family, level, refusals and mid-way corrections.

Every block of consecutive tasks holds each family twice at the easiest level and once at the others, in an
order that its number does not tell; refusals and corrections are spread evenly over the blocks (additive
recurrence), so that small samples from the start of a split are balanced too.
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache

from fama.errors import BadInput
from fama.randomness import derive_seed, generator

DOMAINS = ("shop", "saas")
SPLITS = {"dev": 100_000, "train": 200_000, "test": 300_000}
DEMONSTRATIONS = "demo"
_BASES = {**SPLITS, DEMONSTRATIONS: 900_000}
SPLIT_SIZE = 100_000
LISTED = 1_000
LEVELS = (1, 2, 3)

#: Tasks per family and block. With one each the 1.5B model solved 15 % alone, too few for a comparison.
_COPIES = {1: 2, 2: 1, 3: 1}
_REFUSED = {1: 0.10, 2: 0.45, 3: 0.50}
_REFUSED_TWO = 0.20
_CORRECTED = {1: 0.08, 2: 0.30, 3: 0.55}
MixCell = tuple[str, int, int]
_ID = re.compile(r"(?P<domain>[a-z]+)-(?P<split>[a-z]+)-(?P<number>\d{4,5})")


@dataclass(frozen=True)
class TaskPlan:
    """The generator's order for one task. ``seed`` is unique over domains' splits."""

    task_id: str
    seed: int
    family: str
    level: int
    refused: bool
    corrected: bool


def parse_id(domain: str, task_id: str) -> tuple[str, int]:
    """Return the split and the number of a task.

    Raises:
        BadInput: the id has another form, domain or split.
    """
    match = _ID.fullmatch(task_id)
    if match and match["domain"] == domain and match["split"] in _BASES:
        number = int(match["number"])
        if f"{number:04d}" == match["number"]:
            return match["split"], number
    raise BadInput(
        f"helpdesk: unknown task {task_id!r} of domain {domain!r}; "
        f"ids look like {domain}-dev-0000, with the splits {', '.join(SPLITS)} and numbers 0000 to {SPLIT_SIZE - 1}"
    )


def plan_task(domain: str, task_id: str, families: Sequence[str]) -> TaskPlan:
    """Return the plan of a task; a pure function of its id.

    Raises:
        BadInput: the id has another form, domain or split.
    """
    split, number = parse_id(domain, task_id)
    cells = tuple((family, level, copy) for family in families for level in LEVELS for copy in range(_COPIES[level]))
    block, place = divmod(number, len(cells))
    family, level, copy = _shuffled(domain, split, block, cells)[place]
    nth = block * _COPIES[level] + copy
    refuse = _REFUSED_TWO if family == families[-1] else _REFUSED[level]
    key = (domain, split, family, level)
    return TaskPlan(
        task_id=task_id,
        seed=_BASES[split] + number,
        family=family,
        level=level,
        refused=_spread(nth, 0.618033988749895, "refused", key) < refuse,
        corrected=_spread(nth, 0.7548776662466927, "corrected", key) < _CORRECTED[level],
    )


def _spread(nth: int, step: float, stream: str, key: tuple[object, ...]) -> float:
    offset = (derive_seed(0, f"helpdesk.{stream}", *key) % 10_000) / 10_000
    return (offset + nth * step) % 1.0


@lru_cache(maxsize=256)
def _shuffled(domain: str, split: str, block: int, cells: tuple[MixCell, ...]) -> tuple[MixCell, ...]:
    order = list(cells)
    generator(0, "helpdesk.block", domain, split, block).shuffle(order)
    return tuple(order)
