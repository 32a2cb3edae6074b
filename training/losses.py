"""The router's losses. Each looks at the examples that have its target; a weight of 0 switches it off."""

from typing import NamedTuple

import torch
from torch import Tensor
from torch.nn import functional

from fama.selection.router.network import Heads, subset_log_tokens, subset_logit
from training.settings import LossSettings


class Targets(NamedTuple):
    """Targets of B examples; NaN where unknown.

    members (B, H) and pairs (B, P) of the executed subset, zero where there is none; success,
    log_tokens and weight (B,); coverage and distilled (B, H); categories (B, C).
    """

    members: Tensor
    pairs: Tensor
    success: Tensor
    log_tokens: Tensor
    weight: Tensor
    coverage: Tensor
    distilled: Tensor
    categories: Tensor


def outcome_loss(heads: Heads, targets: Targets) -> Tensor:
    """Weighted negative log likelihood of success, mean over examples with an outcome (nats)."""
    known = ~targets.success.isnan()
    logit = subset_logit(heads, targets.members, targets.pairs)[known]
    loss = functional.binary_cross_entropy_with_logits(logit, targets.success[known], reduction="none")
    return _mean(loss * targets.weight[known])


def token_loss(heads: Heads, targets: Targets) -> Tensor:
    """Huber loss of log tokens, quadratic below a factor of e^0.5."""
    known = ~targets.log_tokens.isnan()
    predicted = subset_log_tokens(heads, targets.members)[known]
    return _mean(functional.huber_loss(predicted, targets.log_tokens[known], reduction="none", delta=0.5))


def flag_loss(logits: Tensor, flags: Tensor) -> Tensor:
    """Binary cross-entropy of several flags an example, mean over known ones (nats)."""
    known = ~flags.isnan()
    return _mean(functional.binary_cross_entropy_with_logits(logits[known], flags[known], reduction="none"))


def all_losses(
    weights: LossSettings, heads: Heads, targets: Targets, coverage: Tensor, distilled: Tensor
) -> dict[str, Tensor]:
    """The switched-on losses by name, unweighted, and their weighted sum as ``loss``.

    ``coverage`` and ``distilled`` are the logits that the utilities give for these two targets.
    """
    losses = {}
    if weights.outcome:
        losses["outcome"] = outcome_loss(heads, targets)
    if weights.tokens:
        losses["tokens"] = token_loss(heads, targets)
    if weights.coverage:
        losses["coverage"] = flag_loss(coverage, targets.coverage)
    if weights.distillation:
        losses["distillation"] = flag_loss(distilled, targets.distilled)
    if weights.categories:
        losses["categories"] = flag_loss(heads.categories, targets.categories)
    total = torch.stack([getattr(weights, name) * value for name, value in losses.items()]).sum()
    return {**losses, "loss": total}


def _mean(values: Tensor) -> Tensor:
    """The mean, or a zero that keeps the graph where nothing is known."""
    return values.sum() / max(values.numel(), 1)
