import math

import numpy as np
import pytest
import torch

from fama.errors import BadInput
from fama.selection.decision_rule import Objective, decide, subsets_to_choose_from
from fama.selection.router.features import Features
from fama.selection.router.network import Heads
from fama.selection.router.scores import Quadratic, calibrated, pair_features
from training.data.examples import Example
from training.data.row_weights import advantages, outcome_weights
from training.kinds.context_free import OutcomeArrays
from training.network.losses import (
    Choices,
    Targets,
    all_losses,
    decision_loss,
    draw_probabilities,
    flag_loss,
    outcome_loss,
    token_loss,
)
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
        own_weight=torch.ones(len(weight)),
        coverage=torch.tensor([[1.0, 0.0], [NAN, NAN]]),
        distilled=torch.full((2, 2), NAN),
        categories=torch.tensor([[1.0, 0.0, NAN], [NAN, NAN, NAN]]),
        advantage=torch.full((2,), NAN),
        propensity=torch.ones(2),
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
    loss = flag_loss(torch.tensor([[0.0, 1.0]]), torch.tensor([[1.0, NAN]]), torch.ones(1))
    assert loss.item() == pytest.approx(math.log(2.0))


def test_flag_loss_weighs_examples_by_hand() -> None:
    """Two certain halves cost log 2 each; the one of weight 0.2 costs a fifth."""
    loss = flag_loss(torch.zeros(2, 1), torch.ones(2, 1), torch.tensor([1.0, 0.2]))
    assert loss.item() == pytest.approx(1.2 * math.log(2.0) / 2)


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


MEMBERS = torch.tensor([[0.0, 0.0], [1.0, 0.0], [0.0, 1.0], [1.0, 1.0]])
CHOICES = Choices(MEMBERS, MEMBERS[:, :1] * MEMBERS[:, 1:], Objective(softness=0.5))


def flat(utility: torch.Tensor, pair: torch.Tensor) -> Heads:
    """Heads of the same values for every row of ``MEMBERS``."""
    rows = len(MEMBERS)
    zeros = torch.zeros(rows)
    return Heads(
        zeros, utility.expand(rows, -1), pair.expand(rows, -1), zeros, torch.zeros(rows, 2), torch.zeros(rows, 3)
    )


def drawn(rewards: list[float], propensity: list[float]) -> Targets:
    """Each of the four subsets, executed once."""
    unknown = torch.full((4,), NAN)
    return Targets(
        members=MEMBERS,
        pairs=CHOICES.pairs,
        success=unknown,
        log_tokens=unknown,
        weight=torch.ones(4),
        own_weight=torch.ones(4),
        coverage=torch.full((4, 2), NAN),
        distilled=torch.full((4, 2), NAN),
        categories=torch.full((4, 3), NAN),
        advantage=torch.tensor(rewards) - sum(rewards) / 4,
        propensity=torch.tensor(propensity),
    )


def test_the_decision_loss_by_hand() -> None:
    """Equal values: each subset is drawn with 1/4, so ratios are 1, and advantages sum to zero; then one is rarer."""
    heads_at_zero = flat(torch.zeros(1, 2), torch.zeros(1, 1))
    even = decision_loss(heads_at_zero, drawn([1.0, 0.0, 0.0, 0.0], [0.25] * 4), CHOICES, 10.0)
    assert even.item() == pytest.approx(0.0, abs=1e-7)
    rare = decision_loss(heads_at_zero, drawn([1.0, 0.0, 0.0, 0.0], [0.125, 0.25, 0.25, 0.25]), CHOICES, 10.0)
    assert rare.item() == pytest.approx(-(2.0 * 0.75 - 3 * 0.25) / 4)
    clipped = decision_loss(heads_at_zero, drawn([1.0, 0.0, 0.0, 0.0], [0.125, 0.25, 0.25, 0.25]), CHOICES, 1.5)
    assert clipped.item() == pytest.approx(-(1.5 * 0.75 - 3 * 0.25) / 4)


def test_a_row_of_unknown_propensity_enters_no_decision_loss() -> None:
    """It counted as drawn for certain: a budget that cuts a subset leaves such rows."""
    heads_at_zero = flat(torch.zeros(1, 2), torch.zeros(1, 1))
    some = decision_loss(heads_at_zero, drawn([1.0, 0.0, 0.0, 0.0], [0.125, NAN, NAN, NAN]), CHOICES, 10.0)
    assert some.item() == pytest.approx(-(2.0 * 0.75))


@pytest.mark.parametrize("best", [0, 1, 2, 3])
def test_the_decision_loss_finds_the_best_subset(best: int) -> None:
    """Helpers that help alone and hurt together are what pair terms are for."""
    utility, pair = torch.zeros(1, 2, requires_grad=True), torch.zeros(1, 1, requires_grad=True)
    optimiser = torch.optim.Adam([utility, pair], lr=0.1)
    targets = drawn([1.0 if subset == best else 0.2 for subset in range(4)], [0.1, 0.4, 0.3, 0.2])
    for _ in range(150):
        optimiser.zero_grad()
        decision_loss(flat(utility, pair), targets, CHOICES, 10.0).backward()  # type: ignore[no-untyped-call]
        optimiser.step()
    logits = MEMBERS @ utility[0] + (CHOICES.pairs * pair).sum(-1)
    assert int(logits.argmax()) == best


def test_advantages_are_against_the_state_s_own_mean() -> None:
    here, there = Features((), (0.0,)), Features((), (1.0,))
    rows = [
        Example("a", here, (True, False), True, 2000.0, 0.5),
        Example("a", here, (False, False), False, 1000.0, 0.5),
        Example("b", there, (True, True), True, 1000.0, 0.5),
        Example("c", here),
    ]
    found = advantages(rows, lam=0.1)
    assert found == {id(rows[0]): pytest.approx(0.45), id(rows[1]): pytest.approx(-0.45)}


def test_advantages_of_shares_are_against_the_weighted_mean() -> None:
    """Nine of ten with the helper, one of ten without: the mean is a half, and a rare success stands out."""
    here = Features((), (0.0,))
    rows = [
        Example("a", here, subset, success, 1000.0, weight=weight)
        for subset, share in (((True, False), 0.9), ((False, False), 0.2))
        for success, weight in ((True, share), (False, 1.0 - share))
    ]
    found = advantages(rows, lam=0.0)
    assert [found[id(row)] for row in rows] == pytest.approx([0.45, -0.55, 0.45, -0.55])
    assert sum(found[id(row)] * row.weight for row in rows) == pytest.approx(0.0)


def test_decision_and_token_losses_count_rows_by_weight() -> None:
    """Ratios are 1 and the advantage falls on the first row, with a third of its weight; log tokens are 0.1 off."""
    some = drawn([1.0, 0.0, 0.0, 0.0], [0.25] * 4)
    weighted = some._replace(own_weight=torch.tensor([1.0 / 3.0, 1.0, 1.0, 1.0]))
    heads_at_zero = flat(torch.zeros(1, 2), torch.zeros(1, 1))
    found = decision_loss(heads_at_zero, weighted, CHOICES, 10.0)
    assert float(found) == pytest.approx(-(0.75 / 3.0 - 0.75) / 4.0)
    near = targets([NAN, NAN], [1, 1], [math.log(1000.0) + 0.1, NAN])._replace(own_weight=torch.tensor([0.5, 1.0]))
    expected = 0.5 * token_loss(heads(), targets([NAN, NAN], [1, 1], [math.log(1000.0) + 0.1, NAN]))
    assert float(token_loss(heads(), near)) == pytest.approx(float(expected)) and float(expected) > 0.0


@pytest.mark.parametrize("lam", [0.0, 0.02, 0.3])
@pytest.mark.parametrize("seed", range(5))
def test_as_softness_goes_to_zero_the_decision_rule_is_left(seed: int, lam: float) -> None:
    generator = torch.Generator().manual_seed(seed)
    base, utility, pair = (torch.randn(1, n, generator=generator, dtype=torch.float64) for n in (1, 3, 3))
    spent = torch.rand(1, 4, generator=generator, dtype=torch.float64)
    masks = subsets_to_choose_from(3)
    members = torch.from_numpy(masks.astype(np.float64))
    pairs = torch.from_numpy(pair_features(masks.astype(np.float64)))
    heads = Heads(base[:, 0], utility, pair, 8.0 + spent[:, 0], spent[:, 1:], torch.zeros(1, 0))
    drawn = draw_probabilities(heads, Choices(members, pairs, Objective(lam, softness=1e-6)))[0]
    quadratic = Quadratic(
        float(base), utility[0].numpy(), pair[0].numpy(), 8.0 + float(spent[0, 0]), spent[0, 1:].numpy()
    )
    chosen = decide(calibrated(quadratic, 1.0), 3, Objective(lam)).members
    assert drawn.max() > 0.999 and tuple(masks[int(drawn.argmax())]) == chosen
