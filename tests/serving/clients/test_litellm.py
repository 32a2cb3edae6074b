"""LiteLLM's client: a loop with a tool, sync, streamed and async."""

import asyncio
import os
from pathlib import Path
from typing import Any

import pytest

from tests.support.clients import ANSWER, FOUND, NOTE, QUESTION, SYSTEM, TOOL, check_records, desk

pytestmark = pytest.mark.slow  # its import takes seconds
Chat = list[Any]


@pytest.fixture
def litellm(monkeypatch: pytest.MonkeyPatch) -> Any:
    monkeypatch.setitem(os.environ, "LITELLM_LOCAL_MODEL_COST_MAP", "True")
    return pytest.importorskip("litellm", reason="litellm is not installed: pip install -e '.[clients]'")


def goes_on(history: Chat, message: Any) -> bool:
    history.append(message)
    for call in message.tool_calls or ():
        history.append({"role": "tool", "tool_call_id": call.id, "content": FOUND})
    return bool(message.tool_calls)


async def loop(litellm: Any, history: Chat, asked: dict[str, Any]) -> None:
    while goes_on(history, (await litellm.acompletion(messages=history, **asked)).choices[0].message):
        pass


def test_loops_with_a_tool(tmp_path: Path, litellm: Any) -> None:
    histories: list[Chat] = [
        [{"role": "system", "content": SYSTEM}, {"role": "user", "content": f"{word} {QUESTION}"}]
        for word in ("Hello.", "Hi.", "Please.")
    ]
    whole, pieces, later = histories
    with desk(tmp_path) as one:
        asked = {"model": "openai/m", "base_url": one.base_url, "api_key": "k", "tools": [TOOL], "max_retries": 0}
        while goes_on(whole, litellm.completion(messages=whole, **asked).choices[0].message):
            pass
        while True:
            events = litellm.completion(messages=pieces, stream=True, stream_options={"include_usage": True}, **asked)
            built = litellm.stream_chunk_builder(list(events), messages=pieces)
            if not goes_on(pieces, built.choices[0].message):
                break
        asyncio.run(loop(litellm, later, asked))
        one.check_notes(6)
    for history in histories:
        assert len(history) == 5 and history[-1].content == ANSWER and NOTE not in repr(history)
    check_records(one.folder, 3)
