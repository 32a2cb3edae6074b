"""Features that are read once per message equal those read from the whole history, at a cost that does not grow."""

import random
import re
import sys
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from types import FrameType
from typing import Any
from zlib import crc32

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from fama.dialogue.calls import calls_of, pair_calls
from fama.episodes.records import FunctionCall, Message, ToolCall
from fama.episodes.state import VisibleState, state_at
from fama.episodes.store import read_episodes
from fama.memo import RecentCache
from fama.selection.router import message_features
from fama.selection.router.checkpoint import load_router
from fama.selection.router.evidence import EVIDENCE_NAMES, visible_evidence
from fama.selection.router.features import Features, featurise
from fama.selection.router.kinds.state_vectors import RawVectors, StateVectors
from fama.selection.router.manifest import VectorShape
from tests.support.note_states import POLICY, TOOLS
from tests.support.plain_features import plain_calls, plain_features

ROOT = Path(__file__).resolve().parents[2]
EPISODES = sorted((ROOT / "results" / "helpdesk").glob("*.episodes.jsonl.gz"))

TEXT = st.sampled_from(
    (
        "as",
        "AS",
        "aſ",
        "well",
        "Well, no",
        "same as",
        "well and also two",
        "as well",
        "",
        " ",
        "\n",
        "#W1 and 12,000.5",
        "503",
    )
    + ("a@b.cd", "no, not the blue one", "<think>and 77777</think> as", "Error: busy, try again", "- one\n- two", "gas")
    + ("Which one?", "error 503", "not found", '{"status": "error"}', '{"a": [{"b": 1}, {"b": {"c": []}}, {"b": "2"}]}')
    + ("[" * 400 + "]" * 400, '{"ok": false', "wellness", "as\u2028", "\ud800 and")
)
CALLS = st.lists(
    st.builds(
        lambda call_id, name, arguments: ToolCall(id=call_id, function=FunctionCall(name=name, arguments=arguments)),
        st.sampled_from(["", "a", "b", "c"]),
        st.sampled_from(["renew_loan", "verify_reader", "get_loan", "unheard_of"]),
        st.sampled_from(["{}", '{"b": 1, "a": 2}', '{"a": 2, "b": 1}', "no JSON", '{"a": NaN}']),
    ),
    max_size=3,
).map(tuple)
MESSAGE = st.one_of(
    st.builds(Message, role=st.just("user"), content=TEXT | st.none()),
    st.builds(Message, role=st.just("assistant"), content=TEXT | st.none(), tool_calls=CALLS | st.none()),
    st.builds(
        Message, role=st.just("tool"), content=TEXT | st.none(), tool_call_id=st.sampled_from([None, "", "a", "b", "c"])
    ),
    st.builds(Message, role=st.just("system"), content=TEXT),
)


def state(messages: Sequence[Message], turn: int = 0) -> VisibleState:
    return VisibleState(POLICY, TOOLS, tuple(messages), turn)


def exact(features: Features) -> tuple[Any, ...]:
    """Every bit of the features: equal floats of other signs or NaN would differ."""
    return features.segments, tuple(value.hex() for value in features.evidence)


@settings(max_examples=300, deadline=None)
@given(st.lists(MESSAGE, max_size=14), st.lists(MESSAGE, max_size=5), st.randoms(use_true_random=False))
def test_features_are_those_of_the_whole_history(
    messages: list[Message], branch: list[Message], rng: random.Random
) -> None:
    """Every prefix of two episodes that share a beginning, in any order, some more than once, in a small cache."""
    cut = rng.randint(0, len(messages))
    other = messages[:cut] + branch
    states = [state(messages[:end], end) for end in range(len(messages) + 1)]
    states += [state([message.model_copy(deep=True) for message in other[:end]]) for end in range(cut, len(other) + 1)]
    order = [*states, *rng.sample(states, len(states)), *reversed(states)]
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(message_features, "_CACHE", RecentCache(rng.choice([1, 5, 50])))
        for one in order:
            assert exact(featurise(one)) == exact(plain_features(one))


@settings(max_examples=500, deadline=None)
@given(st.lists(MESSAGE, max_size=20))
def test_calls_are_paired_as_one_by_one(messages: list[Message]) -> None:
    assert list(calls_of(messages)) == plain_calls(messages)


def test_a_request_word_may_span_two_user_turns() -> None:
    def requests(*texts: str) -> float:
        return visible_evidence(state([Message(role="user", content=text) for text in texts]))["request_words"]

    one = requests("and")
    assert one > 0
    assert requests("the same as", "well done") == requests("AS", "", "as", "well") == one
    assert requests("the same as", "", "well") == requests("gas", "well") == requests("as", "wellness") == 0
    assert requests("as well as", "well") == requests("also", "and")


@pytest.mark.parametrize("path", EPISODES, ids=lambda path: path.name.removesuffix(".episodes.jsonl.gz"))
def test_committed_episodes_every_twentieth(path: Path) -> None:
    check(path, 20, "helpdesk-linear")


@pytest.mark.slow
@pytest.mark.timeout(3000)
@pytest.mark.parametrize("path", EPISODES, ids=lambda path: path.name.removesuffix(".episodes.jsonl.gz"))
def test_every_committed_episode(path: Path) -> None:
    check(path, 1, "helpdesk-linear", "helpdesk-retrospective")


@pytest.mark.slow
@pytest.mark.timeout(3000)
@pytest.mark.parametrize("path", EPISODES, ids=lambda path: path.name.removesuffix(".episodes.jsonl.gz"))
def test_committed_episodes_with_the_encoder(path: Path) -> None:
    check(path, 20, "helpdesk-encoder")


def check(path: Path, every: int, *names: str) -> None:
    """Compare features, and choices of shipped routers, before every decision of every so many episodes."""
    routers = [load_router(ROOT / "checkpoints" / name) for name in names]
    decisions = 0
    for episode in list(read_episodes(path))[::every]:
        for turn in range(len(episode.decisions)):
            one = state_at(episode, turn)
            found, wanted = featurise(one), plain_features(one)
            assert exact(found) == exact(wanted), (episode.id, turn)
            for router in routers:
                assert router.choose(found) == router.choose(wanted), (episode.id, turn)
            decisions += 1
        if routers[0].embedder is None:
            fresh = load_router(ROOT / "checkpoints" / names[0])  # remembers no text of the turns before
            assert routers[0].choose(found) == fresh.choose(wanted), episode.id
    assert decisions > 20


def talk(count: int) -> list[Message]:
    """A conversation of so many messages, all different."""
    said = [
        (
            Message(role="user", content=f"And what about order #W{n}?"),
            Message(
                role="assistant",
                tool_calls=(ToolCall(id=f"c{n}", function=FunctionCall(name="get_loan", arguments=f'{{"n": {n}}}')),),
            ),
            Message(role="tool", content=f'{{"order": {n}}}', tool_call_id=f"c{n}"),
            Message(role="assistant", content=f"It is on its way, number {n}."),
        )
        for n in range(-(-count // 4))
    ]
    return [message for turn in said for message in turn][:count]


@pytest.mark.parametrize("length", [30, 300, 6000])
def test_a_turn_reads_only_its_own_messages(length: int, monkeypatch: pytest.MonkeyPatch) -> None:
    read: list[Message] = []
    original = message_features.read_message

    def counted(message: Message) -> message_features.MessageFeatures:
        read.append(message)
        return original(message)

    monkeypatch.setattr(message_features, "_CACHE", RecentCache(4096))
    monkeypatch.setattr(message_features, "read_message", counted)
    messages = talk(length)
    featurise(state(messages[: length - 20]))
    assert read == messages[: length - 20]
    for end in range(length - 18, length + 1, 2):
        read.clear()
        featurise(state(messages[:end]))
        assert read == messages[end - 2 : end]
    read.clear()
    featurise(state(messages[: length - 10]))  # back to a turn before, as a branch does
    assert read == []


@pytest.mark.parametrize("length", [30, 6000])
def test_a_turn_hashes_only_its_own_texts(length: int, monkeypatch: pytest.MonkeyPatch) -> None:
    hashed: list[str] = []
    original = RawVectors._buckets

    def counted(self: RawVectors, text: str) -> NDArray[np.int64]:
        hashed.append(text)
        return original(self, text)

    monkeypatch.setattr(RawVectors, "_buckets", counted)
    vectors = RawVectors(VectorShape(source="hashed", buckets=64), None)
    messages = talk(length)
    vectors(featurise(state(messages[:-6])))
    assert len(hashed) == length - 6 + 1 + len(TOOLS)
    for end in range(length - 4, length + 1, 2):
        hashed.clear()
        vectors(featurise(state(messages[:end])))
        assert len(hashed) == 2


def plain_buckets(text: str, buckets: int) -> list[int]:
    """Return the bucket of every word and word pair, one by one."""
    words = re.findall(r"\w+", text.lower())
    grams = [*words, *(f"{a} {b}" for a, b in zip(words, words[1:], strict=False))]
    return [crc32(gram.encode("utf-8", "surrogatepass")) % buckets for gram in grams]


@settings(max_examples=200, deadline=None)
@given(st.text(max_size=60) | TEXT, st.sampled_from([1, 64, 4096]))
def test_words_and_pairs_are_hashed_as_text(text: str, buckets: int) -> None:
    vectors = RawVectors(VectorShape(source="hashed", buckets=buckets), None)
    assert vectors._buckets(text).tolist() == plain_buckets(text, buckets)


@pytest.mark.parametrize("path", EPISODES[:2], ids=lambda path: path.name.removesuffix(".episodes.jsonl.gz"))
def test_vectors_of_states_in_any_order_are_those_of_a_fresh_router(path: Path) -> None:
    shape = VectorShape(source="hashed", buckets=256)
    kept = RawVectors(shape, None)
    episodes = list(read_episodes(path))[::60]
    states = [featurise(state_at(e, turn)) for e in episodes for turn in range(0, len(e.decisions), 3)]
    for one in [*states, *random.Random(0).sample(states, len(states))]:
        assert kept(one).tobytes() == RawVectors(shape, None)(one).tobytes()


@pytest.mark.parametrize("latest", [0, 3])
def test_a_projection_by_parts_is_that_of_the_whole_vector(latest: int) -> None:
    buckets, kept, draw = 256, 5, np.random.default_rng(0)
    raw = RawVectors(VectorShape(source="hashed", buckets=buckets, latest=latest), None, ())
    width = buckets * (3 if latest else 2)
    arrays: dict[str, Any] = {
        "text_mean": draw.normal(size=width),
        "text_components": draw.normal(size=(kept, width)),
        "text_scale": draw.uniform(0.5, 2.0, size=kept),
        "evidence_mean": np.zeros(len(EVIDENCE_NAMES)),
        "evidence_scale": np.ones(len(EVIDENCE_NAMES)),
    }
    vectors = StateVectors(raw, arrays)
    complete = [state(messages) for messages in ([], talk(1), talk(40), [Message(role="user", content="?")])]
    lacking = [replace(complete[2], tools=()), replace(complete[2], policy=""), replace(complete[2], policy="New one.")]
    for one in [*complete, *lacking, *complete]:
        features = featurise(one)
        whole = np.nan_to_num(raw(features) - arrays["text_mean"])
        wanted = arrays["text_components"] @ whole / arrays["text_scale"]
        assert vectors(features)[:kept] == pytest.approx(wanted, rel=1e-9, abs=1e-9)


def unmatched(count: int) -> list[Message]:
    """So many calls and results whose ids never fit: none is ever paired."""
    return [
        message
        for n in range(count)
        for message in (
            Message(
                role="assistant", tool_calls=(ToolCall(id=f"c{n}", function=FunctionCall(name="x", arguments="{}")),)
            ),
            Message(role="tool", content="ok", tool_call_id=f"r{n}"),
        )
    ]


def one_turn(count: int) -> list[Message]:
    """So many calls in one turn, half of which find a result without an id, all others none."""
    calls = tuple(ToolCall(id="a", function=FunctionCall(name="x", arguments="{}")) for _ in range(count))
    results = [Message(role="tool", content="ok", tool_call_id="b" if n % 2 else None) for n in range(count)]
    return [Message(role="assistant", tool_calls=calls), *results]


@pytest.mark.parametrize(("build", "paired"), [(unmatched, 0), (one_turn, 200), (talk, 100)])
def test_pairing_takes_time_in_proportion_to_the_messages(build: Callable[[int], list[Message]], paired: int) -> None:
    few, many = build(100), build(400)
    assert sum(one.result_step is not None for one in pair_calls(many)) == paired
    assert lines_run(lambda: pair_calls(many)) < 4.5 * lines_run(lambda: pair_calls(few))


def lines_run(work: Callable[[], object]) -> int:
    """Count the lines of Python that work runs: the same on every machine."""
    count = 0

    def trace(frame: FrameType, event: str, argument: Any) -> Any:
        nonlocal count
        count += event == "line"
        return trace

    before = sys.gettrace()
    sys.settrace(trace)
    try:
        work()
    finally:
        sys.settrace(before)
    return count
