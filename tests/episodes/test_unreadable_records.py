"""One bad record is one error episode; an import that yields nothing says why; no message quotes Python."""

import gzip
from pathlib import Path
from typing import Any

import pytest

from fama.cli import main
from fama.episodes.records import Episode
from tests.support.foreign_logs import SAID, imported, write_json, write_lines

GOOD: dict[str, Any] = {"task_id": "g", "messages": SAID, "success": True}
TAU: dict[str, Any] = {"task_id": 1, "trial": 0, "reward": 1.0, "info": {"reward_info": {}}, "traj": SAID}
#: Words of Python or pydantic that no message may hold.
FOREIGN = (
    "NoneType",
    "argument must",
    "object has no",
    "Input should",
    "type=",
    "literal",
    "Error(",
    "dict",
    "subscript",
)


def errors(episodes: list[Episode]) -> list[str]:
    assert all(e.outcome.boundary == "harness" for e in episodes if e.outcome.status == "error")
    return [e.outcome.reason for e in episodes if e.outcome.status == "error"]


@pytest.mark.parametrize(
    ("row", "place", "part"),
    [
        ("not json", ":2", "not JSON"),
        ('"text"', ":2", "a text, not an object"),
        ({"messages": None}, ":2", "field 'messages' is null"),
        ({"messages": 7}, ":2", "field 'messages' is 7, not a list"),
        ({"messages": [7]}, ":2", "messages[0]: 7 is no message"),
        ({"messages": [{"role": "alien", "content": "x"}]}, ":2", 'messages[0]: unknown role "alien"'),
        (
            {"messages": [{"role": "assistant", "tool_calls": [{"arguments": {"a": 1}}]}]},
            ":2",
            "messages[0]: a tool call is",
        ),
        ({"messages": SAID, "success": "perhaps"}, ":2", "field 'success' is \"perhaps\", neither success nor failure"),
        ({"messages": SAID, "reward": [1]}, ":2", "field 'reward' is [1], not a number"),
        ({"messages": SAID, "success": True, "tools": [{"description": "x"}]}, ":2", "a tool is"),
        ({"messages": SAID, "success": True, "trial": -1}, ":2", "field 'trial' is -1, not a number from 0 to 100000"),
        ({"messages": SAID, "success": True, "trial": 10**12}, ":2", "field 'trial' is 1000000000000, not a number"),
        (
            {"messages": SAID, "success": True, "tools": [{"name": "get", "x-fama-role": "boss"}]},
            ":2",
            'tool get: x-fama-role is "boss", not one of read, identify,',
        ),
        (
            {"messages": SAID, "success": True, "tools": [{"name": "get", "parameters": {"x-fama-role": ["read"]}}]},
            ":2",
            'x-fama-role is ["read"], not one of',
        ),
        (
            {"messages": [{"role": "user", "utterance": "Where is it?"}], "success": True},
            ":2",
            "messages[0]: no content, but the unknown fields utterance",
        ),
        ({"messages": {"role": ["user"], "content": ["a", "b"]}}, ":2", "columns of different length"),
        ({"messages": SAID, "success": True, "trial": "first"}, ":2", "field 'trial' is \"first\", not a number"),
        (
            {"messages": SAID, "success": True, "gold_actions": "cancel"},
            ":2",
            "field 'actions' is \"cancel\", not a list",
        ),
        ({"text": "x"}, ":2", "field 'messages' is missing"),
    ],
)
def test_one_bad_record_is_one_error(
    tmp_path: Path, row: Any, place: str, part: str, capsys: pytest.CaptureFixture[str]
) -> None:
    path = write_lines(tmp_path / "x.jsonl", [GOOD, row, {**GOOD, "task_id": "h"}])
    found = imported(path, tmp_path / "out")
    assert [e.outcome.status for e in found] == ["success", "error", "success"]
    (reason,) = errors(found)
    assert reason.startswith(f"unreadable record: {path}{place}") and part in reason
    assert not any(word in reason for word in FOREIGN)
    assert f"1 unreadable records, the first {path}{place}" in capsys.readouterr().out


@pytest.mark.parametrize("first", [True, False])
def test_a_bad_first_record_is_kept_in_its_order(tmp_path: Path, first: bool) -> None:
    rows = [{**TAU, "reward": "?"}, TAU] if first else [TAU, {**TAU, "reward": "?"}]
    found = imported(write_json(tmp_path / "m_fc_retail.json", rows), tmp_path / "out")
    assert [e.outcome.status == "error" for e in found] == [first, not first]


@pytest.mark.parametrize(
    ("change", "status", "reason"),
    [
        ('"reward": null', "error", "no reward in the log"),
        ('"reward": NaN', "error", "no reward in the log"),
        ('"reward": "nan"', "error", "no reward in the log"),
        ('"reward": 1e400', "error", "no reward in the log"),
        ('"reward": "-1e400"', "error", "no reward in the log"),
        ('"reward": "Infinity"', "error", "no reward in the log"),
        ('"reward": "1.0"', "success", "done"),
        ('"reward": true', "success", "done"),
        ('"reward": 0.0', "error", "no info in the log"),
        ('"reward": 1.0', "success", "done"),
    ],
)
@pytest.mark.parametrize("lines", [False, True])
def test_rewards_that_a_log_lacks(tmp_path: Path, change: str, status: str, reason: str, lines: bool) -> None:
    info = "null" if reason == "no info in the log" or change == '"reward": 1.0' else '{"reward_info": {}}'
    row = f'{{"task_id": 1, "trial": 0, "info": {info}, "traj": [{{"role": "user", "content": "NaN"}}], CHANGE}}'
    good = row.replace("1", "2", 1).replace("CHANGE", '"reward": 1')
    text = row.replace("CHANGE", change) + "\n" + good if lines else f"[{row.replace('CHANGE', change)}, {good}]"
    one, two = imported(write_json(tmp_path / f"m_fc_retail.json{'l' * lines}", text), tmp_path / "out")
    assert (one.outcome.status, two.outcome.status) == (status, "success")
    assert one.outcome.reason.startswith(reason) and one.messages[0].content == "NaN"
    assert (one.reward is None) == (status == "error")


def test_numbers_that_the_fast_parser_refuses(tmp_path: Path) -> None:
    long = "1" * 40
    rows = (f'{{"messages": [], "reward": {reward}, "task_id": {long}}}' for reward in ("-Infinity", "1"))
    text = "[" + ", ".join(rows) + "]"
    found = imported(write_json(tmp_path / "x.json", text), tmp_path / "out")
    assert [e.task_id for e in found] == [long, long]
    assert [e.outcome.status for e in found] == ["error", "success"]


def test_a_long_text_in_a_file_that_is_read_leniently(tmp_path: Path) -> None:
    said = 'NaN, \\" and Infinity ' * 20_000
    text = f'[{{"reward": NaN, "messages": [{{"role": "user", "content": "{said}"}}]}}]'
    (episode,) = imported(write_json(tmp_path / "x.json", text), tmp_path / "out")
    assert episode.messages[0].content == said.replace("\\", "")


@pytest.mark.parametrize("name", ["x.jsonl", "x.json"])
def test_half_characters_are_replaced(tmp_path: Path, name: str) -> None:
    row = '{"messages": [{"role": "user", "content": "half \\ud83d, nul \\u0000"}], "success": true}'
    (episode,) = imported(write_json(tmp_path / name, row if name.endswith("l") else f"[{row}]"), tmp_path / "out")
    text = episode.messages[0].content or ""
    assert text.startswith("half ") and "\x00" not in text and text.encode()


@pytest.mark.parametrize(
    ("value", "part"),
    [
        ([], "holds no record"),
        ({"info": {"git_commit": "x"}, "tasks": [], "simulations": []}, "holds no record"),
        ({"info": {}, "tasks": []}, "holds no simulations"),
        (
            [{"messages": 1}, {"messages": 2}],
            "field 'messages' is 1, not a list; is this the right format? (and none of",
        ),
        ([{"id": 1, "query": "q", "answers": "[]", "tools": "[]"}], "a query and reference calls, no conversation"),
        ([1, 2], "holds no record"),
        ([[{"role": "user", "content": "hi"}]], 'write each conversation as {"messages": [...]'),
    ],
)
def test_nothing_is_refused_with_a_reason(
    tmp_path: Path, value: Any, part: str, capsys: pytest.CaptureFixture[str]
) -> None:
    path = write_json(tmp_path / "x.json", value)
    assert main(["import", "auto", str(path), "--out", str(tmp_path / "out")]) == 2
    error = capsys.readouterr().err
    assert part in error and "x.json" in error and error.count("\n") == 1
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(
    ("data", "part"),
    [
        ('{"messages": []}'.encode("utf-16"), "UTF-16 or UTF-32 text, or no text; save it as UTF-8"),
        ('{"messages": []}'.encode("utf-16-le"), "UTF-16 or UTF-32 text, or no text; save it as UTF-8"),
        ('{"messages": []}'.encode("utf-32"), "UTF-16 or UTF-32 text, or no text; save it as UTF-8"),
        (
            gzip.compress('[{"messages": []}]'.encode("utf-16"), mtime=0),
            "UTF-16 or UTF-32 text, or no text; save it as UTF-8",
        ),
        (b"PK\x03\x04 and more", "a zip archive; unpack or convert it"),
        (b"PAR1 and more", "a Parquet table; unpack or convert it"),
        (b"\x28\xb5\x2f\xfd and more", "packed with zstd; unpack or convert it"),
        (b"", "is empty; give a file with records"),
        (b"<html>404</html>", "not JSON (invalid char in json text)"),
    ],
)
@pytest.mark.parametrize("name", ["auto", "openai"])
def test_files_of_another_kind(
    tmp_path: Path, data: bytes, part: str, name: str, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "x.jsonl"
    path.write_bytes(data)
    assert main(["import", name, str(path), "--out", str(tmp_path / "out")]) == 2
    error = capsys.readouterr().err
    assert (
        (part in error or (name == "openai" and "not JSON" in error)) and error.count("\n") == 1 and "b'" not in error
    )


@pytest.mark.parametrize("error", [{}, [], 0, False, "", "None"])
def test_an_error_that_says_nothing_is_none(tmp_path: Path, error: Any) -> None:
    (episode,) = imported(write_lines(tmp_path / "x.jsonl", [{**GOOD, "error": error}]), tmp_path / "out")
    assert episode.outcome.status == "success"


def test_an_error_object_is_told_in_its_words(tmp_path: Path) -> None:
    rows = [{**GOOD, "error": {"message": "the user left"}}, {**GOOD, "error": {"code": 7}}]
    found = imported(write_lines(tmp_path / "x.jsonl", rows), tmp_path / "out")
    assert errors(found) == ["the user left", '{"code": 7}']


def test_a_torn_first_line_does_not_hide_the_format(tmp_path: Path) -> None:
    found = imported(write_lines(tmp_path / "x.jsonl", ['{"messages": [', GOOD]), tmp_path / "out")
    assert [e.outcome.status for e in found] == ["error", "success"]
