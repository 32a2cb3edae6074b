"""One annotator's work: episodes in an order of its own, labels that are on disk after every change."""

import re
from collections.abc import Sequence
from pathlib import Path

from fama.diagnosis.taxonomy import Taxonomy
from fama.episodes.jsonl import RecordStore
from fama.episodes.records import Blame, Episode, Failure
from fama.errors import BadInput
from fama.randomness import generator

FOLDER = "annotations"
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_-]{0,39}")


class Session:
    """Labels of one annotator over the failed episodes of a folder, kept in ``annotations/NAME.jsonl``.

    The order is random, fixed by the annotator's name, so that no two people meet the episodes in the same order and
    a reload changes nothing. A label counts as given once it has a category or is marked as fitting none.
    """

    def __init__(self, annotator: str, episodes: Sequence[Episode], taxonomy: Taxonomy, folder: Path) -> None:
        if not _NAME.fullmatch(annotator):
            raise BadInput(f"annotator {annotator!r}: 1 to 40 letters, digits, - and _, please")
        self.annotator = annotator
        self.taxonomy = taxonomy
        self._store = RecordStore(folder / FOLDER / f"{annotator}.jsonl", Failure)
        self.episodes = list(episodes)
        generator(0, "annotate.order", annotator).shuffle(self.episodes)
        self._labels = {label.episode_id: label for label in self._store.read()}
        self.place = 0
        self.next_open()

    @property
    def episode(self) -> Episode:
        """Return the episode that is being labelled."""
        return self.episodes[self.place]

    @property
    def label(self) -> Failure:
        """Its label so far; an empty one before the first change."""
        known = self._labels.get(self.episode.id)
        return known or Failure(
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
        return sum(episode.id in self._labels for episode in self.episodes)

    def go(self, by: int) -> None:
        """Step through the episodes; stops at both ends."""
        self.place = max(0, min(len(self.episodes) - 1, self.place + by))

    def next_open(self) -> None:
        """Go to the next episode without a label, from here on and then from the start; stay when all have one."""
        places = [*range(self.place, len(self.episodes)), *range(self.place)]
        self.place = next((p for p in places if self.episodes[p].id not in self._labels), self.place)

    def toggle(self, code: str) -> None:
        """Add or remove a category; the first one added is the primary one."""
        label = self.label
        categories = tuple(c for c in label.categories if c != code)
        if code not in label.categories:
            order = {known: place for place, known in enumerate(self.taxonomy.codes)}
            categories = tuple(sorted((*categories, code), key=lambda c: order[c]))
        primary = tuple(c for c in label.primary if c in categories) or categories[:1]
        self._keep(label.model_copy(update={"categories": categories, "primary": primary}))

    def make_primary(self, code: str) -> None:
        """Make a category the primary one, and add it where it is missing."""
        if code not in self.label.categories:
            self.toggle(code)
        self._keep(self.label.model_copy(update={"primary": (code,)}))

    def fits_none(self) -> None:
        """Record that no category fits."""
        self._keep(self.label.model_copy(update={"categories": (), "primary": ()}))

    def blame(self, who: Blame) -> None:
        """Record who broke it."""
        self._keep(self.label.model_copy(update={"blame": who}))

    def step(self, index: int | None) -> None:
        """Record at which message it broke; None removes the step."""
        if index is not None and not 0 <= index < len(self.episode.messages):
            return
        self._keep(self.label.model_copy(update={"step": index}))

    def note(self, text: str) -> None:
        """Keep a remark."""
        if text != self.label.rationale:
            self._keep(self.label.model_copy(update={"rationale": text}))

    def _keep(self, label: Failure) -> None:
        self._labels[label.episode_id] = label
        self._store.rewrite(self._labels.values())
