"""Observations as Langfuse's API and pages export them: conversations of traces and sessions, outcomes from scores."""

from pathlib import Path
from typing import Any

import pytest

from fama.episodes.records import Episode
from tests.support.foreign_logs import imported, write_json, write_lines

TOOL = {"type": "function", "function": {"name": "get_order", "parameters": {"type": "object", "properties": {}}}}
CALL = {
    "role": "assistant",
    "content": None,
    "tool_calls": [{"id": "c1", "type": "function", "function": {"name": "get_order", "arguments": '{"id": "A1"}'}}],
}
FIRST: list[dict[str, Any]] = [{"role": "system", "content": "Be kind."}, {"role": "user", "content": "Where is A1?"}]
REST: list[dict[str, Any]] = [CALL, {"role": "tool", "tool_call_id": "c1", "content": "shipped"}]
ROLES = ["system", "user", "assistant", "tool", "assistant"]


def observation(id_: str, said: Any, answer: Any, **more: Any) -> dict[str, Any]:
    told = {"traceId": "t1", "parentObservationId": "root", "startTime": f"2026-11-30T10:00:0{id_[-1]}.000Z"}
    made = {"model": "small", "modelParameters": {"temperature": 0.2}, "level": "DEFAULT", "statusMessage": None}
    return {"id": id_, "type": "GENERATION", "name": "chat", "input": said, "output": answer, **told, **made, **more}


ROOT = observation("o0", {"question": "Where is A1?"}, "On its way.", type="SPAN", parentObservationId=None)
TRACE = [
    ROOT,
    observation("o1", {"tools": [TOOL], "messages": FIRST}, CALL),
    observation("o2", {"tools": [TOOL], "messages": [*FIRST, *REST]}, {"role": "assistant", "content": "On its way."}),
]
#: The newest stands first, as in the API's lists.
SCORES = [
    {"name": "helpfulness", "value": 0.1, "timestamp": "2026-11-30T12:00:00.000Z"},
    {"name": "success", "value": 1, "dataType": "BOOLEAN", "timestamp": "2026-11-30T11:00:00.000Z"},
    {"name": "success", "value": 0, "dataType": "BOOLEAN", "timestamp": "2026-11-30T10:30:00.000Z"},
]


@pytest.mark.parametrize(
    ("log", "status"),
    [
        (TRACE[::-1], "error"),
        ({"data": TRACE, "meta": {"cursor": None}}, "error"),
        ({"trace": {"id": "t1", "name": "agent", "scores": SCORES}, "observations": TRACE}, "success"),
        ({"id": "t1", "sessionId": None, "observations": TRACE, "scores": SCORES}, "success"),
    ],
    ids=["observations", "page", "download", "details"],
)
def test_a_trace_is_the_conversation_of_its_last_generation(tmp_path: Path, log: Any, status: str) -> None:
    (episode,) = imported(write_json(tmp_path / "log.json", log), tmp_path / "out", form="langfuse")
    assert [m.role for m in episode.messages] == ROLES and episode.messages[-1].content == "On its way."
    (call,) = episode.messages[2].tool_calls or ()
    assert (call.function.name, call.function.parsed()) == ("get_order", {"id": "A1"})
    assert (episode.task_id, episode.backbone, episode.settings) == ("t1", "small", "temperature=0.2")
    assert [tool.name for tool in episode.tools] == ["get_order"] and episode.outcome.status == status


@pytest.mark.parametrize(
    ("score", "status"),
    [
        ({"dataType": "CATEGORICAL", "value": 0, "stringValue": "pass"}, "success"),
        ({"dataType": "CATEGORICAL", "value": None, "stringValue": "fail"}, "failure"),
        ({"dataType": "CATEGORICAL", "value": 1, "stringValue": "very good", "configId": "c"}, "success"),
        ({"dataType": "BOOLEAN", "value": 0, "stringValue": "False"}, "failure"),
    ],
)
def test_a_score_in_words_has_no_number_without_a_config(tmp_path: Path, score: dict[str, Any], status: str) -> None:
    """Langfuse then writes 0 beside ``pass``, which was read as a failure."""
    log = {"trace": {"id": "t1"}, "observations": TRACE, "scores": [{"name": "success", **score}]}
    (episode,) = imported(write_json(tmp_path / "log.json", log), tmp_path / "out", form="langfuse")
    assert episode.outcome.status == status


def test_the_system_prompt_beside_the_messages_is_the_policy(tmp_path: Path) -> None:
    told = {"system": [{"type": "text", "text": "Be kind."}], "messages": FIRST[1:]}
    log = write_json(tmp_path / "log.json", [observation("o1", told, "On its way.")])
    (episode,) = imported(log, tmp_path / "out", form="langfuse")
    assert [m.content for m in episode.messages] == ["Be kind.", "Where is A1?", "On its way."]


def test_traces_of_a_session_are_one_and_inputs_may_be_text(tmp_path: Path) -> None:
    session: dict[str, Any] = {"sessionId": "s1", "parentObservationId": None}
    rows = [
        observation("o1", FIRST, "Let me see.", **session),
        observation("o2", '[{"role": "user", "content": "Hi"}]', "Hello", traceId="t9", level="ERROR", **session),
        observation("o3", [*FIRST, {"role": "assistant", "content": "Let me see."}], "There.", traceId="t2", **session),
        observation("o4", FIRST, None, traceId="t3", parentObservationId=None, level="ERROR", statusMessage="timeout"),
    ]
    whole, failed = imported(write_lines(tmp_path / "log.jsonl", rows), tmp_path / "out")
    assert told(whole) == ("s1", ["Be kind.", "Where is A1?", "Let me see.", "There."], "no outcome in the log")
    assert told(failed) == ("t3", ["Be kind.", "Where is A1?"], "timeout")


def told(episode: Episode) -> tuple[str, list[str | None], str | None]:
    return episode.task_id, [m.content for m in episode.messages], episode.outcome.reason


def test_exports_without_messages_are_refused_in_one_line(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = write_lines(tmp_path / "log.jsonl", [ROOT, observation("o1", None, None)])
    assert imported(path, tmp_path / "out", code=2) == []
    assert "log.jsonl:1: no observation with messages in its input; export those" in capsys.readouterr().err
