"""The category prior's outcome heads: the success of every executed subset, domain by domain."""

from collections.abc import Sequence

import numpy as np

from fama.selection.decision import Floats
from fama.selection.router.manifest import PriorShape
from fama.selection.router.prior import PriorPredictor, frame_of
from training.data.examples import Example
from training.kinds.baselines import population_of
from training.kinds.context_free import OutcomeArrays, fit_population
from training.kinds.state_vectors import Arrays, Rows, tune
from training.settings import TrainSettings


def frames_of(examples: Sequence[Example]) -> tuple[str, ...]:
    """The domains of the examples, by their policy and tools, sorted."""
    return tuple(sorted({frame_of(features) for features in {example.features for example in examples}}))


def fit_prior(
    settings: TrainSettings, examples: Sequence[Example], frames: Sequence[str]
) -> tuple[Arrays, float, dict[str, float]]:
    """Arrays of a prior's outcome heads, its strength, and the cross-validated log loss of every strength tried."""
    data = OutcomeArrays(examples, settings.losses)
    helpers = data.masks.shape[1]
    frame = np.array([frames.index(frame_of(example.features)) for example in data.examples])

    def held_out(strength: float, train: Rows) -> Floats:
        arrays = _cells(data, frame, train) | {"population": population_of(data, train).astype(np.float32)}
        prior = PriorPredictor(
            PriorShape(frames=tuple(frames), strength=strength, decay=settings.prior.decay), arrays, helpers
        )
        logits = [prior.of_frame(int(frame[row]))(data.masks[row : row + 1]).logit[0] for row in np.flatnonzero(~train)]
        return np.array(logits)

    options = sorted(settings.prior.strengths)[::-1]
    strength, tried = tune(options, held_out, data.success, data.tasks, settings.prior.folds, settings.seed)
    arrays = _cells(data, frame, np.ones(len(frame), dtype=np.bool_))
    return arrays | {"population": fit_population(data).astype(np.float32)}, strength, tried


def _cells(data: OutcomeArrays, frame: np.ndarray[tuple[int], np.dtype[np.int64]], rows: Rows) -> Arrays:
    groups: dict[tuple[int, bytes], list[int]] = {}
    for row in np.flatnonzero(rows):
        groups.setdefault((int(frame[row]), data.masks[row].tobytes()), []).append(int(row))
    cells = [(key[0], members) for key, members in sorted(groups.items())]
    logged = [data.log_tokens[members] for _, members in cells]
    tokens = [np.nanmean(values) if (~np.isnan(values)).any() else np.nan for values in logged]
    return {
        "cell_frame": np.array([place for place, _ in cells], dtype=np.float32),
        "cell_masks": np.array([data.masks[members[0]] for _, members in cells], dtype=np.float32),
        "cell_rows": np.array([len(members) for _, members in cells], dtype=np.float32),
        "cell_success": np.array([data.success[members].mean() for _, members in cells], dtype=np.float32),
        "cell_log_tokens": np.array(tokens, dtype=np.float32),
    }
