"""Training and validation examples: split by task, never by row, and never through equal conversations."""

from collections.abc import Collection, Sequence
from dataclasses import dataclass, replace

from fama.errors import BadInput
from fama.hashing import content_hash
from fama.randomness import derive_seed
from training.data.examples import Example


@dataclass(frozen=True)
class Split:
    """Examples of disjoint tasks; ``hash`` identifies which tasks are on which side.

    ``held_out`` are those of held-out domains and backbones, on tasks that are not trained on either; ``certify`` those
    of tasks that only a guarantee is tested on.
    """

    train: tuple[Example, ...]
    validation: tuple[Example, ...]
    hash: str
    held_out: tuple[Example, ...] = ()
    certify: tuple[Example, ...] = ()


def split_by_task(
    examples: Sequence[Example],
    share: float,
    seed: int,
    domains: Collection[str] = (),
    backbones: Collection[str] = (),
    kept: float = 1.0,
    setting: str = "data.validation",
) -> Split:
    """Put about ``share`` of the tasks into validation, by a hash of each task's name and the seed.

    Tasks that share a conversation word for word go to the same side, so that no text of a
    validation task is trained on. A task's side does not depend on which other tasks there are,
    apart from such twins, and but for tables so small that the hash leaves a side empty: then the task
    nearest to that side is put there. So it is where all tasks of what is held out would be trained on.
    ``domains`` and ``backbones`` are held out: on neither side.
    ``kept`` is the share of the training tasks that are used, at least one; smaller shares are parts of larger ones.
    ``setting`` is the one to name where the tasks cannot be split.

    Raises:
        BadInput: one side would be empty, or a domain or backbone to hold out is not there.
    """
    for what, names, found in (
        ("hold_out_domains", domains, {example.domain for example in examples}),
        ("hold_out_backbones", backbones, {example.backbone for example in examples}),
    ):
        for name in sorted(set(names) - found):
            raise BadInput(f"data.{what}: no example of {name!r}; there are: {', '.join(sorted(found))}")
    group = tied_tasks(examples)
    apart = [example.domain in domains or example.backbone in backbones for example in examples]
    usual = [example for example, out in zip(examples, apart, strict=True) if not out]
    groups = {group[example.task] for example in usual}
    tested = {group[example.task] for example, out in zip(examples, apart, strict=True) if out}
    held = _held(set(group.values()), groups, tested, share, seed)
    used = _used(groups - held, kept, seed)
    train = tuple(example for example in usual if group[example.task] in used)
    validation = tuple(example for example in usual if group[example.task] in held)
    trained = {group[example.task] for example in train}
    held_out = tuple(
        example for example, out in zip(examples, apart, strict=True) if out and group[example.task] not in trained
    )
    if not train or not validation:
        raise BadInput(f"{setting}: {_unsplit(len({example.task for example in usual}), any(apart))}")
    sides: list[object] = list(sorted((task, name in held) for task, name in group.items()))
    sides += [["held out", *sorted({*domains, *backbones})]] if any(apart) else []
    sides += [["training share", kept]] if kept < 1.0 else []
    return Split(train, validation, content_hash(sides), held_out)


def keep_apart(split: Split, share: float, seed: int) -> Split:
    """Put a share of the training tasks aside, for a guarantee to be tested on.

    Raises:
        BadInput: one side would be empty.
    """
    inner = split_by_task(split.train, share, derive_seed(seed, "certify"), setting="guarantee.share")
    return replace(split, train=inner.train, certify=inner.validation, hash=content_hash([split.hash, inner.hash]))


def errors_to_certify(
    split: Split, examples: Sequence[Example], errors: Sequence[Example], chance: float, seed: int
) -> tuple[Example, ...]:
    """Return the rows of tasks that a guarantee is tested on whose episode ended in an error.

    A task without any finished row is tested with the ``chance`` of the others, unless its conversation was fitted on.
    """
    tested, judged = {example.task for example in split.certify}, {example.task for example in examples}
    fitted = {example.features.history() for example in (*split.train, *split.validation)} - {()}
    alone = {error.task for error in errors} - judged
    alone -= {error.task for error in errors if error.features.history() in fitted}
    place = _places(alone, derive_seed(seed, "certify"), "errors")
    tested |= {task for task in alone if place[task] < chance}
    return tuple(error for error in errors if error.task in tested)


def _held(
    groups: Collection[str], usual: Collection[str], tested: Collection[str], share: float, seed: int
) -> set[str]:
    """Return the groups of tasks for validation; of two ``usual`` groups or more, one at least is on each side.

    Of the ``tested`` ones, which have examples that are held out, one at least is not trained on.
    """
    place = _places(groups, seed, "split")
    held = {name for name in groups if place[name] < share}
    if len(usual) > 1:
        if held.isdisjoint(usual):
            held.add(min(usual, key=lambda name: (place[name], name)))
        elif held.issuperset(usual):
            held.remove(max(usual, key=lambda name: (place[name], name)))
    if tested and held.isdisjoint(tested) and set(usual).issuperset(tested):
        nearest = min(tested, key=lambda name: (place[name], name))
        held.add(nearest)
        if len(usual) > 1 and held.issuperset(usual):
            held.remove(max(set(usual) - {nearest}, key=lambda name: (place[name], name)))
    return held


def _used(groups: Collection[str], kept: float, seed: int) -> set[str]:
    """Return the groups of training tasks that are learned from: a share of them, one at least."""
    place = _places(groups, seed, "training share")
    ranked = sorted(groups, key=lambda name: (place[name], name))
    return {name for name in ranked if place[name] < kept} or set(ranked[:1])


def _places(groups: Collection[str], seed: int, purpose: str) -> dict[str, float]:
    """Return places between 0 and 1, by the names alone."""
    return {name: derive_seed(seed, purpose, name) / 2**63 for name in groups}


def _unsplit(tasks: int, apart: bool) -> str:
    counted = f"{tasks} task{'s' if tasks != 1 else ''}{' not held out' if apart else ''}"
    tied = ", since equal conversations tie them together" if tasks > 1 else ""
    return f"splitting {counted} leaves one side empty{tied}; give more tasks"


def tied_tasks(examples: Sequence[Example]) -> dict[str, str]:
    """Map each task to the smallest name among the tasks it is tied to by equal conversations."""
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
