"""OpenAI's Agents SDK: an agent with a function tool, run whole and streamed, over chat completions."""

import asyncio
from pathlib import Path
from typing import Any

import openai
import pytest

from tests.support.clients import ANSWER, FOUND, NOTE, QUESTION, SYSTEM, check_records, desk

pytestmark = pytest.mark.slow  # its import takes seconds
agents = pytest.importorskip("agents", reason="openai-agents is not installed: pip install -e '.[clients]'")


def find_order(order_id: str) -> str:
    """Finds it."""
    assert order_id == "W1"
    return FOUND


async def run(base_url: str) -> tuple[Any, Any, str]:
    """Run the agent whole and streamed; return both results and the words of the stream."""
    async with openai.AsyncOpenAI(base_url=base_url, api_key="k", max_retries=0) as client:
        agent = agents.Agent(
            name="support",
            instructions=SYSTEM,
            tools=[agents.function_tool(find_order)],
            model=agents.OpenAIChatCompletionsModel(model="m", openai_client=client),
            model_settings=agents.ModelSettings(include_usage=True),
        )
        whole = await agents.Runner.run(agent, f"Hello. {QUESTION}")
        streamed = agents.Runner.run_streamed(agent, f"Hi. {QUESTION}")
        said = ""
        async for event in streamed.stream_events():
            data: Any = getattr(event, "data", None)
            if getattr(data, "type", "") == "response.output_text.delta":
                said += data.delta
    return whole, streamed, said


def test_an_agent_with_a_tool(tmp_path: Path) -> None:
    agents.set_tracing_disabled(True)
    with desk(tmp_path) as one:
        whole, streamed, said = asyncio.run(run(one.base_url))
        one.check_notes(4)
        assert [bool(asked.get("stream")) for asked in one.upstream.asked] == [False, False, True, True]
    assert said == ANSWER
    for result in (whole, streamed):
        assert result.final_output == ANSWER
        kept = result.to_input_list()
        assert len(kept) == 4 and NOTE not in repr(kept)
    check_records(one.folder, 2)
