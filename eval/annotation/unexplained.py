"""Failures that fit no category, grouped: candidates for a new category and a new helper."""

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

import numpy as np
import numpy.typing as npt
from pydantic import ValidationError

from fama.config import first_fault
from fama.dialogue.calls import calls_of
from fama.dialogue.turns import shorten, spoken
from fama.episodes.records import Episode, Failure, Record
from fama.errors import BadInput
from fama.files import write_atomically

Embeddings = npt.NDArray[np.float64]
EXAMPLES, WORDS, SMALLEST = 3, 8, 3
#: A label less sure than this counts as fitting no category: the detectors give 0.1 where they found nothing.
UNSURE = 0.2
#: Mean cosine distance up to which groups merge; texts of MiniLM on one subject are about 0.3 to 0.5 apart.
APART = 0.45
_WORD = r"[a-z]{3,}"


class FailureExample(Record):
    """One failure of a group, in short. ``said`` are the last turns, ``calls`` the last calls of the agent."""

    episode_id: str
    task_id: str
    rationale: str
    calls: tuple[str, ...]
    said: tuple[str, ...]


class FailureGroup(Record):
    """A group of failures. ``words`` stand in it more than in the others; ``where`` counts backbones and domains."""

    number: int
    size: int
    tasks: int
    words: tuple[str, ...]
    where: dict[str, int]
    examples: tuple[FailureExample, ...]
    members: tuple[str, ...]


class FailureGroups(Record):
    """All groups, the largest first, and how many unexplained failures are in none."""

    unexplained: int
    ungrouped: int
    groups: tuple[FailureGroup, ...]


def without_category(failures: Iterable[Failure], unsure: float = UNSURE) -> list[Failure]:
    """Return the failures without a primary category, or with one that their annotator was hardly sure of."""
    return [f for f in failures if not f.primary or (f.confidence is not None and f.confidence < unsure)]


def failure_text(episode: Episode, failure: Failure) -> str:
    """Return the text that groups compare: the rationale where there is one, the calls, and the last turns."""
    example = _example(episode, failure)
    return "\n".join([example.rationale, *example.calls, *example.said])


def group(
    episodes: Mapping[str, Episode],
    failures: Sequence[Failure],
    vectors: Embeddings,
    smallest: int = SMALLEST,
    apart: float = APART,
) -> FailureGroups:
    """Group failures by the cosine distance of their vectors, shape [failures, size]: average linkage up to ``apart``.

    A group has at least ``smallest`` failures; what is near no other stays ungrouped. Its words are those whose mean
    tf-idf is highest above that of the rest; its examples are the nearest to its centre, from different tasks if there
    are.
    """
    from sklearn.cluster import AgglomerativeClustering
    from sklearn.feature_extraction.text import TfidfVectorizer

    if len(failures) < smallest:
        return FailureGroups(unexplained=len(failures), ungrouped=len(failures), groups=())
    finder = AgglomerativeClustering(None, metric="cosine", linkage="average", distance_threshold=apart)
    marks = finder.fit_predict(vectors)
    sizes = Counter(int(mark) for mark in marks)
    marks = np.array([mark if sizes[mark] >= smallest else -1 for mark in marks])
    reader = TfidfVectorizer(token_pattern=_WORD, stop_words="english", min_df=2 if len(failures) > 3 else 1)
    weights = reader.fit_transform([failure_text(episodes[f.episode_id], f) for f in failures]).toarray()
    names = reader.get_feature_names_out()
    order = sorted(set(marks) - {-1}, key=lambda mark: (-int((marks == mark).sum()), mark))
    groups = []
    for number, mark in enumerate(order, 1):
        inside = marks == mark
        rest = weights[~inside].mean(axis=0) if (~inside).any() else 0.0
        lift = weights[inside].mean(axis=0) - rest
        members = [failure for failure, within in zip(failures, inside, strict=True) if within]
        near = np.argsort(-(vectors[inside] @ vectors[inside].mean(axis=0)), kind="stable")
        groups.append(
            FailureGroup(
                number=number,
                size=len(members),
                tasks=len({str(f.key) for f in members}),
                words=tuple(str(names[i]) for i in np.argsort(-lift, kind="stable")[:WORDS] if lift[i] > 0),
                where=_where(episodes[f.episode_id] for f in members),
                examples=tuple(_example(episodes[f.episode_id], f) for f in _spread([members[i] for i in near])),
                members=tuple(f.episode_id for f in members),
            )
        )
    return FailureGroups(unexplained=len(failures), ungrouped=int((marks == -1).sum()), groups=tuple(groups))


def embed_texts(texts: Sequence[str], encoder: str) -> Embeddings:
    """Return the mean chunk vectors of a frozen sentence encoder, shape [texts, size].

    Raises:
        BadInput: the encoder is not there.
    """
    from fama.selection.router.embedder import Embedder
    from fama.selection.router.manifest import EncoderShape

    chunked = Embedder.load(EncoderShape(name=encoder, window=256)).embed(texts)
    return np.stack([chunks.mean(axis=0) for chunks in chunked]).astype(np.float64)


def write_candidates(path: Path, groups: FailureGroups) -> None:
    """Write the groups as JSON, whole or not at all."""
    write_atomically(path, groups.model_dump_json(indent=2) + "\n")


def read_candidates(path: Path) -> FailureGroups:
    """Read the groups of a file.

    Raises:
        BadInput: the file is missing or no such file.
    """
    try:
        return FailureGroups.model_validate_json(path.read_bytes())
    except OSError as error:
        raise BadInput(
            f"{path}: {error.strerror}; give the file that `fama helpers candidates` wrote as --candidates FILE"
        ) from None
    except ValidationError as error:
        raise BadInput(f"{path}: {first_fault(error)}; write it again") from None


def _example(episode: Episode, failure: Failure) -> FailureExample:
    messages = episode.messages
    turns = [f"{m.role}: {shorten(spoken(m), 240)}" for m in messages if m.role in ("user", "assistant") and spoken(m)]
    return FailureExample(
        episode_id=episode.id,
        task_id=episode.task_id,
        rationale=shorten(failure.rationale, 400),
        calls=tuple(call.quote(120) for call in calls_of(messages)[-4:]),
        said=tuple(turns[-3:]),
    )


def _where(episodes: Iterable[Episode]) -> dict[str, int]:
    counts: dict[str, int] = {}
    for episode in episodes:
        place = f"{episode.backbone or 'unknown'}, {episode.benchmark}/{episode.domain}"
        counts[place] = counts.get(place, 0) + 1
    return dict(sorted(counts.items(), key=lambda item: -item[1]))


def _spread(members: Sequence[Failure]) -> list[Failure]:
    """Return the first few, of different tasks as far as there are."""
    first: dict[str, Failure] = {}
    for failure in members:
        first.setdefault(str(failure.key), failure)
    chosen = list(first.values())
    return (chosen + [f for f in members if f not in chosen])[:EXAMPLES]
