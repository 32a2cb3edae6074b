"""The losses of the encoder router. Each looks at the examples with its target; a weight of 0 switches it off."""

from typing import NamedTuple

import torch
from torch import Tensor
from torch.nn import functional

from fama.selection.decision_rule import Objective
from fama.selection.router.network import Heads, subset_log_tokens, subset_logit
from training.settings import LossSettings

_MAX_LOG_TOKENS = 16.0
"""e^16 is about nine million tokens: no episode, only a guard against overflow."""


class Targets(NamedTuple):
    """Targets of B examples; NaN where unknown.

    members (B, H) and pairs (B, P) of the executed subset, zero where there is none; success, log_tokens, weight (of an
    outcome, by propensity too), own_weight (of every other target), advantage and propensity (B,); coverage and
    distilled (B, H); categories (B, C).
    """

    members: Tensor
    pairs: Tensor
    success: Tensor
    log_tokens: Tensor
    weight: Tensor
    own_weight: Tensor
    coverage: Tensor
    distilled: Tensor
    categories: Tensor
    advantage: Tensor
    propensity: Tensor


class Choices(NamedTuple):
    """The S subsets per decision is taken from: members (S, H) and pairs (S, P); and the objective of the decision."""

    members: Tensor
    pairs: Tensor
    objective: Objective


def outcome_loss(heads: Heads, targets: Targets) -> Tensor:
    """Return the weighted negative log likelihood of success, mean over examples with an outcome (nats)."""
    known = ~targets.success.isnan()
    logit = subset_logit(heads, targets.members, targets.pairs)[known]
    loss = functional.binary_cross_entropy_with_logits(logit, targets.success[known], reduction="none")
    return _mean(loss * targets.weight[known])


def decision_loss(heads: Heads, targets: Targets, choices: Choices, clip: float) -> Tensor:
    """Return minus the estimated gain of drawing subsets in proportion to exp(value / softness), mean over known rows.

    The gain of a row is its advantage (reward minus the mean of its state) times the probability that the router
    would draw its subset, over the propensity with which it was drawn: inverse-propensity learning from logged choices,
    with a baseline (Swaminathan and Joachims 2015, counterfactual risk minimisation). Ratios are clipped; rows count by
    their weight.
    """
    known = ~(targets.advantage.isnan() | targets.propensity.isnan())
    drawn = draw_probabilities(heads, choices)
    mine = (targets.members[:, None, :] == choices.members.to(targets.members)).all(dim=-1).to(drawn)
    ratio = (drawn * mine).sum(dim=-1)[known] / targets.propensity[known]
    return -_mean(ratio.clamp(max=clip) * targets.advantage[known] * targets.own_weight[known])


def draw_probabilities(heads: Heads, choices: Choices) -> Tensor:
    """Return the probability of every subset when drawn in proportion to exp(value / softness), shape (B, S).

    As softness goes to 0, all of it falls on the subset that the decision rule takes where nothing is tied.
    """
    members, pairs = choices.members.to(heads.utility), choices.pairs.to(heads.pair)
    success = (heads.base[:, None] + heads.utility @ members.T + heads.pair @ pairs.T).sigmoid()
    tokens = (heads.token_base[:, None] + heads.token_utility @ members.T).clamp(max=_MAX_LOG_TOKENS).exp()
    return (choices.objective.value(success, tokens) / choices.objective.softness).softmax(dim=-1)


def token_loss(heads: Heads, targets: Targets) -> Tensor:
    """Return the weighted Huber loss of log tokens, quadratic below a factor of e^0.5."""
    known = ~targets.log_tokens.isnan()
    predicted = subset_log_tokens(heads, targets.members)[known]
    loss = functional.huber_loss(predicted, targets.log_tokens[known], reduction="none", delta=0.5)
    return _mean(loss * targets.own_weight[known])


def flag_loss(logits: Tensor, flags: Tensor, weight: Tensor) -> Tensor:
    """Return the weighted binary cross-entropy of several flags per example, mean over known ones (nats)."""
    known = ~flags.isnan()
    loss = functional.binary_cross_entropy_with_logits(logits[known], flags[known], reduction="none")
    return _mean(loss * weight[:, None].expand_as(flags)[known])


def all_losses(
    weights: LossSettings,
    heads: Heads,
    targets: Targets,
    coverage: Tensor,
    distilled: Tensor,
    choices: Choices | None = None,
) -> dict[str, Tensor]:
    """Return the switched-on losses by name, unweighted, and their weighted sum as ``loss``.

    ``coverage`` and ``distilled`` are the logits that the utilities give for these two targets; ``choices`` is needed
    for the decision loss.
    """
    losses = {}
    if weights.outcome:
        losses["outcome"] = outcome_loss(heads, targets)
    if weights.decision and choices is not None:
        losses["decision"] = decision_loss(heads, targets, choices, weights.propensity_clip)
    if weights.tokens:
        losses["tokens"] = token_loss(heads, targets)
    if weights.coverage:
        losses["coverage"] = flag_loss(coverage, targets.coverage, targets.own_weight)
    if weights.distillation:
        losses["distillation"] = flag_loss(distilled, targets.distilled, targets.own_weight)
    if weights.categories:
        losses["categories"] = flag_loss(heads.categories, targets.categories, targets.own_weight)
    total = torch.stack([getattr(weights, name) * value for name, value in losses.items()]).sum()
    return {**losses, "loss": total}


def _mean(values: Tensor) -> Tensor:
    """Return the mean, or a zero that keeps the graph where nothing is known."""
    return values.sum() / max(values.numel(), 1)
