"""Replies of the model that plays the user: what is no turn of a user is a fault of the user, and billed."""

from dataclasses import dataclass, field
from typing import Any

import pytest

from fama.envs.base import UserModel
from fama.envs.user_model import ask_user
from fama.episodes.records import LedgerRow
from fama.errors import UserFault
from fama.models.base import ChatReply, ChatRequest, billed


@dataclass
class OneReply:
    text: str
    more: dict[str, Any] = field(default_factory=dict)
    name: str = "player"

    async def complete(self, request: ChatRequest) -> ChatReply:
        row = LedgerRow(role=request.role, model=self.name, input_tokens=9, output_tokens=3)
        return ChatReply(text=self.text, usage=row, **self.more)


@pytest.mark.parametrize(
    ("reply", "why"),
    [
        (OneReply("I cannot play that role.", {"refused": True}), "refused to answer: I cannot play that role."),
        (OneReply("My order is", {"finish_reason": "content_filter"}), "refused to answer"),
        (OneReply(" "), "said nothing"),
        (OneReply("<think>What do I want", {"finish_reason": "length"}), "said nothing"),
    ],
)
async def test_what_is_no_turn_of_a_user_is_its_fault_and_billed(reply: OneReply, why: str) -> None:
    with pytest.raises(UserFault, match=f"the model that plays the user failed: {why}") as caught:
        await ask_user(UserModel(reply), [{"role": "user", "content": "Hello?"}], 0)
    (row,) = billed(caught.value)
    assert (row.role, row.input_tokens, row.output_tokens, row.parsed) == ("user", 9, 3, False)


async def test_words_come_without_thoughts() -> None:
    answer = await ask_user(UserModel(OneReply("<think>hm</think>Cancel it.")), [{"role": "user", "content": "?"}], 0)
    assert answer.text == "Cancel it."
