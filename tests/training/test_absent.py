"""Parts of a state that some logs lack: routers must not learn which log they read."""

import json
import logging
import math
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from fama.cli import main
from fama.episodes.records import UNEXPLAINED, Episode, Failure
from fama.episodes.state import VisibleState, state_at
from fama.episodes.store import read_episodes
from fama.selection.router.checkpoint import load_router
from fama.selection.router.evidence import EVIDENCE_NAMES
from fama.selection.router.features import Features, PromptPart, Segment, featurise, hide
from fama.selection.router.kinds.state_vectors import RawVectors, StateVectors
from fama.selection.router.manifest import VectorShape
from fama.selection.router.router import Router
from fama.subsets import POOL
from tests.support.diagnosis_cases import agent, user
from tests.support.diagnosis_cases import episode as chat
from tests.support.labelled_tasks import labelled
from tests.support.published_logs import FAILURE_LOGS, needs_logs
from training.data.absent import balanced, filled, hidden_parts
from training.data.examples import Example, ExampleSet, failure_examples, label_weight, outcome_examples
from training.data.form import form_signs
from training.data.row_weights import to_mean_one
from training.data.splits import split_by_task
from training.data.synthetic import make_tasks, outcome_rows
from training.kinds.label_arrays import LabelArrays
from training.kinds.state_vectors import tune
from training.settings import TrainSettings
from training.train import train_on

KINDS = ("linear", "knn", "boosting", "prior")
TASKS = make_tasks(80)
NEW = make_tasks(40, seed=1)
LABELS = labelled(TASKS)
TOOLS: tuple[PromptPart, ...] = ("tools",)
LABELS_ONLY = {"outcome": 0.0, "tokens": 0.0, "coverage": 1.0, "categories": 1.0}


def train(kind: str, examples: ExampleSet, folder: Path, losses: dict[str, float] = LABELS_ONLY, **data: Any) -> Router:
    tree = {
        "kind": kind,
        "vectors": {"source": "hashed", "buckets": 512, "components": 16},
        "linear": {"strengths": [0.3], "folds": 2},
        "knn": {"neighbours": [10], "strengths": [2.0], "folds": 2},
        "boosting": {"rounds": [40], "leaves": [6], "folds": 2, "least": 10},
        "prior": {"folds": 2},
        "losses": losses,
        "data": data,
    }
    assert train_on(TrainSettings.model_validate(tree), examples, folder) is not None
    return load_router(folder)


def two_forms(examples: ExampleSet) -> ExampleSet:
    """Logs of two forms: those of failures with IFU have lost their tools."""
    ifu = 3
    lost = [
        replace(e, features=hide(e.features, TOOLS)) if e.categories and e.categories[ifu] else e
        for e in examples.examples
    ]
    return replace(examples, examples=tuple(lost))


def pairs(tasks: Sequence[Any]) -> list[tuple[Features, Features]]:
    """Every state with its tools, and without."""
    return [(featurise(task.state), featurise(replace(task.state, tools=()))) for task in tasks]


def test_a_lacking_part_is_unknown_and_hiding_makes_a_state_lack_it() -> None:
    state = featurise(TASKS[0].state)
    assert state.lacking == frozenset() and hide(state, ()) is state
    bare = featurise(replace(TASKS[0].state, tools=()))

    assert bare.lacking == {"tools"} and hide(state, TOOLS) == bare and hide(bare, TOOLS) is bare
    unknown = {name for name, value in zip(EVIDENCE_NAMES, bare.known_evidence(), strict=True) if math.isnan(value)}
    assert unknown == {"tools", "tool_parameters"}
    assert featurise(VisibleState("", (), ())).lacking == {"policy", "tools"}


@pytest.mark.parametrize("kind", KINDS)
def test_logs_of_two_forms_train_a_router_that_does_not_see_the_form(
    kind: str, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.WARNING, logger="training.train"):
        router = train(kind, two_forms(LABELS), tmp_path)
    assert router.manifest.hidden == ("tools",)
    assert "some states lack their tools: the router will not read tools" in caplog.text
    assert "having tools" not in caplog.text  # it no longer can tell
    for with_tools, without in pairs(NEW):
        assert router.choose(with_tools).members == router.choose(without).members
        assert np.array_equal(router.categories(with_tools), router.categories(without))


@pytest.mark.parametrize("kind", ("linear", "knn", "boosting"))
def test_a_router_that_knows_the_domain_fills_in_what_a_state_lacks(kind: str, tmp_path: Path) -> None:
    router = train(kind, LABELS, tmp_path)
    assert router.manifest.hidden == ()
    for task in NEW:
        whole, bare, lawless = (
            featurise(state) for state in (task.state, replace(task.state, tools=()), replace(task.state, policy=""))
        )
        assert router.choose(whole).members == router.choose(bare).members == router.choose(lawless).members


def test_a_strange_domain_counts_as_average(tmp_path: Path) -> None:
    """Neither its policy nor its tools are known: with all of it gone, text and evidence of the frame are at 0."""
    router = train("linear", LABELS, tmp_path)
    arrays = {name: np.asarray(value) for name, value in _arrays(tmp_path).items()}
    vectors = StateVectors(RawVectors(VectorShape(source="hashed", buckets=512), None, ()), arrays)
    state = replace(TASKS[0].state, policy="Zebras only. Quite another company with other words.", tools=())
    raw = vectors.raw(featurise(state))
    assert np.isnan(raw[512:]).all() and not np.isnan(raw[:512]).any()
    centred = np.where(np.isnan(raw), 0.0, raw - arrays["text_mean"])
    wanted = arrays["text_components"] @ centred / arrays["text_scale"]
    found = vectors(featurise(state))
    assert found[: len(wanted)] == pytest.approx(wanted)
    assert found[len(wanted) + EVIDENCE_NAMES.index("tools")] == 0.0
    assert router.choose(featurise(state)).members is not None


def _arrays(folder: Path) -> dict[str, Any]:
    from safetensors.numpy import load_file

    return load_file(folder / "heads.safetensors")


def test_balance_reads_all_parts_and_shows_every_state_with_and_without(tmp_path: Path) -> None:
    router = train("linear", two_forms(LABELS), tmp_path, absent="balance")
    assert router.manifest.hidden == ()
    one = LABELS.examples[0]
    versions = balanced([one])
    assert [sorted(v.features.lacking) for v in versions] == [[], ["policy"], ["tools"]]
    assert sum(v.weight for v in versions) == pytest.approx(one.weight)
    assert hidden_parts(two_forms(LABELS).examples, "balance") == ()
    split = split_by_task(two_forms(LABELS).examples, 0.25, 0)
    counts = f"| labelled failures | {len(split.train)} | {len(split.validation)} |"
    assert counts in (tmp_path / "README.md").read_text()  # the versions of a state are no further failures


def test_whole_states_hide_nothing_and_count_as_they_are(tmp_path: Path) -> None:
    data = outcome_examples(outcome_rows(TASKS), POOL)
    router = train("linear", data, tmp_path, losses={"outcome": 1.0, "tokens": 0.3})
    assert router.manifest.hidden == ()
    states = [featurise(task.state) for task in TASKS]
    assert all(state.known_evidence() == state.evidence for state in states)
    trained_on = {e.features for e in split_by_task(data.examples, 0.25, 0).train}
    mean = np.mean([state.evidence for state in states if state in trained_on], axis=0)
    assert _arrays(tmp_path)["evidence_mean"] == pytest.approx(mean, abs=1e-6)
    assert json.loads((tmp_path / "router.json").read_text())["hidden"] == []


def test_unknown_entries_are_filled_with_the_mean_of_known_ones() -> None:
    rows = np.array([[1.0, math.nan, math.nan], [3.0, 5.0, math.nan]])
    assert filled(rows).tolist() == [[1.0, 5.0, 0.0], [3.0, 5.0, 0.0]]


# form


def example(task: int, tools: bool, ifu: bool, domain: str = "d") -> Example:
    segments = (Segment("policy", "Be kind."), Segment("user", "hello"), *((Segment("tool", "t"),) if tools else ()))
    return Example(f"t{task}", Features(segments, (0.0,) * len(EVIDENCE_NAMES)), categories=(ifu, False), domain=domain)


def test_a_feature_of_form_that_predicts_a_label_is_named() -> None:
    signs = form_signs([example(i, i % 2 == 0, i % 2 == 0 or i % 6 == 1) for i in range(60)], ("IFU", "CM"), ())
    assert [(sign.feature, sign.label, sign.domain) for sign in signs] == [("having tools", "category IFU", "d")]
    assert signs[0].with_it == 1.0 and signs[0].without_it == pytest.approx(1 / 3)
    assert "having tools predicts category IFU in d: 100% of the tasks' states with it, 33% without" in str(signs[0])


def test_form_is_compared_within_a_domain_and_over_tasks() -> None:
    domains = [example(i, i < 30, i < 30, "a" if i < 30 else "b") for i in range(60)]
    assert form_signs(domains, ("IFU", "CM"), ()) == ()  # a domain has its tools and its failures
    one_task = [example(i % 2, i % 2 == 0, i % 2 == 0) for i in range(60)]
    assert form_signs(one_task, ("IFU", "CM"), ()) == ()


def test_form_that_says_nothing_is_rarely_accused() -> None:
    rng = np.random.default_rng(0)
    accused = 0
    for _ in range(100):
        flags = rng.random((60, 2)) < 0.5
        accused += bool(form_signs([example(i, bool(a), bool(b)) for i, (a, b) in enumerate(flags)], ("IFU", "CM"), ()))
    assert accused <= 4  # level 1 % over all signs and labels


# labels


def label(confidence: float | None, episode: str = "e", rationale: str = "") -> Failure:
    return Failure(
        episode_id=episode,
        task_id=episode,
        primary=("DCV",),
        labeller="x",
        taxonomy_version="v",
        confidence=confidence,
        rationale=rationale,
    )


def failed(*names: str) -> list[Episode]:
    return [chat(user("hi"), agent("Hello"), name=name) for name in names]


def test_confidence_is_a_weight_of_mean_one() -> None:
    assert [label_weight(label(value)) for value in (None, 0.5, 0.1, 0.0)] == [1.0, 0.5, 0.1, 0.1]
    weighed = to_mean_one([replace(LABELS.examples[0], weight=w) for w in (0.2, 0.4, 0.6)])
    assert [e.weight for e in weighed] == pytest.approx([0.5, 1.0, 1.5])
    assert to_mean_one([]) == ()


def test_unexplained_failures_are_left_out_and_counted_unless_asked_for() -> None:
    run, labels = failed("a", "b"), [label(0.1, "a", UNEXPLAINED), label(0.8, "b", "It forgot.")]
    left = failure_examples(labels, run, {"DCE": frozenset({"DCV"})}, ("DCV",), unexplained=False, confidence=True)
    assert [e.weight for e in left.examples] == [0.8]
    assert left.left_out == {"unexplained failures (data.unexplained=true learns from them)": 1}
    both = failure_examples(labels, run, {"DCE": frozenset({"DCV"})}, ("DCV",), confidence=True)
    assert [e.weight for e in both.examples] == [0.1, 0.8] and not both.left_out


def test_rates_of_labels_are_weighted_by_hand() -> None:
    """(0.25 · 1 + 0.75 · 0 + ½) / (1 + 1)."""
    data = LabelArrays(
        [
            replace(LABELS.examples[0], categories=(True,), coverage=(), weight=0.25),
            replace(LABELS.examples[0], categories=(False,), coverage=(), weight=0.75),
        ]
    )
    assert data.rates().tolist() == [0.375]


def test_a_setting_is_chosen_by_the_weighted_loss() -> None:
    """Option 0 errs on the doubtful rows, option 1 on the sure ones."""
    targets, weights = np.array([0.0, 1.0] * 10), np.array([0.1, 1.9] * 10)
    chosen, losses = tune(
        (0, 1),
        lambda option, train: np.full(int((~train).sum()), float(option == 0)),
        targets,
        [f"t{i // 2}" for i in range(20)],
        2,
        0,
        loss=lambda predicted, target: np.abs(predicted - target),
        weights=weights,
    )
    assert chosen == 0 and losses == {"0": pytest.approx(0.05), "1": pytest.approx(0.95)}


@pytest.mark.parametrize("kind", KINDS)
def test_doubtful_labels_move_a_router_less(kind: str, tmp_path: Path) -> None:
    """Half of the labels are turned round: stated without confidence they hardly count, in full they do."""
    turned = tuple(
        replace(e, categories=tuple(not flag for flag in e.categories or ()), weight=weight)
        for e, weight in zip(LABELS.examples[::2], [0.01] * len(LABELS.examples), strict=False)
    )
    kept = LABELS.examples[1::2]
    doubtful = replace(LABELS, examples=to_mean_one((*kept, *turned)))
    sure = replace(LABELS, examples=(*kept, *(replace(e, weight=1.0) for e in turned)))
    truth = replace(LABELS, examples=kept)
    routers = [train(kind, data, tmp_path / str(i)) for i, data in enumerate((truth, doubtful, sure))]
    wanted, near, far = (np.array([r.categories(featurise(task.state)) for task in NEW]) for r in routers)
    share = 0.9 if kind == "boosting" else 0.5  # trees count a leaf's rows, whatever they weigh
    assert np.abs(near - wanted).mean() < share * np.abs(far - wanted).mean()


# real logs


@needs_logs
def test_selections_on_real_logs_hardly_change_when_tools_are_attached(tmp_path: Path) -> None:
    """Twelve logs of one 4-billion-parameter model on τ-bench, some with their tools and some without."""
    logs = sorted(map(str, FAILURE_LOGS.rglob("qwen3-4b*")))
    assert len(logs) == 12
    run(["import", "auto", *logs, "--strip-user-thinking", "--out", str(tmp_path / "all")])
    run(["diagnose", str(tmp_path / "all"), "--out", str(tmp_path / "labels")])
    source = {"failures": str(tmp_path / "labels/failures.jsonl"), "episodes": str(tmp_path / "all")}
    overrides = [f"data.failures={json.dumps([source])}", *(f"losses.{n}={w}" for n, w in LABELS_ONLY.items())]
    run(["train", "--out", str(tmp_path / "router"), "kind=linear", *overrides])
    episodes = list(read_episodes(tmp_path / "all"))
    tools = next(e.tools for e in episodes if e.tools)
    router = load_router(tmp_path / "router")
    bare = [e for e in episodes if not e.tools and e.domain == "airline"]
    assert len(bare) == 271
    equal = [
        router.choose(featurise(one)).members == router.choose(featurise(replace(one, tools=tools))).members
        for one in (state_at(e, turn) for e in bare for turn in range(decisions(e)))
    ]
    assert np.mean(equal) >= 0.95


def decisions(episode: Episode) -> int:
    return sum(message.role == "assistant" for message in episode.messages)


def run(arguments: list[str]) -> None:
    assert main(arguments) == 0
