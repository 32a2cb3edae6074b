"""Attention pooling over segments and the heads of the router (imports torch: load lazily).

A head's value is a context-free part (``population``), learned without the state, plus a linear function of the state
vector that starts at zero. With few rows weight decay keeps the second part small, so the router
falls back to the best fixed subset rather than to noise.
"""

from typing import NamedTuple

import torch
from torch import Tensor, nn

from fama.selection.router.features import KINDS
from fama.selection.router.manifest import NetworkShape

#: Positions from the end are embedded in buckets: 0, 1, 2, 3, 4–5, 6–7, 8–11, … the last is open.
BUCKETS = 16


class NetworkInput(NamedTuple):
    """A batch of B states over U distinct chunks. ``place`` points into ``embeddings``.

    Shapes: embeddings (U, size); place, mask, kinds, buckets (B, S); evidence (B, E), NaN of parts that a state lacks.
    """

    embeddings: Tensor
    place: Tensor
    mask: Tensor
    kinds: Tensor
    buckets: Tensor
    evidence: Tensor


class Heads(NamedTuple):
    """The outputs of the network for B states with H helpers, P pairs and C categories.

    Success logits and log tokens: base (B,), utility (B, H), pair (B, P), token_base (B,),
    token_utility (B, H). Logits of failure categories: categories (B, C).
    """

    base: Tensor
    utility: Tensor
    pair: Tensor
    token_base: Tensor
    token_utility: Tensor
    categories: Tensor


class RouterNetwork(nn.Module):
    """Segment embeddings and evidence to heads."""

    def __init__(self, shape: NetworkShape) -> None:
        super().__init__()
        self.shape = shape
        hidden, outputs = shape.hidden, sum(shape.head_sizes())
        self.segment = nn.Linear(shape.embedding, hidden)
        self.kind = nn.Embedding(len(KINDS), hidden)
        self.bucket = nn.Embedding(BUCKETS, hidden)
        self.nothing = nn.Parameter(torch.zeros(hidden))
        self.attention = nn.Linear(hidden, shape.attention)
        self.state = nn.Linear(shape.attention * hidden + shape.evidence, hidden)
        self.dropout = nn.Dropout(shape.dropout)
        self.population = nn.Parameter(torch.zeros(outputs))
        self.heads = nn.Linear(hidden, outputs, bias=False)
        self.categories = nn.Linear(hidden, shape.categories)
        self.evidence_mean: Tensor
        self.evidence_scale: Tensor
        self.register_buffer("evidence_mean", torch.zeros(shape.evidence))
        self.register_buffer("evidence_scale", torch.ones(shape.evidence))
        nn.init.zeros_(self.heads.weight)
        nn.init.zeros_(self.attention.weight)
        nn.init.normal_(self.kind.weight, std=0.1)
        nn.init.normal_(self.bucket.weight, std=0.1)

    def forward(self, batch: NetworkInput) -> Heads:
        """Return the heads of every state of the batch."""
        state = self.dropout(torch.tanh(self.state(torch.cat([self.pool(batch), self._evidence(batch)], dim=-1))))
        raw = self.population + self.heads(state)
        base, utility, pair, token_base, token_utility = raw.split(self.shape.head_sizes(), dim=-1)
        return Heads(base.squeeze(-1), utility, pair, token_base.squeeze(-1), token_utility, self.categories(state))

    def pool(self, batch: NetworkInput) -> Tensor:
        """Return attention-weighted segments, shape (B, attention · hidden); a learned nothing joins every state."""
        scaled = nn.functional.layer_norm(batch.embeddings, (self.shape.embedding,))
        items = (
            nn.functional.embedding(batch.place, self.segment(scaled))
            + self.kind(batch.kinds)
            + self.bucket(batch.buckets)
        )
        rows = items.shape[0]
        items = torch.cat([self.nothing.expand(rows, 1, -1).to(items.dtype), items], dim=1)
        mask = torch.cat([batch.mask.new_ones(rows, 1), batch.mask], dim=1)
        score = self.attention(torch.tanh(items)).masked_fill(~mask.unsqueeze(-1), float("-inf"))
        return torch.einsum("bsa,bsh->bah", score.softmax(dim=1), items).flatten(1)

    def _evidence(self, batch: NetworkInput) -> Tensor:
        return ((batch.evidence - self.evidence_mean) / self.evidence_scale).nan_to_num(0.0).clamp(-5.0, 5.0)


def bucket_of(position: int) -> int:
    """Return the bucket of a position from the end."""
    if position < 4:
        return max(position, 0)
    octave = position.bit_length() - 1
    return min(4 + 2 * (octave - 2) + (position >> (octave - 1)) % 2, BUCKETS - 1)


def subset_logit(heads: Heads, members: Tensor, pairs: Tensor) -> Tensor:
    """Return the success logit of one subset per state; members (B, H) and pair members (B, P) are 0 or 1."""
    return heads.base + (heads.utility * members).sum(-1) + (heads.pair * pairs).sum(-1)


def subset_log_tokens(heads: Heads, members: Tensor) -> Tensor:
    """Return the natural logarithm of an episode's tokens with one subset per state."""
    return heads.token_base + (heads.token_utility * members).sum(-1)
