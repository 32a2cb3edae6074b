"""Runs as LangSmith's client exports them: conversations of traces and threads."""

from pathlib import Path
from typing import Any

import pytest

from tests.support.foreign_logs import imported, write_json, write_lines

TOOLS = [{"type": "function", "function": {"name": "get_order", "parameters": {"type": "object", "properties": {}}}}]
WISH, ANSWER = "Where is order A1?", "It is on its way."


def langchain(kind: str, content: str, **more: Any) -> dict[str, Any]:
    """A message as LangChain serialises it."""
    names = ["langchain_core", "messages", f"{kind}Message"]
    return {"lc": 1, "type": "constructor", "id": names, "kwargs": {"content": content, "type": kind.lower(), **more}}


CALL = langchain("AI", "", tool_calls=[{"name": "get_order", "args": {"order_id": "A1"}, "id": "c1"}])
RESULT = langchain("Tool", "shipped", tool_call_id="c1", name="get_order")


def run(id_: str, run_type: str, inputs: Any, outputs: Any, **more: Any) -> dict[str, Any]:
    told = {"parent_run_id": "root", "trace_id": "root", "error": None, "start_time": f"2024-05-01T10:00:0{id_[-1]}"}
    return {"id": id_, "name": id_, "run_type": run_type, "inputs": inputs, "outputs": outputs, **told, **more}


def model_run(id_: str, said: list[Any], answer: Any, **more: Any) -> dict[str, Any]:
    extra = {"metadata": {"ls_model_name": "m", "ls_temperature": 0.7}, "invocation_params": {"tools": TOOLS}}
    outputs = {"generations": [[{"text": "", "type": "ChatGeneration", "message": answer}]]}
    return run(id_, "llm", {"messages": [said]}, outputs, extra=extra, **more)


SYSTEM, HUMAN = langchain("System", "Be kind."), langchain("Human", WISH)
TRACE = [
    run("root", "chain", {"question": WISH}, {"answer": ANSWER}, parent_run_id=None),
    model_run("r1", [SYSTEM, HUMAN], CALL),
    run("r2", "tool", {"order_id": "A1"}, {"output": "shipped"}),
    model_run("r3", [SYSTEM, HUMAN, CALL, RESULT], langchain("AI", ANSWER)),
    model_run("r4", [langchain("Human", "Summarise.")], langchain("AI", "Done.")),
]
ROLES = ["system", "user", "assistant", "tool", "assistant"]


@pytest.mark.parametrize("nested", [False, True])
def test_a_trace_is_the_conversation_of_its_last_model_call(tmp_path: Path, nested: bool) -> None:
    rows = [{**TRACE[0], "child_runs": TRACE[1:]}] if nested else TRACE[::-1]
    (episode,) = imported(write_lines(tmp_path / "runs.jsonl", rows), tmp_path / "out")
    assert [m.role for m in episode.messages] == ROLES and episode.messages[-1].content == ANSWER
    (call,) = episode.messages[2].tool_calls or ()
    assert (call.function.name, call.function.parsed()) == ("get_order", {"order_id": "A1"})
    assert (episode.task_id, episode.backbone, episode.settings) == ("root", "m", "temperature=0.7")
    assert [tool.name for tool in episode.tools] == ["get_order"]
    assert episode.source.importer == "langsmith" and episode.outcome.reason == "no outcome in the log"


def test_traces_of_a_thread_are_one_conversation(tmp_path: Path) -> None:
    extra = {"metadata": {"thread_id": "t7"}}
    said = [("user", "Hi"), ("assistant", "Hello"), ("user", WISH)]
    chat = [{"role": role, "content": content} for role, content in said]
    answer = {"choices": [{"message": {"role": "assistant", "content": ANSWER}}]}
    rows = [
        run("r1", "llm", {"messages": chat[:1]}, {"choices": []}, trace_id="a", extra=extra),
        run("r2", "llm", {"model": "gpt", "messages": chat}, answer, trace_id="b", extra=extra),
    ]
    (episode,) = imported(write_json(tmp_path / "runs.json", rows), tmp_path / "out")
    assert [m.content for m in episode.messages] == ["Hi", "Hello", WISH, ANSWER]
    assert (episode.task_id, episode.backbone) == ("t7", "gpt")


def test_a_graph_whose_state_repeats_its_inputs_and_a_root_that_failed(tmp_path: Path) -> None:
    state = [HUMAN, langchain("AI", ANSWER)]
    told = {"parent_run_id": None, "trace_id": "r1", "success": True}
    graph = run("r1", "chain", {"messages": [HUMAN]}, {"messages": state}, **told)
    failed = {"parent_run_id": None, "trace_id": "r2", "error": "RateLimitError"}
    lost = run("r3", "tool", {"order_id": "A1"}, {"output": "shipped"}, trace_id="r3")
    rows = [graph, run("r2", "llm", {"messages": [HUMAN]}, None, **failed), lost]
    whole, broken, empty = imported(write_json(tmp_path / "runs.json", rows), tmp_path / "out")
    assert [m.content for m in whole.messages] == [WISH, ANSWER] and whole.outcome.status == "success"
    assert (broken.outcome.status, broken.outcome.reason) == ("error", "RateLimitError")
    assert "no run with messages in its inputs" in (empty.outcome.reason or "")


@pytest.mark.parametrize("said", [[["user", WISH]], [[["user", WISH]]], WISH])
def test_messages_in_short_are_read(tmp_path: Path, said: Any) -> None:
    """A graph takes pairs of role and content, or words alone; a pair counted as two messages, which are none."""
    extra = {"metadata": {"ls_temperature": None}, "invocation_params": {"temperature": 0.3}}
    asked = run("r1", "llm", {"messages": said}, {"messages": [["ai", ANSWER]]}, extra=extra, messages=None)
    (episode,) = imported(write_json(tmp_path / "runs.json", [asked]), tmp_path / "out")
    assert [(m.role, m.content) for m in episode.messages] == [("user", WISH), ("assistant", ANSWER)]
    assert (episode.settings, episode.source.importer) == ("temperature=0.3", "langsmith")


def test_runs_inside_a_run_are_of_its_trace(tmp_path: Path) -> None:
    """Those without ids of their own were traces beside it, and took its outcome from it."""
    child = {key: value for key, value in TRACE[3].items() if key not in ("trace_id", "parent_run_id")}
    root = {key: value for key, value in TRACE[0].items() if key != "trace_id"} | {"success": True}
    rows = [{**root, "child_runs": [child]}, run("x1", "llm", {"messages": [HUMAN]}, None, trace_id="x", child_runs=5)]
    whole, other = imported(write_json(tmp_path / "runs.json", rows), tmp_path / "out")
    assert [m.role for m in whole.messages] == ROLES and whole.outcome.status == "success"
    assert [m.content for m in other.messages] == [WISH]
