"""The openai package as an agent's client: a loop with a tool, sync, streamed and async."""

import asyncio
import json
from pathlib import Path
from typing import Any

import openai
from openai.lib.streaming.chat import ChatCompletionStreamState

from tests.support.clients import ANSWER, FOUND, NOTE, QUESTION, SYSTEM, TOOL, check_records, desk

Chat = list[Any]


def started(greeting: str) -> Chat:
    return [{"role": "system", "content": SYSTEM}, {"role": "user", "content": f"{greeting} {QUESTION}"}]


def goes_on(history: Chat, message: Any) -> bool:
    """Take a reply into the history, the SDK's object as it is, and answer its calls; return whether there are any."""
    history.append(message)
    for call in message.tool_calls or ():
        assert (call.function.name, json.loads(call.function.arguments)) == ("find_order", {"order_id": "W1"})
        history.append({"role": "tool", "tool_call_id": call.id, "content": FOUND})
    return bool(message.tool_calls)


def streamed(client: openai.OpenAI, history: Chat) -> Any:
    """Ask for a stream; return the message that the SDK puts together of its pieces."""
    state = ChatCompletionStreamState()
    usage: Any = {"include_usage": True}
    events: Any = client.chat.completions.create(
        model="m", messages=history, tools=[TOOL], stream=True, stream_options=usage
    )
    for event in events:
        state.handle_chunk(event)
    return state.get_final_completion().choices[0].message


async def loop(base_url: str, history: Chat) -> None:
    async with openai.AsyncOpenAI(base_url=base_url, api_key="k", max_retries=0) as client:
        while goes_on(
            history,
            (await client.chat.completions.create(model="m", messages=history, tools=[TOOL])).choices[0].message,
        ):
            pass


def test_loops_with_a_tool(tmp_path: Path) -> None:
    whole, pieces, later = histories = [started(word) for word in ("Hello.", "Hi.", "Please.")]
    with desk(tmp_path) as one:
        with openai.OpenAI(base_url=one.base_url, api_key="k", max_retries=0) as client:
            while goes_on(
                whole, client.chat.completions.create(model="m", messages=whole, tools=[TOOL]).choices[0].message
            ):
                pass
            while goes_on(pieces, streamed(client, pieces)):
                pass
        asyncio.run(loop(one.base_url, later))
        one.check_notes(6)
    for history in histories:
        assert len(history) == 5 and history[-1].content == ANSWER and NOTE not in repr(history)
    check_records(one.folder, 3)
