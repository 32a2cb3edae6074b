"""The user of ACEBench's dialogues, played by a chat model from the benchmark's own prompt."""

from typing import Any

from fama.envs.acebench.task_files import AceTask, prompt
from fama.envs.base import UserModel
from fama.envs.user_model import ask_user
from fama.episodes.records import LedgerRow
from fama.randomness import derive_seed

FINISH = "finish conversation"
_MODULE = "model_inference.multi_turn.APIModel_user"
_GREETING = {"en": "Is there anything you need help with today?", "zh": "今天有什么需要帮助的吗？"}


class AceUser:
    """Says what the task's instruction tells it to.

    Its own words are ``assistant`` messages here; ACEBench sends them as further ``system`` messages, which the chat
    templates of several open models refuse.
    """

    def __init__(self, task: AceTask, player: UserModel, seed: int) -> None:
        kind = "BASE" if "BaseApi" in task.row["involved_classes"] else "TRAVEL"
        text = prompt(_MODULE, f"SYSTEM_PROMPT_{kind}", task.language).format(instruction=task.row["question"])
        self._messages: list[dict[str, Any]] = [{"role": "system", "content": text}]
        self._greeting = _GREETING[task.language]
        self._player = player
        self._seed = seed

    async def begin(self) -> tuple[str, LedgerRow]:
        """Return the first words, and what they cost."""
        return await self.answer(self._greeting)

    async def answer(self, text: str) -> tuple[str, LedgerRow]:
        """Return the user's words after the agent's, and what they cost.

        Raises:
            UserFault: the model failed or said nothing.
        """
        self._messages.append({"role": "user", "content": text})
        reply = await ask_user(
            self._player, self._messages, derive_seed(self._seed, "acebench.user", len(self._messages))
        )
        words = reply.text.strip()
        self._messages.append({"role": "assistant", "content": words})
        return words, reply.usage
