"""Requests to the chat model that plays a user, for every benchmark."""

import json
import re
from dataclasses import replace
from typing import Any

from fama.envs.base import UserModel
from fama.episodes.records import FunctionCall, LedgerRow, ToolCall
from fama.errors import ModelError, UserFault
from fama.models.base import CallFailed, ChatReply, ChatRequest
from fama.models.ends import ReplyEnd
from fama.models.server_errors import one_line
from fama.randomness import derive_seed
from fama.text.markup import read_markup
from fama.text.named_calls import NamedCall, Tools, named_call

#: The lines around a fenced text.
_FENCE = re.compile(r"\A\s*```\w*\s|```\s*\Z")


class PromptedUser:
    """A user that a chat model plays from one system prompt; the agent's words are its user turns.

    ``stream`` names the random numbers of the benchmark.
    """

    def __init__(self, stream: str, prompt: str, player: UserModel, seed: int) -> None:
        self._stream = stream
        self._messages: list[dict[str, Any]] = [{"role": "system", "content": prompt}]
        self._player = player
        self._seed = seed

    async def answer(self, text: str) -> tuple[str, LedgerRow]:
        """Return the user's words after the agent's, and what they cost.

        Raises:
            UserFault: the model failed or said nothing.
        """
        self._messages.append({"role": "user", "content": text})
        reply = await ask_user(self._player, self._messages, derive_seed(self._seed, self._stream, len(self._messages)))
        words = reply.text.strip()
        self._messages.append({"role": "assistant", "content": words})
        return words, reply.usage


async def ask_user(
    player: UserModel, messages: list[dict[str, Any]], seed: int, tools: tuple[dict[str, Any], ...] = ()
) -> ChatReply:
    """Ask for the user's next turn; without ``tools`` the reply has words, with them words or calls.

    Calls that the server left in the text are calls, too.

    Raises:
        UserFault: the model failed, refused to play, or gave neither words nor calls.
    """
    request = ChatRequest(
        messages=tuple(messages),
        role="user",
        sampling=player.sampling,
        seed=seed % 2**31,
        tools=tools,
        trial=player.trial,
    )
    try:
        reply = await player.model.complete(request)
        if reply.end in (ReplyEnd.REFUSAL, ReplyEnd.CONTENT_FILTER):
            raise _unusable(f"refused to answer: {one_line(reply.text)}", reply)
        if tools and not reply.tool_calls:
            reply = _with_calls(reply, tools, 100 * len(messages))
        else:
            reply = replace(reply, text=reply.words)
        if not reply.text.strip() and not (tools and reply.tool_calls):
            raise _unusable("said nothing", reply)
    except ModelError as error:
        raise UserFault(f"the model that plays the user failed: {error}") from error
    return reply


def _with_calls(reply: ChatReply, tools: tuple[dict[str, Any], ...], first_id: int) -> ChatReply:
    """Return a reply with the calls that its text holds, in markup or as nothing but a JSON object."""
    schemas = {tool["function"]["name"]: tool["function"].get("parameters") or {} for tool in tools}
    marked = read_markup(reply.text, schemas)
    calls = marked.calls or _bare_calls(marked.words, schemas)
    text = marked.words if marked.calls or not calls else ""
    return replace(reply, text=text, tool_calls=tuple(_tool_call(call, first_id + n) for n, call in enumerate(calls)))


def _bare_calls(words: str, schemas: Tools) -> list[NamedCall]:
    """Return the calls of a text that is nothing but their JSON objects, also in a fence; none of any other text."""
    text, at = _FENCE.sub("", words).strip(), 0
    values = []
    while at < len(text):
        try:
            value, end = json.JSONDecoder().raw_decode(text, at)
        except (ValueError, RecursionError):
            return []
        values.append(value)
        at = end + len(text[end:]) - len(text[end:].lstrip(" \t\r\n,;"))
    calls = [named_call(value, schemas) for value in values]
    return [call for call in calls if call is not None and call.name in schemas] if all(calls) else []


def _tool_call(call: NamedCall, number: int) -> ToolCall:
    arguments = call.arguments if isinstance(call.arguments, str) else json.dumps(call.arguments, ensure_ascii=False)
    return ToolCall(id=f"call_{number}", function=FunctionCall(name=call.name, arguments=arguments))


def _unusable(why: str, reply: ChatReply) -> CallFailed:
    """Return the error of a reply that is no turn of a user; it is billed all the same."""
    return CallFailed(why, (reply.usage.model_copy(update={"parsed": False}),))
