"""The user of τ²-bench, played by a chat model from the benchmark's own prompt."""

import json
from typing import Any

from fama.envs.base import UserModel
from fama.envs.tau2.package import load_module
from fama.envs.user_model import ask_user
from fama.episodes.records import LedgerRow, ToolCall
from fama.randomness import derive_seed

#: Calls of its own tools in a row, after which the user is broken.
MAX_CALLS = 10


class Tau2User:
    """Sees the dialogue from the other side: the agent's words are its user turns. Telecom's user has tools."""

    def __init__(self, task: Any, tools: list[Any] | None, player: UserModel, seed: int) -> None:
        simulator = load_module("user.user_simulator").UserSimulator(tools=tools, instructions=str(task.user_scenario))
        self._messages: list[dict[str, Any]] = [{"role": "system", "content": simulator.system_prompt}]
        self._tools = tuple(tool.openai_schema for tool in tools or ())
        self._player = player
        self._seed = seed
        self._is_stop = simulator.is_stop
        self._turn = 0

    def hear(self, text: str) -> None:
        """Take in the agent's words."""
        self._messages.append({"role": "user", "content": text})

    def learn(self, call_id: str, result: str) -> None:
        """Take in what one of its own tools answered."""
        self._messages.append({"role": "tool", "tool_call_id": call_id, "content": result})

    def recall(self, message: Any) -> None:
        """Take in a message of a conversation that the task starts in the middle of."""
        if message.role == "tool":
            if message.requestor == "user":
                self.learn(message.id, message.content or "")
        elif message.role == "assistant" and message.has_text_content():
            self.hear(message.content)
        elif message.role == "user":
            self._said(message.content, tuple(message.tool_calls or ()))

    async def act(self) -> tuple[str | None, tuple[ToolCall, ...], LedgerRow]:
        """Return words for the agent, or calls of the user's own tools, and the ledger row.

        Raises:
            UserFault: the model failed, or gave neither.
        """
        self._turn += 1
        answer = await ask_user(
            self._player, self._messages, derive_seed(self._seed, "tau2.user", self._turn), self._tools
        )
        calls = answer.tool_calls if self._tools else ()
        words = answer.text.strip() or None
        self._messages.append(
            {"role": "assistant", "content": words}
            | ({"tool_calls": [call.model_dump() for call in calls]} if calls else {})
        )
        return (None if calls else words), calls, answer.usage

    def ends(self, message: Any) -> bool:
        """Return whether words of the user end the conversation, by the benchmark's own rule."""
        return bool(self._is_stop(message))

    def _said(self, words: str | None, calls: tuple[Any, ...]) -> None:
        row: dict[str, Any] = {"role": "assistant", "content": words}
        if calls:
            row["tool_calls"] = [
                {
                    "id": call.id,
                    "type": "function",
                    "function": {"name": call.name, "arguments": json.dumps(call.arguments)},
                }
                for call in calls
            ]
        self._messages.append(row)
