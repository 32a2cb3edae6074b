"""The user of τ-bench, played by a chat model from the benchmark's own prompt."""

from fama.envs.base import UserModel
from fama.envs.user_model import PromptedUser
from fama.prompts import render

STOP = "###STOP###"
#: What the benchmark opens every conversation with; it is in the user's history only, the agent never sees it.
GREETING = "Hi! How can I help you today?"


class TauUser(PromptedUser):
    """Answers the agent's words. A ``trait`` of τ-trait is asked for in the prompt, not steered in the weights."""

    def __init__(self, prompt: str, trait: str | None, player: UserModel, seed: int) -> None:
        if trait is not None:
            prompt = f"{prompt.rstrip()}\n{render('envs/tau_trait_persona.v1', trait=trait).strip()}"
        super().__init__("tau_bench.user", prompt, player, seed)
