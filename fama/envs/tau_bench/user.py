"""The user of τ-bench, played by a chat model from the benchmark's own prompt."""

from typing import Any

from fama.envs.base import UserModel
from fama.envs.user_model import ask_user
from fama.episodes.records import LedgerRow
from fama.prompts import render
from fama.randomness import derive_seed

STOP = "###STOP###"
#: What the benchmark opens every conversation with; it is in the user's history only, the agent never sees it.
GREETING = "Hi! How can I help you today?"


class TauUser:
    """Answers the agent's words. A ``trait`` of τ-trait is asked for in the prompt, not steered in the weights."""

    def __init__(self, prompt: str, trait: str | None, player: UserModel, seed: int) -> None:
        if trait is not None:
            prompt = f"{prompt.rstrip()}\n{render('envs/tau_trait_persona.v1', trait=trait).strip()}"
        self._messages: list[dict[str, Any]] = [{"role": "system", "content": prompt}]
        self._player = player
        self._seed = seed

    async def answer(self, text: str) -> tuple[str, LedgerRow]:
        """Return the user's words after the agent's, and what they cost.

        Raises:
            UserFault: the model failed or said nothing.
        """
        self._messages.append({"role": "user", "content": text})
        seed = derive_seed(self._seed, "tau_bench.user", len(self._messages))
        reply = await ask_user(self._player, self._messages, seed)
        words = reply.text.strip()
        self._messages.append({"role": "assistant", "content": words})
        return words, reply.usage
