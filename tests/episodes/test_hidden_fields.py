"""A null never hides the value beside it, a key given twice is told, and deep values are kept or refused."""

import json
from pathlib import Path
from typing import Any

import pytest

from fama.episodes.foreign.logged_messages import messages_of
from fama.episodes.foreign.logged_tools import gold_of, tools_of
from fama.episodes.foreign.streams import read_items, read_part, read_records
from fama.errors import BadInput
from tests.support.foreign_logs import SAID, imported, write_json, write_lines

ROW: dict[str, Any] = {"task_id": "t", "messages": SAID, "success": True}


@pytest.mark.parametrize(
    "turn",
    [
        {"from": None, "value": None, "role": "user", "content": "hello"},
        {"from": "human", "value": "hello", "role": None, "content": None},
        {"from": "human", "value": None, "content": None, "text": "hello"},
    ],
)
def test_turns_of_two_schemas_in_one(tmp_path: Path, turn: dict[str, Any]) -> None:
    rows = [{"conversations": [turn], "messages": None}, {"conversations": None, "messages": [turn]}]
    for episode in imported(write_lines(tmp_path / "x.jsonl", rows), tmp_path / "out"):
        assert [(m.role, m.content) for m in episode.messages] == [("user", "hello")]


def test_a_wrapped_result_keeps_the_id_of_its_turn(tmp_path: Path) -> None:
    calls = [{"id": key, "function": {"name": "get", "arguments": "{}"}} for key in "ab"]
    turns = [
        {"role": "assistant", "content": None, "tool_calls": calls},
        *(
            {"from": "tool", "tool_call_id": key, "value": json.dumps({"name": "get", "content": key})}
            for key in reversed("ab")
        ),
    ]
    (episode,) = imported(write_lines(tmp_path / "x.jsonl", [{"conversations": turns}]), tmp_path / "out")
    assert [(m.content, m.tool_call_id) for m in episode.messages[1:]] == [("b", "b"), ("a", "a")]


def test_nulls_beside_what_langchain_wraps() -> None:
    (message,) = messages_of([{"type": "ai", "content": None, "role": None, "data": {"type": None, "content": "Hi"}}])
    assert (message.role, message.content) == ("assistant", "Hi")


@pytest.mark.parametrize("fields", [{"kwargs": None, "arguments": {"a": 1}}, {"kwargs": {"a": 1}}, {"args": {"a": 1}}])
def test_arguments_of_reference_actions(fields: dict[str, Any]) -> None:
    assert gold_of([{"name": "get", **fields}])[0].arguments == '{"a": 1}'


def test_a_tool_whose_wrapper_is_null() -> None:
    assert [tool.name for tool in tools_of([{"function": None, "name": "get", "parameters": {}}])] == ["get"]


def test_a_null_process_does_not_hide_the_result(tmp_path: Path) -> None:
    (episode,) = imported(
        write_lines(tmp_path / "x.jsonl", [{"id": 1, "result": "Hi", "process": None}]), tmp_path / "o"
    )
    assert [message.content for message in episode.messages] == ["Hi"]


@pytest.mark.parametrize("extra", ["", ', "reward": NaN', f', "big": {"1" * 40}'])
@pytest.mark.parametrize("name", ["x.json", "x.jsonl"])
def test_a_key_that_is_given_twice_is_one_bad_record(tmp_path: Path, name: str, extra: str) -> None:
    good = json.dumps(ROW)
    top = good.replace('"success": true', '"success": true, "success": false' + extra)
    inner = good.replace('"role": "user"', '"role": "user", "role": "user"' + extra)
    rows = [good, top, inner, good.replace('"t"', '"u"')]
    text = "\n".join(rows) if name.endswith("l") else f"[{', '.join(rows)}]"
    found = imported(write_json(tmp_path / name, text), tmp_path / "out")
    assert [e.outcome.status for e in found] == ["success", "error", "error", "success"]
    assert "the key 'success' is given twice; fix or remove" in found[1].outcome.reason
    assert "the key 'role' is given twice; fix or remove" in found[2].outcome.reason


def test_a_part_of_a_file_that_gives_a_key_twice_is_refused(tmp_path: Path) -> None:
    path = write_json(tmp_path / "x.json", '{"info": {"a": {"b": 1, "b": 2}}, "list": [{"a": 1, "a": 1}]}')
    with pytest.raises(BadInput, match=r"x.json\[info\]: the key 'b' is given twice; fix or remove that record"):
        read_part(path, "info")
    assert [record.fault != "" for record in read_items(path, "list.item")] == [True]


def _nested(levels: int) -> Any:
    value: Any = "x"
    for _ in range(levels):
        value = {"k": value}
    return value


@pytest.mark.parametrize("name", ["x.json", "x.jsonl"])
@pytest.mark.parametrize(("levels", "status"), [(99, "success"), (150, "success"), (195, "success"), (250, "error")])
def test_a_deep_result_is_kept_whole_or_told(tmp_path: Path, name: str, levels: int, status: str) -> None:
    result = {"role": "tool", "content": _nested(levels)}
    rows = [ROW, {**ROW, "messages": [*SAID, result]}]
    path = (write_lines if name.endswith("l") else write_json)(tmp_path / name, rows)
    _, episode = imported(path, tmp_path / "out")
    assert episode.outcome.status == status
    if status == "success":
        assert episode.messages[-1].content == json.dumps(_nested(levels))
    else:
        assert "more than 200 levels inside each other; fix or remove that" in episode.outcome.reason


@pytest.mark.parametrize("name", ["x.json", "x.jsonl"])
def test_thousands_of_levels_are_one_bad_record(tmp_path: Path, name: str) -> None:
    deep = '{"a": ' * 3000 + "1" + "}" * 3000
    rows = [json.dumps(ROW), deep]
    text = "\n".join(rows) if name.endswith("l") else f"[{', '.join(rows)}]"
    try:
        faults = [record.fault for record in read_records(write_json(tmp_path / name, text))]
    except BadInput as error:
        faults = ["", str(error)]
    assert faults[0] == "" and faults[1]
