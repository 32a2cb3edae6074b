"""Requests to the chat model that plays a user, for every benchmark."""

from dataclasses import replace
from typing import Any

from fama.envs.base import UserModel
from fama.errors import ModelError, UserFault
from fama.models.base import ChatReply, ChatRequest


async def ask_user(
    player: UserModel, messages: list[dict[str, Any]], seed: int, tools: tuple[dict[str, Any], ...] = ()
) -> ChatReply:
    """Ask for the user's next turn; without ``tools`` the reply has words, with them words or calls.

    Raises:
        UserFault: the model failed, or gave neither words nor calls.
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
        reply = replace(reply, text=reply.words)
    except ModelError as error:
        raise UserFault(f"the model that plays the user failed: {error}") from error
    if not reply.text.strip() and not (tools and reply.tool_calls):
        raise UserFault("the model that plays the user said nothing")
    return reply
