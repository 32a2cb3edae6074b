"""One annotator's work: episodes in an order of its own, labels that are on disk after every change."""

import re
from collections.abc import Callable, Sequence
from pathlib import Path

from fama.diagnosis.taxonomy import Taxonomy
from fama.episodes.jsonl import RecordStore
from fama.episodes.records import Blame, Episode, Failure
from fama.errors import BadInput
from fama.randomness import generator

FOLDER = "annotations"
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_-]{0,39}")


class AnnotationSession:
    """Labels of one annotator over the failed episodes of a folder, kept in ``annotations/NAME.jsonl``.

    The order is random, fixed by the annotator's name, so that no two people meet the episodes in the same order and
    a reload changes nothing. A label counts as given once it has a category or is marked as fitting none; one with a
    step, a party or a note alone is kept and stays open. Several sessions of one annotator may be open, in several
    processes, too: each changes one label of the file.

    Raises:
        BadInput: the name is no file's name, or the annotator's labels are of another taxonomy.
    """

    def __init__(self, annotator: str, episodes: Sequence[Episode], taxonomy: Taxonomy, folder: Path) -> None:
        if not _NAME.fullmatch(annotator):
            raise BadInput(f"annotator {annotator!r}: 1 to 40 letters, digits, - and _, please")
        self.annotator = annotator
        self.taxonomy = taxonomy
        self._store = RecordStore(folder / FOLDER / f"{annotator}.jsonl", Failure)
        self.episodes = list(episodes)
        generator(0, "annotate.order", annotator).shuffle(self.episodes)
        self._labels = self._read()
        self.place = 0
        self.next_open()

    @property
    def episode(self) -> Episode:
        """Return the episode that is being labelled."""
        return self.episodes[self.place]

    @property
    def label(self) -> Failure:
        """Its label so far; an empty one before the first change."""
        return self._labels.get(self.episode.id) or self._empty()

    def _read(self) -> dict[str, Failure]:
        """Return the labels on disk by episode; refuse those that the taxonomy's keys could not change."""
        labels = {label.episode_id: label for label in self._store.read()}
        for label in labels.values():
            if label.taxonomy_version != self.taxonomy.version or not {*label.categories} <= {*self.taxonomy.codes}:
                raise BadInput(
                    f"{self._store.path}: holds {', '.join(label.categories) or 'labels'} under "
                    f"{label.taxonomy_version}, not a label of {self.taxonomy.version} "
                    f"({', '.join(self.taxonomy.codes)}); give that taxonomy's file, or another annotator's name"
                )
        return labels

    def _empty(self) -> Failure:
        return Failure(
            episode_id=self.episode.id,
            task_id=self.episode.task_id,
            benchmark=self.episode.benchmark,
            domain=self.episode.domain,
            labeller=self.annotator,
            taxonomy_version=self.taxonomy.version,
        )

    @property
    def done(self) -> int:
        """Return how many of the episodes have a label."""
        return sum(map(self._is_given, self.episodes))

    def _is_given(self, episode: Episode) -> bool:
        label = self._labels.get(episode.id)
        return label is not None and label.is_complete

    def go(self, by: int) -> None:
        """Step through the episodes; stops at both ends."""
        self.place = max(0, min(len(self.episodes) - 1, self.place + by))

    def next_open(self) -> None:
        """Go to the next episode without a label, from here on and then from the start; stay when all have one."""
        places = [*range(self.place, len(self.episodes)), *range(self.place)]
        self.place = next((p for p in places if not self._is_given(self.episodes[p])), self.place)

    def toggle(self, code: str) -> None:
        """Add or remove a category; the first one added is the primary one."""
        self._change(lambda label: self._toggled(label, code))

    def make_primary(self, code: str) -> None:
        """Make a category the primary one, and add it where it is missing."""

        def changed(label: Failure) -> Failure:
            label = label if code in label.categories else self._toggled(label, code)
            return label.model_copy(update={"primary": (code,)})

        self._change(changed)

    def fits_none(self) -> None:
        """Record that no category fits."""
        self._change(lambda label: label.model_copy(update={"categories": (), "primary": (), "fits_none": True}))

    def blame(self, who: Blame) -> None:
        """Record who broke it."""
        self._change(lambda label: label.model_copy(update={"blame": who}))

    def step(self, index: int | None) -> None:
        """Record at which message it broke; None removes the step."""
        if index is not None and not 0 <= index < len(self.episode.messages):
            return
        self._change(lambda label: label.model_copy(update={"step": index}))

    def note(self, text: str) -> None:
        """Keep a remark."""
        if text != self.label.rationale:
            self._change(lambda label: label.model_copy(update={"rationale": text}))

    def _toggled(self, label: Failure, code: str) -> Failure:
        categories = tuple(c for c in label.categories if c != code)
        if code not in label.categories:
            order = {known: place for place, known in enumerate(self.taxonomy.codes)}
            categories = tuple(sorted((*categories, code), key=lambda c: order[c]))
        primary = tuple(c for c in label.primary if c in categories) or categories[:1]
        return label.model_copy(update={"categories": categories, "primary": primary, "fits_none": False})

    def _change(self, change: Callable[[Failure], Failure]) -> None:
        """Change the episode's label as it is on disk now: the same annotator may have another page open."""
        with self._store.locked():
            labels = self._read()
            labels[self.episode.id] = change(labels.get(self.episode.id) or self._empty())
            self._store.rewrite_unlocked(labels.values())
        self._labels = labels
