"""Episodes as the requests that an agent would have sent to an OpenAI endpoint."""

from typing import Any

from fama.agents.strategies.base import tool_json
from fama.episodes.records import Episode


def request_before(episode: Episode, turn: int) -> tuple[list[dict[str, Any]], list[dict[str, Any]]]:
    """Messages, the policy among them, and tools before a decision."""
    end = episode.decisions[turn].message_index
    chat = [message.model_dump(exclude_none=True) for message in episode.messages[:end]]
    for message in chat:
        if "tool_calls" in message:
            message["tool_calls"] = list(message["tool_calls"])
    return chat, [tool_json(tool) for tool in episode.tools]
