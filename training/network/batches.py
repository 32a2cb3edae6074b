"""Examples to tensors: batches hold each distinct chunk once, however many states share it."""

import math
from collections.abc import Sequence
from typing import NamedTuple

import torch
from torch import Tensor

from fama.selection.router.encoder import SegmentEncoder
from fama.selection.router.features import KINDS
from fama.selection.router.network import bucket_of
from fama.selection.router.scores import pair_indices
from training.data.examples import Example
from training.network.losses import Targets
from training.network.trained_encoder import ChunkTable


class Batch(NamedTuple):
    """A batch for the router: chunks (token ids and mask, or vectors), layout of the states, targets.

    ``frame`` are the table's rows of policies and tools; their vectors come after those of the other chunks.
    """

    ids: Tensor
    id_mask: Tensor
    vectors: Tensor
    frame: Tensor
    place: Tensor
    mask: Tensor
    kinds: Tensor
    buckets: Tensor
    evidence: Tensor
    targets: Targets


class Collate:
    """Turns lists of examples into batches.

    ``weights`` are the outcome loss's, ``gains`` the decision loss's advantages, by example identity.
    """

    def __init__(
        self,
        encoder: SegmentEncoder,
        table: ChunkTable,
        categories: int,
        weights: dict[int, float],
        gains: dict[int, float] | None = None,
    ) -> None:
        self.encoder = encoder
        self.table = table
        self.categories = categories
        self.weights = weights
        self.gains = gains or {}

    def __call__(self, examples: Sequence[Example]) -> Batch:
        """Return the batch of these examples."""
        layout = [
            [
                (row, KINDS.index(segment.kind), bucket_of(segment.position))
                for segment in example.features.segments
                for row in self.table.rows[segment.text]
            ]
            for example in examples
        ]
        used = list(dict.fromkeys(row for line in layout for row, _, _ in line)) or [0]
        own, frame = [row for row in used if row >= self.table.frame], [row for row in used if row < self.table.frame]
        place = {row: i for i, row in enumerate([*own, *frame])}
        longest = max(1, max(map(len, layout)))
        grid = torch.zeros((3, len(examples), longest), dtype=torch.long)
        mask = torch.zeros((len(examples), longest), dtype=torch.bool)
        for i, line in enumerate(layout):
            if line:
                grid[:, i, : len(line)] = torch.tensor([(place[row], kind, bucket) for row, kind, bucket in line]).T
                mask[i, : len(line)] = True
        ids, id_mask, vectors = self._chunks(own)
        evidence = torch.tensor([example.features.known_evidence() for example in examples], dtype=torch.float32)
        rows = torch.tensor(frame, dtype=torch.long)
        return Batch(ids, id_mask, vectors, rows, grid[0], mask, grid[1], grid[2], evidence, self._targets(examples))

    def _chunks(self, rows: list[int]) -> tuple[Tensor, Tensor, Tensor]:
        nothing = torch.zeros((0, 1), dtype=torch.long)
        if self.table.vectors is not None:
            return nothing, nothing, self.table.vectors[rows or [0]]
        if not rows:
            return nothing, nothing, torch.zeros((0, self.encoder.size))
        ids, mask = self.encoder.pad([self.table.windows[row] for row in rows])
        return ids, mask, torch.zeros((0, self.encoder.size))

    def _targets(self, examples: Sequence[Example]) -> Targets:
        helpers = next(len(f) for e in examples for f in (e.subset, e.coverage, e.distilled) if f is not None)
        members = _flags([example.subset for example in examples], helpers).nan_to_num(0.0)
        rows, columns = pair_indices(helpers)
        return Targets(
            members=members,
            pairs=members[:, torch.from_numpy(rows)] * members[:, torch.from_numpy(columns)],
            success=torch.tensor([math.nan if e.success is None else float(e.success) for e in examples]),
            log_tokens=torch.tensor([math.nan if e.tokens is None else math.log(e.tokens) for e in examples]),
            weight=torch.tensor([example.weight * self.weights.get(id(example), 1.0) for example in examples]),
            own_weight=torch.tensor([example.weight for example in examples]),
            coverage=_flags([example.coverage for example in examples], helpers),
            distilled=_flags([example.distilled for example in examples], helpers),
            categories=_flags([example.categories for example in examples], self.categories),
            advantage=torch.tensor([self.gains.get(id(example), math.nan) for example in examples]),
            propensity=torch.tensor([example.propensity or math.nan for example in examples]),
        )


def _flags(values: Sequence[tuple[bool, ...] | None], width: int) -> Tensor:
    return torch.tensor([[math.nan] * width if value is None else [float(flag) for flag in value] for value in values])
