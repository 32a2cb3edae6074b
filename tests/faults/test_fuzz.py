"""Property-based fuzzing of everything that reads what others wrote: an answer or one line of BadInput, never a crash.

10,000 inputs in the slow tier, some of every kind always. Time is counted on the processor, so that a busy machine does
not look like a hang.
"""

import json
import math
import time
from collections.abc import Callable, Iterator
from itertools import count
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from fama.agents.strategies.parser import ParseFailure, parse_calls, parse_text
from fama.config import load_settings
from fama.diagnosis.taxonomy import DEFAULT_PATH, load_taxonomy
from fama.envs.base import Action
from fama.episodes.importers.base import IMPORTERS, detect_format
from fama.episodes.outcome_table import read_metadata, read_outcomes
from fama.episodes.records import Episode, FunctionCall, ToolCall
from fama.episodes.store import read_episodes
from fama.errors import BadInput
from fama.helpers.yaml_helper import load_yaml_helper
from fama.selection.router.checkpoint import load_router
from fama.settings import RunSettings

MOST_SECONDS = 5.0
CALL = {"id": "c0", "type": "function", "function": {"name": "look_up", "arguments": '{"order": "A1"}'}}
MESSAGES = [
    {"role": "system", "content": "# Airline agent policy\nBe kind."},
    {"role": "user", "content": "Cancel A1."},
    {"role": "assistant", "content": None, "tool_calls": [CALL]},
    {"role": "tool", "content": '{"status": "open"}', "tool_call_id": "c0", "name": "look_up"},
    {"role": "assistant", "content": "Done."},
]
GOLD = [{"name": "look_up", "kwargs": {"order": "A1"}, "arguments": {"order": "A1"}}]
TOOL = {"type": "function", "function": {"name": "look_up", "description": "Finds.", "parameters": {"type": "object"}}}
#: a small whole log of each format, by importer; each is imported as it is before it is damaged
LOGS: dict[str, tuple[str, Any]] = {
    "openai": ("chat.json", [{"messages": MESSAGES, "tools": [TOOL], "reward": 1.0, "trial": 0, "gold_actions": GOLD}]),
    "tau-bench": (
        "tool-calling-m-0.0_range_0--1.json",
        [
            {
                "task_id": 0,
                "reward": 1.0,
                "trial": 0,
                "info": {"task": {"user_id": "u", "actions": GOLD, "instruction": "Cancel.", "outputs": []}},
                "traj": MESSAGES,
            }
        ],
    ),
    "tau2": (
        "tau2.json",
        {
            "info": {
                "git_commit": "x",
                "environment_info": {"domain_name": "airline", "policy": "Be kind.", "tool_defs": [TOOL]},
                "agent_info": {"llm": "m", "implementation": "llm_agent"},
                "user_info": {"llm": "u"},
            },
            "tasks": [{"id": "0", "evaluation_criteria": {"actions": GOLD}}],
            "simulations": [
                {
                    "task_id": "0",
                    "trial": 0,
                    "termination_reason": "user_stop",
                    "reward_info": {"reward": 1.0},
                    "messages": [
                        {
                            "role": "user",
                            "content": "Cancel A1.",
                            "usage": {"prompt_tokens": 3, "completion_tokens": 2},
                        },
                        {
                            "role": "assistant",
                            "content": None,
                            "tool_calls": [{"id": "c0", "name": "look_up", "arguments": {"order": "A1"}}],
                            "usage": {"prompt_tokens": 9, "completion_tokens": 2},
                        },
                        {"role": "tool", "id": "c0", "content": "open", "requestor": "assistant"},
                    ],
                }
            ],
        },
    ),
    "acebench": (
        "data_agent_multi_turn_result.json",
        [{"id": "m_0", "result": [{"A": {}}], "process": ["[f(x='1')]"]}],
    ),
    "ck496": (
        "8b_FC_airline.json",
        {
            "classifications": [
                {
                    "task_id": 1,
                    "trial": 0,
                    "agent_actions": GOLD,
                    "ground_truth_actions": GOLD,
                    "instruction": "Cancel.",
                    "classification": {"primary_category": "x", "explanation": "e"},
                }
            ]
        },
    ),
}
HELPER = """name: Mine
covers: [IFU]
token_cap: 40
prompt: |
  {{ policy }} {% for line in dialogue %}{{ line }}{% endfor %}
"""

#: values that readers stumble over; in JSON, as Python writes it, they are NaN, Infinity and numbers of many digits
NASTY: tuple[Any, ...] = (
    *(None, True, 0, -1, 10**30, -(2**63), 1e308, math.nan, math.inf, -math.inf, "", " ", "0", "NaN", "None"),
    *("\0", "\u2028", "../../x", "{{ 7*7 }}", "a" * 5000, "[" * 3000, [], {}, [[]], [None], {"": None}, {"a": [{}]}),
    *([1, "x", None, {"role": "user"}], {"role": "x"}, {"function": None}, {"name": 3, "arguments": []}),
)
BYTES = (
    *(b"", b"\0", b"\xff\xfe", b"\xed\xa0\x80", b"\\ud800", b"{", b"}", b"[" * 2000, b"]", b'"', b",", b":", b"\n"),
    *(b"1e999", b"9" * 5000, b"-", b"null", b"NaN", b"\r\n", b"{{ 10**10**8 }}", b"{% for", b"!!bool x", b"&a *a"),
    *(b"!!timestamp x", b"{{ 'x' * 10**9 }}", b"{{ 1 / 0 }}", b"- - - ", b"2001-13-01", b"? {a: b}\n"),
    *(b"!!python/object:os.system x", b"\t", b"<<: *x", b"\xe2\x80\xa8", b"\x1f\x8b"),
)

json_values = st.recursive(
    st.sampled_from(NASTY) | st.text(max_size=8) | st.integers() | st.floats(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=4), inner, max_size=3),
    max_leaves=6,
)
edits = st.lists(
    st.tuples(
        st.floats(0, 1),
        st.integers(0, 40),
        st.sampled_from(BYTES) | st.binary(max_size=6),  # where, how much goes, what comes
    ),
    min_size=1,
    max_size=4,
)


def damaged(whole: bytes, changes: list[tuple[float, int, bytes]]) -> bytes:
    """Bytes with some taken out and others put in."""
    for where, gone, new in changes:
        at = int(where * len(whole))
        whole = whole[:at] + new + whole[at + gone :]
    return whole


def places(tree: Any, here: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    """Every place of a JSON tree."""
    yield here
    inside = tree.items() if isinstance(tree, dict) else enumerate(tree) if isinstance(tree, list) else ()
    for key, value in inside:
        yield from places(value, (*here, key))


def replaced(tree: Any, place: tuple[Any, ...], value: Any) -> Any:
    """The tree with another value at a place; a key is taken out for the value ``...``."""
    if not place:
        return value
    copy: Any = dict(tree) if isinstance(tree, dict) else list(tree)
    key, *rest = place
    if not rest and value is ...:
        del copy[key]
    else:
        copy[key] = replaced(copy[key], tuple(rest), value)
    return copy


def trees(whole: Any) -> st.SearchStrategy[bytes]:
    """A JSON file in which one or two values are others, or gone."""
    at = st.sampled_from(list(places(whole))[1:])
    change = st.tuples(at, json_values | st.just(...))

    def build(changes: list[tuple[tuple[Any, ...], Any]]) -> bytes:
        tree = whole
        for place, value in changes:
            try:
                tree = replaced(tree, place, value)
            except (KeyError, IndexError, TypeError, ValueError):
                continue  # the first change took the second one's place away
        return json.dumps(tree).encode("utf-8", "surrogatepass")

    return st.lists(change, min_size=1, max_size=2).map(build)


def one_line(error: BadInput, path: Path | None = None) -> None:
    assert path is None or str(path) in str(error)
    assert "\n" not in str(error)


Check = Callable[[Any], None]
Target = tuple[st.SearchStrategy[Any], Check]


def action_parser(folder: Path) -> Target:
    pieces = ('{"tool": "close", "arguments": {}}', "Action:", "```json", "</think>", "{{", "}}", "'", '"', "\\", ",}")
    more = ("respond", "{" * 999, "é" * 99, "\ud800", "[" * 30_000, '{"a": ' * 2000, "-" * 5000)
    replies = st.lists(st.sampled_from(pieces) | st.text(max_size=12) | st.sampled_from(more))

    def check(parts: list[str]) -> None:
        text = "".join(parts)
        for prose in (False, True):
            found = parse_text(text, ("close",), prose)
            assert isinstance(found, Action | ParseFailure)
            if isinstance(found, Action):
                json.dumps([found.tool, found.arguments, found.text], ensure_ascii=False).encode("utf-8")
        try:
            call = ToolCall(id="1", function=FunctionCall(name="close", arguments=text))
        except ValueError:
            return  # a lone surrogate: no record holds one
        assert isinstance(parse_calls([call]), Action | ParseFailure)
        assert isinstance(call.function.parsed(), dict)

    return replies, check


def importer(name: str) -> Callable[[Path], Target]:
    def target(folder: Path) -> Target:
        file, tree = LOGS[name]
        path, options = folder / file, {"benchmark": "b"}
        read = IMPORTERS.load(name)
        whole = json.dumps(tree).encode()
        path.write_bytes(whole)
        assert len(list(read(path, **options))) == 1
        lines = st.sampled_from([whole, json.dumps(tree[0] if isinstance(tree, list) else tree).encode() + b"\n"])

        def check(content: bytes) -> None:
            path.write_bytes(content)
            for step in (lambda: detect_format(path), lambda: list(read(path, **options))):
                try:
                    found = step()
                except BadInput as error:
                    one_line(error, path)
                    continue
                for episode in found if isinstance(found, list) else ():
                    assert Episode.model_validate_json(episode.model_dump_json()) == episode

        return trees(tree) | st.builds(damaged, lines, edits), check

    return target


def inspect_logs(folder: Path) -> Target:
    pytest.importorskip("inspect_ai")
    path = folder / "log.eval"

    def check(content: bytes) -> None:
        path.write_bytes(content)
        with pytest.raises(BadInput) as caught:
            list(IMPORTERS.load("inspect")(path))
        one_line(caught.value, path)

    return st.builds(
        damaged, st.sampled_from([b"PK\x03\x04" + b"\0" * 40, b"{}", b'{"eval": {}, "plan": {}}']), edits
    ), check


def outcome_tables(folder: Path) -> Target:
    from fama.episodes.outcome_table import write_outcomes
    from training.data.synthetic import make_tasks, outcome_rows

    path = folder / "outcomes.parquet"
    write_outcomes(path, outcome_rows(make_tasks(2)), {"synthetic": True})
    whole = path.read_bytes()

    def check(content: bytes) -> None:
        path.write_bytes(content)
        for read in (read_outcomes, read_metadata):
            try:
                read(path)
            except BadInput as error:
                one_line(error, path)

    return st.builds(damaged, st.just(whole), edits), check


def yaml_files(folder: Path) -> Target:
    numbers = count()
    texts = [HELPER.encode(), DEFAULT_PATH.read_bytes(), b"domain: shop\ntasks: [a, b]\nmodel: {name: m, timeout: 3}\n"]
    readers: tuple[Callable[[Path], object], ...] = (
        load_yaml_helper,
        load_taxonomy,
        lambda path: load_settings(RunSettings, path),
    )
    for reader, text in zip(readers, texts, strict=True):
        (folder / "whole.yaml").write_bytes(text)
        reader(folder / "whole.yaml")
        (folder / "whole.yaml").unlink()

    def check(content: bytes) -> None:
        path = folder / f"{next(numbers)}.yaml"  # a taxonomy is read once a name
        path.write_bytes(content)
        for reader in readers:
            try:
                reader(path)
            except BadInput as error:
                one_line(error, path)
        path.unlink()
        for text in (content.decode("utf-8", "replace"), f"tasks={content.decode('utf-8', 'replace')}"):
            try:
                load_settings(RunSettings, None, [text])
            except BadInput as error:
                one_line(error)

    return st.builds(damaged, st.sampled_from(texts), edits), check


def episode_logs(folder: Path) -> Target:
    lines = []
    for number in range(3):
        tree = {"id": f"e{number}", "benchmark": "b", "domain": "d", "task_id": "t", "outcome": {"status": "success"}}
        lines.append(json.dumps({**tree, "messages": MESSAGES[1:2], "ledger": [{"role": "agent", "model": "m"}]}))
    path = folder / "episodes.jsonl"
    whole = "\n".join(lines).encode() + b"\n"
    path.write_bytes(whole)
    assert len(list(read_episodes(path))) == 3

    def check(content: bytes) -> None:
        path.write_bytes(content)
        try:
            for episode in read_episodes(path):
                assert Episode.model_validate_json(episode.model_dump_json()) == episode
        except BadInput as error:
            one_line(error, path)

    first = trees(json.loads(lines[0])).map(lambda line: line + b"\n" + whole)
    return first | st.builds(damaged, st.just(whole), edits), check


def checkpoints(folder: Path) -> Target:
    import hashlib

    from fama.episodes.outcome_table import write_outcomes
    from training.data.synthetic import make_tasks, outcome_rows
    from training.settings import TrainSettings
    from training.train import train

    table, router = folder / "outcomes.parquet", folder / "router"
    write_outcomes(table, outcome_rows(make_tasks(16)), {"synthetic": True})
    tree = {
        "kind": "linear",
        "data": {"outcomes": [str(table)]},
        "vectors": {"source": "hashed", "buckets": 64, "components": 4},
        "linear": {"folds": 2, "strengths": [0.1]},
    }
    train(TrainSettings.model_validate(tree), router)
    manifest, heads = (router / "router.json").read_bytes(), (router / "heads.safetensors").read_bytes()
    load_router(router)

    def check(content: tuple[bytes, bytes]) -> None:
        text, weights = content
        try:  # an attacker fits size and hash to the weights
            said = json.loads(text)
            said["files"]["heads.safetensors"] = {"size": len(weights), "sha256": hashlib.sha256(weights).hexdigest()}
            text = json.dumps(said).encode()
        except (ValueError, TypeError, KeyError, RecursionError):
            pass
        (router / "router.json").write_bytes(text)
        (router / "heads.safetensors").write_bytes(weights)
        try:
            load_router(router)
        except BadInput as error:
            one_line(error, router)

    texts = trees(json.loads(manifest)) | st.builds(damaged, st.just(manifest), edits)
    arrays = st.just(heads) | st.builds(damaged, st.just(heads), edits)
    return st.tuples(texts, arrays) | st.tuples(st.just(manifest), arrays), check


TARGETS: dict[str, Callable[[Path], Target]] = {
    "action parser": action_parser,
    **{f"importer {name}": importer(name) for name in LOGS},
    "outcome table": outcome_tables,
    "YAML": yaml_files,
    "episodes": episode_logs,
    "checkpoint": checkpoints,
}
#: inputs of each kind in the two tiers; the slow ones are 10,000 together with 100 of Inspect's logs
FEW, MANY = 30, 990


def _tiers() -> Iterator[Any]:
    for name in TARGETS:
        yield pytest.param(name, FEW, id=f"{name}-{FEW}")
        yield pytest.param(name, MANY, id=f"{name}-{MANY}", marks=[pytest.mark.slow, pytest.mark.timeout(3600)])
    yield pytest.param("Inspect", 100, marks=[pytest.mark.slow, pytest.mark.timeout(3600)])


@pytest.mark.parametrize(("name", "inputs"), _tiers())
def test_whatever_is_read_no_reader_crashes_or_hangs(tmp_path: Path, name: str, inputs: int) -> None:
    strategy, check = {**TARGETS, "Inspect": inspect_logs}[name](tmp_path)
    tried = [0]

    @settings(max_examples=inputs, suppress_health_check=list(HealthCheck), database=None)
    @given(strategy)
    def run(content: Any) -> None:
        begun = time.process_time()
        check(content)
        tried[0] += 1
        assert time.process_time() - begun < MOST_SECONDS

    run()
    assert tried[0] >= 0.9 * inputs  # small input spaces end early


@pytest.mark.parametrize("before", [0, 1000, 65_536 - 2_200, 65_536 - 100])
@pytest.mark.parametrize("name", ["openai", "tau2", "ck496"])
def test_a_number_without_an_end_does_not_end_the_process(tmp_path: Path, name: str, before: int) -> None:
    """The C parser under the importers ends the process at a number of over 4,300 digits, wherever it stands."""
    file, tree = LOGS[name]
    whole = json.dumps(tree).encode()
    at = whole.index(b'"trial": 0') + len(b'"trial": ')
    path = tmp_path / file
    path.write_bytes(b" " * before + whole[:at] + b"9" * 4301 + whole[at + 1 :])
    with pytest.raises(BadInput) as caught:
        list(IMPORTERS.load(name)(path, benchmark="b"))
    one_line(caught.value, path)
