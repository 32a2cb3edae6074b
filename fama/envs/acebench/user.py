"""The user of ACEBench's dialogues, played by a chat model from the benchmark's own prompt."""

from fama.envs.acebench.task_files import AceTask, prompt
from fama.envs.base import UserModel
from fama.envs.user_model import PromptedUser
from fama.episodes.records import LedgerRow

FINISH = "finish conversation"
_MODULE = "model_inference.multi_turn.APIModel_user"
_GREETING = {"en": "Is there anything you need help with today?", "zh": "今天有什么需要帮助的吗？"}


class AceUser(PromptedUser):
    """Says what the task's instruction tells it to.

    Its own words are ``assistant`` messages here; ACEBench sends them as further ``system`` messages, which the chat
    templates of several open models refuse.
    """

    def __init__(self, task: AceTask, player: UserModel, seed: int) -> None:
        kind = "BASE" if "BaseApi" in task.row["involved_classes"] else "TRAVEL"
        text = prompt(_MODULE, f"SYSTEM_PROMPT_{kind}", task.language).format(instruction=task.row["question"])
        super().__init__("acebench.user", text, player, seed)
        self._greeting = _GREETING[task.language]

    async def begin(self) -> tuple[str, LedgerRow]:
        """Return the first words, and what they cost."""
        return await self.answer(self._greeting)
