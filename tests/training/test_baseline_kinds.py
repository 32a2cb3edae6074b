"""Every kind without a network, trained on outcomes, on labels and on both: stored, loaded, refused when damaged."""

import json
import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from fama.errors import BadInput
from fama.helpers.pool import build_pool
from fama.selection.base import SelectorContext
from fama.selection.decision_rule import all_masks
from fama.selection.router.checkpoint import load_router
from fama.selection.router.features import Segment, featurise
from fama.selection.router.router import Router
from fama.selection.router.scores import sigmoid
from fama.selection.selectors.learned import build
from fama.settings import HelperSettings
from fama.subsets import POOL
from tests.support.asking import choose_now
from tests.support.labelled_tasks import labelled
from training.data.examples import ExampleSet, outcome_examples
from training.data.splits import split_by_task
from training.data.synthetic import make_tasks, outcome_rows
from training.settings import TrainSettings
from training.train import train_on

KINDS = ("linear", "knn", "boosting", "prior")
TASKS = make_tasks(80)
OUTCOMES = outcome_examples(outcome_rows(TASKS), POOL)
LABELS = labelled(TASKS)
STATES = [featurise(task.state) for task in make_tasks(40, seed=1)]
CONTEXT = SelectorContext(helpers=build_pool(HelperSettings()))
LABELS_ONLY = {"outcome": 0.0, "tokens": 0.0, "coverage": 1.0}


def trained(kind: str, examples: ExampleSet, folder: Path, **groups: Any) -> Router:
    tree = {
        "kind": kind,
        "vectors": {"source": "hashed", "buckets": 512, "components": 16},
        "linear": {"strengths": [0.1, 0.3], "folds": 2},
        "knn": {"neighbours": [10, 25], "strengths": [2.0], "folds": 2},
        "boosting": {"rounds": [0, 40], "folds": 2, "least": 10},
        "prior": {"folds": 2},
    }
    assert train_on(TrainSettings.model_validate({**tree, **groups}), examples, folder) is not None
    return load_router(folder)


@pytest.fixture(scope="module")
def both(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Router]:
    """A router of every kind, trained on outcomes and labels together."""
    folder = tmp_path_factory.mktemp("kinds")
    return {kind: trained(kind, OUTCOMES + LABELS, folder / kind, losses={"coverage": 1.0}) for kind in KINDS}


@pytest.mark.parametrize("kind", KINDS)
def test_a_stored_router_says_the_same_again(kind: str, both: dict[str, Router]) -> None:
    router, again = both[kind], load_router(both[kind].folder)
    assert router.labels is not None and again.labels is not None
    masks = all_masks(len(POOL))
    for state in STATES[:5]:
        one, two = (r.predictor.scores(state)(masks) for r in (router, again))
        assert np.array_equal(one.logit, two.logit) and np.array_equal(one.log_tokens, two.log_tokens)
        assert np.isfinite(one.logit).all() and np.isfinite(one.log_tokens).all()
        chances = router.labels.categories(state)
        assert np.array_equal(chances, again.labels.categories(state))
        assert chances.shape == (4,) and ((chances > 0) & (chances < 1)).all()


@pytest.mark.parametrize("kind", KINDS)
def test_the_selector_goes_by_the_kinds_name(kind: str, both: dict[str, Router]) -> None:
    selector = build(CONTEXT, checkpoint=both[kind].folder)
    assert (selector.name, selector.track) == (kind, "prospective")
    task = make_tasks(1, seed=3)[0]
    for tokens in (None, 0):
        one = choose_now(selector, task.state, tokens)
        assert set(one.probabilities) == set(POOL) and all(0 <= p <= 1 for p in one.probabilities.values())
        assert tokens is None or one.subset == ()


@pytest.mark.parametrize("kind", ["linear", "boosting", "knn"])
def test_labels_alone_find_what_is_needed(kind: str, tmp_path: Path) -> None:
    """On SYNTHETIC labels the category heads beat the rates of the training tasks, in log loss on other tasks."""
    router = trained(kind, labelled(make_tasks(400)), tmp_path, losses=LABELS_ONLY)
    test = labelled(make_tasks(200, seed=1)).examples
    truth = np.array([example.categories for example in test], dtype=float)
    assert router.labels is not None
    chances = np.array([router.labels.categories(example.features) for example in test])
    rates = np.array([example.categories for example in labelled(make_tasks(400)).examples]).mean(axis=0)

    def loss(p: Any) -> float:
        return float(-(truth * np.log(p) + (1 - truth) * np.log(1 - p)).mean())

    assert loss(chances) < 0.9 * loss(np.tile(rates, (len(test), 1)))
    assert len({router.choose(example.features).members for example in test}) > 3


def test_the_prior_reads_the_domain_and_no_conversation(tmp_path: Path) -> None:
    frame = (Segment("policy", "Another policy."), Segment("tool", "another tool"))
    other = tuple(
        replace(e, task=f"o{e.task}", features=replace(e.features, segments=frame), success=not e.success)
        for e in OUTCOMES.examples
    )
    router = trained("prior", replace(OUTCOMES, examples=OUTCOMES.examples + other), tmp_path)
    masks = all_masks(len(POOL))
    one, two = (router.predictor.scores(state)(masks).logit for state in STATES[:2])
    assert np.array_equal(one, two)
    there = router.predictor.scores(replace(STATES[0], segments=frame))(masks).logit
    unknown = router.predictor.scores(replace(STATES[0], segments=()))(masks).logit
    middle = (sigmoid(one) + sigmoid(there)) / 2
    assert np.abs(sigmoid(one) - sigmoid(there)).max() > 0.2
    assert np.abs(sigmoid(unknown) - middle).max() < 0.1
    rows = np.array([e.subset for e in OUTCOMES.examples])
    rate = np.mean([bool(e.success) for e in OUTCOMES.examples])
    assert sigmoid(router.predictor.scores(STATES[0])(rows).logit).mean() == pytest.approx(rate, abs=0.08)


@pytest.mark.filterwarnings("error::RuntimeWarning")
@pytest.mark.parametrize("kind", ["linear", "knn", "boosting", "prior", "one_vs_rest", "encoder"])
def test_labels_that_no_training_task_has_are_refused_in_one_line(kind: str, tmp_path: Path) -> None:
    """All that were labelled are blamed on the user, say, or lie in validation."""
    config = TrainSettings.model_validate({"kind": kind, "losses": {"coverage": 1.0, "categories": 0.5}})
    with pytest.raises(BadInput, match=r"^data\.failures: no training task has a labelled failure") as caught:
        train_on(config, outcome_examples(outcome_rows(make_tasks(12)), POOL), tmp_path)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("kind", KINDS)
def test_a_single_training_state_is_learned_from_without_a_warning(kind: str, tmp_path: Path) -> None:
    two = [
        replace(one, success=n % 2 == 0)
        for n, one in enumerate(outcome_examples(outcome_rows(TASKS[:2]), POOL).examples)
    ]
    router = trained(kind, ExampleSet(tuple(two), POOL), tmp_path)
    assert all(0 < one < 1 for state in STATES[:3] for one in router.choose(state).probabilities)


def test_tokens_that_one_task_alone_tells_are_learned_without_a_fold(tmp_path: Path) -> None:
    """A fold without a known cost ended in an error of LightGBM."""
    validated = {example.task for example in split_by_task(OUTCOMES.examples, 0.25, 0).validation}
    told = next(example.task for example in OUTCOMES.examples if example.task not in validated)
    rows = [replace(e, tokens=e.tokens if e.task == told else None) for e in OUTCOMES.examples]
    rows += [one for one in rows if one.task == told] * 10
    router = trained("boosting", ExampleSet(tuple(rows), POOL), tmp_path)
    assert np.isfinite(router.scores(STATES[0])(all_masks(len(POOL))).tokens).all()


def test_no_trees_are_the_population(tmp_path: Path) -> None:
    plain = trained("boosting", OUTCOMES, tmp_path / "none", boosting={"rounds": [0], "folds": 2})
    masks = all_masks(len(POOL))
    one, two = (plain.predictor.scores(state)(masks).logit for state in STATES[:2])
    assert np.array_equal(one, two)
    assert json.loads((tmp_path / "none" / "trees.json").read_text()).keys() <= {"tokens"}


def cut(folder: Path) -> None:
    path = folder / "trees.json"
    path.write_bytes(path.read_bytes()[:-50])


def rewritten(folder: Path, text: str) -> None:
    """Trees that fit their hash and are broken all the same."""
    import hashlib

    path, manifest = folder / "trees.json", folder / "router.json"
    path.write_text(text)
    tree = json.loads(manifest.read_text())
    data = text.encode()
    tree["files"]["trees.json"] = {"size": len(data), "sha256": hashlib.sha256(data).hexdigest()}
    manifest.write_text(json.dumps(tree))


@pytest.mark.parametrize(
    ("damage", "words"),
    [
        (cut, "truncated"),
        (lambda folder: (folder / "trees.json").unlink(), "trees.json: missing"),
        (lambda folder: rewritten(folder, "{"), "not JSON"),
        (lambda folder: rewritten(folder, "[]"), "holds no models by name"),
        (lambda folder: rewritten(folder, '{"success": "tree\\nversion=v4"}'), "no whole LightGBM model"),
    ],
    ids=["truncated", "missing", "not json", "a list", "half a model"],
)
def test_damaged_trees_are_refused_in_one_line(
    damage: Any, words: str, both: dict[str, Router], tmp_path: Path
) -> None:
    folder = tmp_path / "copy"
    shutil.copytree(both["boosting"].folder, folder)
    damage(folder)
    with pytest.raises(BadInput, match=words) as caught:
        load_router(folder)
    assert "\n" not in str(caught.value)


def test_a_retrospective_router_cannot_choose_before_a_decision(tmp_path: Path) -> None:
    trained("linear", LABELS, tmp_path, losses=LABELS_ONLY, data={"view": "retrospective"})
    with pytest.raises(BadInput, match="trained on whole failed episodes"):
        build(CONTEXT, checkpoint=tmp_path)
