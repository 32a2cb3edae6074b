"""LangChain's agent, a LangGraph, over LangChain's client of OpenAI: whole, streamed, and in an event loop."""

import asyncio
from pathlib import Path
from typing import Any

import pytest

from tests.support.clients import ANSWER, FOUND, NOTE, QUESTION, SYSTEM, check_records, desk

pytestmark = pytest.mark.slow  # its import takes seconds
agents = pytest.importorskip("langchain.agents", reason="langchain is not installed: pip install -e '.[clients]'")
chat = pytest.importorskip("langchain_openai", reason="langchain-openai is not installed: pip install -e '.[clients]'")


def find_order(order_id: str) -> str:
    """Finds it."""
    assert order_id == "W1"
    return FOUND


def question(greeting: str) -> Any:
    return {"messages": [{"role": "user", "content": f"{greeting} {QUESTION}"}]}


def test_an_agent_with_a_tool(tmp_path: Path) -> None:
    with desk(tmp_path) as one:
        model = chat.ChatOpenAI(model="m", base_url=one.base_url, api_key="k", max_retries=0, stream_usage=True)
        agent = agents.create_agent(model, [find_order], system_prompt=SYSTEM)
        ends = [agent.invoke(question("Hello."))["messages"]]
        said, state = "", {}
        for kind, event in agent.stream(question("Hi."), stream_mode=["messages", "values"]):
            if kind == "values":
                state = event
            elif event[1]["langgraph_node"] == "model":
                said += event[0].content
        ends += [state["messages"], asyncio.run(agent.ainvoke(question("Please.")))["messages"]]
        one.check_notes(6)
        assert [asked.get("stream", False) for asked in one.upstream.asked] == [False, False, True, True, False, False]
    assert said == ANSWER
    for messages in ends:
        assert [message.type for message in messages] == ["human", "ai", "tool", "ai"]
        assert messages[-1].content == ANSWER and NOTE not in repr(messages)
    check_records(one.folder, 3)
