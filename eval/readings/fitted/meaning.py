"""Features from a sentence encoder: how near what the user said is to what its instruction asks for."""

from collections.abc import Callable, Sequence

import numpy as np

from eval.readings.fitted.failure_evidence import FailureEvidence
from fama.dialogue.language import sentences
from fama.intervals import Array

#: From sentences to unit vectors, ``[sentences, size]``.
Encode = Callable[[Sequence[str]], Array]
#: A sentence of the instruction that no sentence of the user is so near to was not said.
NEAR = 0.45


def meaning_features(shown: FailureEvidence, encode: Encode) -> tuple[dict[str, float], dict[int, dict[str, float]]]:
    """Return the features of a failure, and those of its messages by index."""
    told = [text for text, _ in shown.parts]
    steps = [i for i, m in enumerate(shown.episode.messages) if m.role == "user"]
    said = {step: [s for s in sentences(shown.text(step)) if s.strip()] for step in steps}
    own = [(step, text) for step, texts in said.items() for text in texts]
    places = [i for i, m in enumerate(shown.episode.messages) if m.role in ("assistant", "user")]
    if not told or not own:
        return _whole(np.ones((1, 1))), {step: _of_message(None, None) for step in places}
    near = encode(told) @ encode([text for _, text in own]).T
    best = {
        step: near[:, [place for place, (at, _) in enumerate(own) if at == step]].max(axis=1)
        for step in steps
        if said[step]
    }
    rows = {}
    for step in places:
        before = [value for at, value in best.items() if at < step]
        rows[step] = _of_message(best.get(step), np.max(before, axis=0) if before else np.zeros(len(told)))
    return _whole(near), rows


def _whole(near: Array) -> dict[str, float]:
    covered, scripted = near.max(axis=1), near.max(axis=0)
    return {
        "meaning: least of a sentence": float(covered.min()),
        "meaning: mean of sentences": float(covered.mean()),
        "meaning: share unsaid": float((covered < NEAR).mean()),
        "meaning: user's sentences, mean": float(scripted.mean()),
        "meaning: user's sentences, least": float(scripted.min()),
    }


def _of_message(here: Array | None, before: Array | None) -> dict[str, float]:
    said = 0.0 if here is None else float(here.max())
    gain = 0.0 if here is None or before is None else float(np.maximum(here - before, 0.0).sum())
    return {
        "meaning: user, near the instruction": said,
        "meaning: user, off the instruction": float(here is not None and said < NEAR),
        "meaning: user, new of the instruction": gain,
        "meaning: instruction said so far": 1.0 if before is None else float((before >= NEAR).mean()),
    }


def add_meaning(
    shown: FailureEvidence,
    encode: Encode,
    whole: dict[str, float],
    places: Sequence[int],
    rows: Sequence[dict[str, float]],
) -> None:
    """Add these features to those of a failure and of its messages."""
    more, by_step = meaning_features(shown, encode)
    whole.update(more)
    for step, row in zip(places, rows, strict=True):
        row.update(by_step[step])
