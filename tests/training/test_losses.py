import math

import pytest
import torch

from fama.errors import BadInput
from fama.selection.router.network import Heads
from fama.selection.router.segments import Features
from training.batches import outcome_weights
from training.examples import Example
from training.losses import Targets, all_losses, flag_loss, outcome_loss, token_loss
from training.population import OutcomeArrays
from training.settings import LossSettings

NAN = math.nan


def heads() -> Heads:
    return Heads(
        base=torch.tensor([0.0, 0.0]),
        utility=torch.tensor([[2.0, -1.0], [2.0, -1.0]], requires_grad=True),
        pair=torch.tensor([[-0.5], [-0.5]]),
        token_base=torch.tensor([math.log(1000.0)] * 2),
        token_utility=torch.tensor([[0.1, 0.2]] * 2),
        categories=torch.zeros(2, 3),
    )


def targets(success: list[float], weight: list[float], log_tokens: list[float]) -> Targets:
    return Targets(
        members=torch.tensor([[1.0, 1.0], [0.0, 0.0]]),
        pairs=torch.tensor([[1.0], [0.0]]),
        success=torch.tensor(success),
        log_tokens=torch.tensor(log_tokens),
        weight=torch.tensor(weight),
        coverage=torch.tensor([[1.0, 0.0], [NAN, NAN]]),
        distilled=torch.full((2, 2), NAN),
        categories=torch.tensor([[1.0, 0.0, NAN], [NAN, NAN, NAN]]),
    )


def test_outcome_likelihood_by_hand() -> None:
    """Logits: 0 + 2 − 1 − 0.5 = 0.5 with both helpers, 0 without."""
    loss = outcome_loss(heads(), targets([1.0, 0.0], [1.0, 3.0], [NAN, NAN]))
    expected = (math.log1p(math.exp(-0.5)) + 3.0 * math.log(2.0)) / 2.0
    assert loss.item() == pytest.approx(expected, rel=1e-6)


def test_unknown_outcomes_enter_no_loss() -> None:
    loss = outcome_loss(heads(), targets([1.0, NAN], [1.0, 99.0], [NAN, NAN]))
    assert loss.item() == pytest.approx(math.log1p(math.exp(-0.5)), rel=1e-6)
    nothing = outcome_loss(heads(), targets([NAN, NAN], [1.0, 1.0], [NAN, NAN]))
    assert nothing.item() == 0.0
    nothing.backward()  # type: ignore[no-untyped-call]


def test_token_loss_is_quadratic_then_linear() -> None:
    """Predicted: log 1000 + 0.3 with both helpers, log 1000 without."""
    near = token_loss(heads(), targets([NAN, NAN], [1, 1], [math.log(1000.0) + 0.1, NAN]))
    assert near.item() == pytest.approx(0.5 * 0.2**2, rel=1e-4)
    far = token_loss(heads(), targets([NAN, NAN], [1, 1], [NAN, math.log(1000.0) + 2.0]))
    assert far.item() == pytest.approx(0.5 * (2.0 - 0.25), rel=1e-4)


def test_flag_loss_ignores_unknown_flags() -> None:
    loss = flag_loss(torch.tensor([[0.0, 1.0]]), torch.tensor([[1.0, NAN]]))
    assert loss.item() == pytest.approx(math.log(2.0))


def test_weights_switch_losses_on_and_off() -> None:
    wanted = targets([1.0, 0.0], [1.0, 1.0], [8.0, 8.0])
    one = heads()
    only = all_losses(LossSettings(outcome=2.0, tokens=0.0), one, wanted, one.utility, one.utility)
    assert set(only) == {"outcome", "loss"}
    assert only["loss"].item() == pytest.approx(2.0 * only["outcome"].item())
    settings = LossSettings(outcome=1.0, tokens=0.5, coverage=0.25, distillation=1.0, categories=1.0)
    everything = all_losses(settings, one, wanted, one.utility, one.utility)
    assert set(everything) == {"outcome", "tokens", "coverage", "distillation", "categories", "loss"}
    assert everything["categories"].item() == pytest.approx(math.log(2.0))
    assert everything["distillation"].item() == 0.0
    total = sum(getattr(settings, name) * value.item() for name, value in everything.items() if name != "loss")
    assert everything["loss"].item() == pytest.approx(total)


def example(propensity: float | None, success: bool | None = True) -> Example:
    return Example("t", Features((), ()), subset=(True,), success=success, propensity=propensity)


def test_inverse_propensity_weights_by_hand() -> None:
    """1 / propensity = 2, 10 and 48: mean 20; clipped at twice the mean."""
    examples = [example(0.5), example(0.1), example(1 / 48), example(None)]
    settings = LossSettings(inverse_propensity=True, propensity_clip=2.0)
    assert outcome_weights(examples, settings) == pytest.approx([0.1, 0.5, 2.0, 1.0])
    assert outcome_weights(examples, LossSettings()) == [1.0] * 4


def test_outcomes_on_one_side_cannot_be_learnt_from() -> None:
    with pytest.raises(BadInput, match="every training row succeeded"):
        OutcomeArrays([example(0.5)] * 3, LossSettings())
    with pytest.raises(BadInput, match="no finished row"):
        OutcomeArrays([example(0.5, None)], LossSettings())
