"""Training and validation examples: split by task, never by row, and never through equal conversations."""

from collections.abc import Sequence
from dataclasses import dataclass

from fama.errors import BadInput
from fama.hashing import content_hash
from fama.randomness import derive_seed
from training.examples import Example


@dataclass(frozen=True)
class Split:
    """Examples of disjoint tasks; ``hash`` identifies which tasks are on which side."""

    train: tuple[Example, ...]
    validation: tuple[Example, ...]
    hash: str


def split_by_task(examples: Sequence[Example], share: float, seed: int) -> Split:
    """Put about ``share`` of the tasks into validation, by a hash of each task's name and the seed.

    Tasks that share a conversation word for word go to the same side, so that no text of a
    validation task is trained on. A task's side does not depend on which other tasks there are,
    apart from such twins.

    Raises:
        BadInput: one side would be empty.
    """
    group = _groups(examples)
    held = {name for name in group.values() if derive_seed(seed, "split", name) / 2**63 < share}
    train = tuple(example for example in examples if group[example.task] not in held)
    validation = tuple(example for example in examples if group[example.task] in held)
    if not train or not validation:
        raise BadInput(
            f"data.validation: {share} of {len(group)} tasks leaves one side empty; give more tasks or another share"
        )
    sides = sorted((task, name in held) for task, name in group.items())
    return Split(train, validation, content_hash(sides))


def _groups(examples: Sequence[Example]) -> dict[str, str]:
    """Task → the smallest name among the tasks it is tied to by equal conversations."""
    parent = {example.task: example.task for example in examples}

    def root(task: str) -> str:
        while parent[task] != task:
            parent[task] = parent[parent[task]]
            task = parent[task]
        return task

    first: dict[tuple[tuple[str, str], ...], str] = {}
    for example in examples:
        history = tuple((segment.kind, segment.text) for segment in example.features.history())
        if not history:
            continue
        a, b = sorted((root(example.task), root(first.setdefault(history, example.task))))
        parent[b] = a
    return {task: root(task) for task in parent}
