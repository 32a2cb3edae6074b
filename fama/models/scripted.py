"""Scripted models: deterministic stand-ins for a language model, for tests and dry runs."""

import json
from collections.abc import Callable

from fama.episodes.records import LedgerRow
from fama.models.base import ChatReply, ChatRequest
from fama.models.prefill import with_prefill
from fama.registry import Registry
from fama.text.tokens import estimate_tokens


class ScriptedModel:
    """Answers with the value of ``reply``: a whole reply, or a text that is then billed.

    Tokens are estimated from the request's and the reply's text; seconds are 0, so that episodes are the
    same in every run. ``reply`` gets the request and may read all of it; it must not keep state if
    episodes run side by side.
    """

    def __init__(self, name: str, reply: Callable[[ChatRequest], str | ChatReply]) -> None:
        self._name = name
        self._reply = reply

    @property
    def name(self) -> str:
        """Return the model's name in ledgers."""
        return self._name

    async def complete(self, request: ChatRequest) -> ChatReply:
        """Return the scripted reply; a text gets the request's prefill at its start if it lacks it."""
        answer = self._reply(request)
        if isinstance(answer, ChatReply):
            return answer
        text = with_prefill(answer, request.prefill)
        return ChatReply(text=text, usage=scripted_usage(self._name, request, text))


def scripted_usage(name: str, request: ChatRequest, text: str) -> LedgerRow:
    """Return the estimated ledger row of a scripted reply; a prefill counts as input."""
    parts = [str(message.get("content") or "") for message in request.messages]
    parts += [json.dumps(message["tool_calls"]) for message in request.messages if message.get("tool_calls")]
    parts += [json.dumps(tool) for tool in request.tools]
    return LedgerRow(
        role=request.role,
        model=name,
        input_tokens=sum(map(estimate_tokens, parts)) + estimate_tokens(request.prefill),
        output_tokens=estimate_tokens(text.removeprefix(request.prefill)),
    )


def _last_user_text(request: ChatRequest) -> str:
    texts = [str(m.get("content") or "") for m in request.messages if m.get("role") == "user"]
    return texts[-1] if texts else ""


ECHO = ScriptedModel("scripted:echo", _last_user_text)
"""Repeats the last user message."""

SCRIPTED: Registry[ScriptedModel] = Registry("scripted_models", {"echo": "fama.models.scripted:ECHO"})
"""Scripted models by name; ``scripted:<name>`` in settings. Tests add their own."""
