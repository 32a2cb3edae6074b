"""Kinds that classify helpers one by one: their labels, their words, their decision, their checkpoints."""

import importlib.util
import json
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from safetensors.numpy import load_file, save

from fama.errors import BadInput
from fama.selection.base import Allowance
from fama.selection.decision_rule import Objective, decide
from fama.selection.router.checkpoint import load_router
from fama.selection.router.evidence import EVIDENCE_NAMES
from fama.selection.router.features import Features, PromptPart, Segment, hide, state_text
from fama.selection.router.kinds.label_heads import ThresholdPredictor
from fama.selection.router.kinds.one_vs_rest import Tfidf
from fama.selection.router.router import Router
from fama.selection.router.scores import calibrated
from fama.subsets import POOL
from tests.support.hostile_checkpoints import reseal
from tests.support.tiny_encoder import write_tiny_encoder
from training.data.examples import Example, ExampleSet
from training.kinds.helper_labels import best_subset, one_vs_rest
from training.kinds.setfit import check_setfit
from training.settings import TrainSettings
from training.train import train_on

#: What the user says, and the helpers that then solve the task.
WORDS = {
    "May I bend the rule about returns": (True, False, False, False, False, False),
    "My earlier wish no longer holds": (False, False, False, False, False, True),
    "Many orders look alike in that long table": (False, False, True, False, False, False),
    "Bend the rule and drop my earlier wish": (True, False, False, False, False, True),
    "Show me the opening hours": (False,) * 6,
}
NONE = (False,) * 6
FILLER = ("please", "today", "thanks a lot", "as soon as you can")


def state(words: str, number: int) -> Features:
    told = f"{words}, {FILLER[number % 4]}, reference {number}."
    segments = (Segment("policy", "Be kind."), Segment("tool", "get_order: An order."), Segment("user", told))
    return Features(segments, (0.0,) * len(EVIDENCE_NAMES))


def outcomes(count: int, start: int = 0) -> ExampleSet:
    """Rows of every state with no, the right and all helpers: the right ones succeed, where all do they cost more."""
    rows = []
    for number in range(start, start + count):
        words, best = list(WORDS.items())[number % len(WORDS)]
        features = state(words, number)
        for subset, tokens in ((NONE, 100.0), (best, 120.0), ((True,) * 6, 300.0)):
            won = all(member or not wanted for member, wanted in zip(subset, best, strict=True))
            rows.append(Example(f"t{number}", features, subset=subset, success=won, tokens=tokens))
    return ExampleSet(tuple(rows), POOL, synthetic=True)


def failures(count: int, start: int = 0) -> ExampleSet:
    """Labelled failures of the same states; the category goes with the words."""
    found = []
    for number in range(start, start + count):
        place = number % len(WORDS)
        words, best = list(WORDS.items())[place]
        flags = tuple(place == code for code in range(4))
        found.append(Example(f"t{number}", state(words, number), coverage=best, categories=flags))
    return ExampleSet(tuple(found), POOL, synthetic=True)


def trained(kind: str, data: ExampleSet, folder: Path, **groups: Any) -> Router:
    small: dict[str, Any] = {"kind": kind, "options": {"strengths": [100.0], "folds": 2}}
    if kind == "setfit":
        small["encoder"] = {"name": str(write_tiny_encoder(folder / "encoder")), "window": 48}
        small["options"] |= {"steps": 0, "strengths": [1000.0]}
    small["options"] |= groups.pop("options", {})
    assert train_on(TrainSettings.model_validate({**small, **groups}), data, folder / "router") is not None
    return load_router(folder / "router")


def chosen(router: Router, states: Sequence[Features]) -> list[tuple[bool, ...]]:
    return [router.choose(one).members for one in states]


# labels


def row(subset: str, success: bool, tokens: float | None = 100.0) -> Example:
    flags = tuple(name in subset for name in "ABC")
    return Example("t", state("x", 0), subset=flags, success=success, tokens=tokens)


@pytest.mark.parametrize(
    ("rows", "best"),
    [
        ([row("", False), row("A", True, 900.0), row("B", False, 10.0)], "A"),
        ([row("", True, 50.0), row("A", True, 60.0)], ""),
        ([row("A", True, 60.0), row("BC", True, 50.0)], "BC"),
        ([row("BC", True, 50.0), row("A", True, 50.0)], "A"),
        ([row("A", True, None), row("BC", True, 50.0)], "BC"),
        ([row("A", True, None), row("BC", True, None)], "A"),
        ([row("A", False, 5.0), row("B", False, 1.0)], ""),
        ([row("A", True), row("A", False), row("B", True, 500.0)], "B"),
        ([row("A", True)], None),
        ([row("A", True), row("A", False)], None),
        ([], None),
    ],
    ids=[
        "success is first",
        "none is best",
        "then tokens",
        "then fewer helpers",
        "unknown tokens are last",
        "no tokens known",
        "nothing succeeded",
        "mean of repeated runs",
        "one subset was run",
        "one subset was run twice",
        "nothing was run",
    ],
)
def test_the_best_executed_subset(rows: list[Example], best: str | None) -> None:
    wanted = None if best is None else tuple(name in best for name in "ABC")
    assert best_subset(rows) == best_subset(rows[::-1]) == wanted


def test_a_label_that_never_changes_keeps_its_rate() -> None:
    design = np.random.default_rng(0).normal(size=(20, 3))
    flags = np.stack([design[:, 0] > 0, np.zeros(20), np.ones(20)], axis=1).astype(float)
    heads = one_vs_rest(design, flags, np.ones(20), 10.0)
    assert ((design @ heads[0, 1:] + heads[0, 0] > 0) == (flags[:, 0] > 0)).all()
    assert not heads[1:, 1:].any() and heads[1, 0] < -3 and heads[2, 0] > 3


def test_weights_count_as_rows() -> None:
    design = np.random.default_rng(1).normal(size=(30, 2))
    flags = (design[:, :1] + np.random.default_rng(2).normal(size=(30, 1)) > 0).astype(float)
    twice = np.concatenate([design, design[:10]]), np.concatenate([flags, flags[:10]])
    weighted = one_vs_rest(design, flags, np.where(np.arange(30) < 10, 2.0, 1.0), 1.0)
    assert weighted == pytest.approx(one_vs_rest(*twice, np.ones(40), 1.0), abs=1e-3)


# the decision

CHANCES = st.lists(st.sampled_from([-60.0, -3.0, -1e-6, 0.0, 1e-6, 0.01, 4.0, 60.0]), min_size=1, max_size=14)


@given(CHANCES, st.sampled_from([0.0, 0.005, 0.02]), st.sampled_from([0.0, 0.005, 5.0]))
@settings(max_examples=60, deadline=None)
def test_exactly_the_helpers_of_one_half_or_more(logits: list[float], epsilon: float, lam: float) -> None:
    scores = ThresholdPredictor(lambda _: np.array(logits), 0).scores(state("x", 0))
    choice = decide(calibrated(scores, 1.0), len(logits), Objective(lam, epsilon))
    assert choice.members == tuple(value >= 0 for value in logits)


def test_under_a_budget_the_likelier_helpers_stay() -> None:
    scores = ThresholdPredictor(lambda _: np.array([1.0, 3.0, -2.0, 2.0]), 0).scores(state("x", 0))
    found = [decide(calibrated(scores, 1.0), 4, Objective(), [10] * 4, tokens).members for tokens in (0, 10, 29, 99)]
    none, first, two, every = found
    assert not any(none) and first == (False, True, False, False)
    assert two == (False, True, False, True) and every == (True, True, False, True)


# words


def test_words_weigh_as_in_scikit_learn() -> None:
    from sklearn.feature_extraction.text import TfidfVectorizer

    learned = [state_text(state(words, number)) for number, words in enumerate(WORDS)] + ["Größe 42, naïve I/O a b"]
    texts = [*learned, "", "nothing known", "RULE rule Rule bend the rule", "x" * 50, "naïve größe\n42 naïve größe"]
    for ngrams in (1, 2):
        words = TfidfVectorizer(ngram_range=(1, ngrams)).fit(learned)
        ours = Tfidf(words.get_feature_names_out().tolist(), words.idf_, ngrams)
        assert np.abs(np.array([ours(text) for text in texts]) - words.transform(texts).toarray()).max() < 1e-6


def test_the_text_of_a_state_is_newest_first_and_lacks_what_is_hidden() -> None:
    hidden: tuple[PromptPart, ...] = ("policy",)
    segments = (Segment("policy", "P"), Segment("user", "old", 1), Segment("assistant", "new"))
    features = Features(segments, (0.0,) * len(EVIDENCE_NAMES))
    assert state_text(features) == "assistant: new\nuser: old\npolicy: P"
    assert state_text(hide(features, hidden)) == "assistant: new\nuser: old"


# the kinds


UNSEEN = [state(words, 100 + number) for number, words in enumerate(WORDS)]


@pytest.mark.parametrize("kind", ["one_vs_rest", "setfit"])
def test_the_text_decides_which_helpers(kind: str, tmp_path: Path) -> None:
    """Learned from executed subsets and from labelled failures, it finds the helpers of states that it has not seen."""
    router = trained(kind, outcomes(40) + failures(40, 40), tmp_path, losses={"coverage": 1.0})
    assert chosen(router, UNSEEN) == list(WORDS.values())
    assert [router.categories(one).argmax() for one in UNSEEN[:4]] == [0, 1, 2, 3]


def test_either_source_alone_will_do(tmp_path: Path) -> None:
    router = trained("one_vs_rest", outcomes(40), tmp_path / "outcomes")
    assert chosen(router, UNSEEN) == list(WORDS.values()) and router.labels is None
    labels = {"outcome": 0.0, "tokens": 0.0, "coverage": 1.0}
    router = trained("one_vs_rest", failures(40), tmp_path / "labels", losses=labels)
    assert chosen(router, UNSEEN) == list(WORDS.values())
    assert [router.categories(one).argmax() for one in UNSEEN[:4]] == [0, 1, 2, 3]


@pytest.mark.parametrize("kind", ["one_vs_rest", "setfit"])
def test_a_stored_router_chooses_the_same_and_predicts_no_success(kind: str, tmp_path: Path) -> None:
    data = outcomes(20) + failures(20, 20)
    router = trained(kind, data, tmp_path, losses={"coverage": 1.0})
    again = load_router(router.folder)
    for number, words in enumerate(WORDS):
        one = state(words, 200 + number)
        assert again.choose(one) == router.choose(one)
        assert np.array_equal(again.categories(one), router.categories(one))
        assert router.choose(one, Allowance(0), costs=[9] * 6).members == NONE
    card = (router.folder / "README.md").read_text()
    assert "predicts neither success nor tokens" in card and "Brier" not in card and "P(success)" not in card
    assert not (router.folder / "reliability.svg").exists() and router.manifest.calibration.rows == 0


@pytest.mark.parametrize(
    ("groups", "words"),
    [
        ({"guarantee": {"epsilon": 0.1}}, "guarantee: a one_vs_rest router predicts no success"),
        ({"losses": {"inverse_propensity": True}}, "losses.inverse_propensity: a one_vs_rest router"),
        ({"options": {"least": 500}}, "options.least: no term occurs in 500 training states"),
    ],
)
def test_what_it_cannot_do_is_said_in_one_line(groups: dict[str, Any], words: str, tmp_path: Path) -> None:
    with pytest.raises(BadInput, match=words) as caught:
        trained("one_vs_rest", outcomes(20), tmp_path, **groups)
    assert "\n" not in str(caught.value)


def test_states_without_a_comparison_teach_nothing(tmp_path: Path) -> None:
    data = outcomes(20)
    single = tuple(example for example in data.examples if example.subset == (True,) * 6)
    with pytest.raises(BadInput, match="every training row succeeded|no state has a best subset"):
        trained("one_vs_rest", ExampleSet(single, POOL), tmp_path)


# damaged checkpoints


def resealed(folder: Path, **files: bytes) -> None:
    """Write files of a checkpoint, with hashes that fit."""
    for name, data in files.items():
        (folder / name).write_bytes(data)
    reseal(folder)


def with_arrays(folder: Path, **changed: np.ndarray) -> None:
    arrays = {**load_file(folder / "heads.safetensors"), **changed}
    resealed(folder, **{"heads.safetensors": save({name: np.ascontiguousarray(v) for name, v in arrays.items()})})


@pytest.mark.parametrize("kind", ["one_vs_rest", "setfit"])
def test_damaged_checkpoints_are_refused_in_one_line(kind: str, tmp_path: Path) -> None:
    folder = trained(kind, outcomes(20), tmp_path).folder
    whole = (folder / "heads.safetensors").read_bytes(), (folder / "router.json").read_text()
    weight = load_file(folder / "heads.safetensors")["weight"]
    word = np.zeros((3, 3), dtype=np.float16)
    damages: list[tuple[Callable[[], None], str]] = [
        (lambda: with_arrays(folder, weight=np.full_like(weight, np.nan)), "weight: holds a number that is not finite"),
        (lambda: with_arrays(folder, weight=weight[:, :-1]), r"weight: has shape .* instead of"),
        (lambda: with_arrays(folder, weight=weight[:-1]), r"weight: has shape .* instead of"),
    ]
    if kind == "one_vs_rest":
        terms = json.loads((folder / "vocabulary.json").read_text())
        idf = load_file(folder / "heads.safetensors")["idf"]
        damages += [
            (lambda: resealed(folder, **{"vocabulary.json": b"{"}), "vocabulary.json: not JSON"),
            (lambda: resealed(folder, **{"vocabulary.json": b'{"a": 1}'}), "no list of terms"),
            (lambda: resealed(folder, **{"vocabulary.json": json.dumps([*terms[1:], terms[1]]).encode()}), "twice"),
            (lambda: resealed(folder, **{"vocabulary.json": json.dumps(terms[1:]).encode()}), "idf: has shape"),
            (lambda: with_arrays(folder, idf=-idf), "idf: holds a number below 1"),
            (lambda: with_arrays(folder, idf=idf * 0), "idf: holds a number below 1"),
        ]
    else:
        name = "embeddings.LayerNorm.weight"
        damages += [
            (
                lambda: with_arrays(folder, **{f"encoder.{name}": word}),
                rf"{name}: has shape \(3, 3\) instead of \(32,\)",
            ),
            (lambda: with_arrays(folder, **{"encoder.more": word}), "encoder.more: the encoder has no such weight"),
            (lambda: with_arrays(folder, **{f"encoder.{name}": word[0] / 0}), "not finite"),
            (lambda: with_arrays(folder, **{f"encoder.{name}": np.full(32, -1e9)}), f"{name}: differs by more than"),
        ]
    for damage, words in damages:
        with np.errstate(all="ignore"):
            damage()
        with pytest.raises(BadInput, match=words) as caught:
            load_router(folder)
        assert "\n" not in str(caught.value) and str(folder) in str(caught.value)
        (folder / "heads.safetensors").write_bytes(whole[0])
        (folder / "router.json").write_text(whole[1])
        if kind == "one_vs_rest":
            resealed(folder, **{"vocabulary.json": json.dumps(terms).encode()})
            (folder / "router.json").write_text(whole[1])
            resealed(folder, **{"vocabulary.json": json.dumps(terms).encode()})


def test_another_encoder_is_refused(tmp_path: Path) -> None:
    folder = trained("setfit", outcomes(20), tmp_path).folder
    write_tiny_encoder(tmp_path / "encoder", seed=1)
    with pytest.raises(BadInput, match="has other weights"):
        load_router(folder)


def test_an_encoder_that_moved_is_found_where_it_is_said_to_be(tmp_path: Path) -> None:
    router = trained("setfit", outcomes(20), tmp_path)
    (tmp_path / "encoder").rename(tmp_path / "moved")
    with pytest.raises(BadInput):
        load_router(router.folder)
    moved = load_router(router.folder, encoder=str(tmp_path / "moved"))
    assert chosen(moved, UNSEEN) == chosen(router, UNSEEN)
    write_tiny_encoder(tmp_path / "other", seed=1)
    with pytest.raises(BadInput, match="has other weights"):
        load_router(router.folder, encoder=str(tmp_path / "other"))


# setfit


def test_tuning_without_setfit_names_the_extra(monkeypatch: pytest.MonkeyPatch) -> None:
    known = importlib.util.find_spec
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None if name == "setfit" else known(name))
    with pytest.raises(BadInput, match=r"needs setfit to be trained; pip install 'fama-router\[rivals\]'"):
        check_setfit()


@pytest.mark.slow
def test_setfit_tunes_the_encoder_and_is_read_without_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("setfit", reason="the extra rivals is not installed")
    before = np.random.get_state()[1][:3].tolist()  # type: ignore[index]
    options = {"steps": 12, "pairs": 8, "rate": 1e-3, "states": 30}
    router = trained("setfit", outcomes(60), tmp_path, options=options)
    assert np.random.get_state()[1][:3].tolist() == before, "the global generator is left as it was"  # type: ignore[index]
    arrays = load_file(router.folder / "heads.safetensors")
    changed = [name for name in arrays if name.startswith("encoder.")]
    assert changed and all(arrays[name].dtype == np.float16 and arrays[name].any() for name in changed)
    assert chosen(router, UNSEEN) == list(WORDS.values())
    for module in ("setfit", "sentence_transformers", "datasets"):
        monkeypatch.setitem(sys.modules, module, None)
    assert chosen(load_router(router.folder), UNSEEN) == list(WORDS.values())
