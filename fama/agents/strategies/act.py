"""Action only: each reply is one line of JSON, opened for the model. The default for small backbones."""

from collections.abc import Sequence
from functools import lru_cache

from fama.agents.strategies.base import (
    Placement,
    Prompt,
    Turn,
    Written,
    message_actions,
    place_note,
    signature,
    user_turn,
)
from fama.agents.strategies.parser import ParseFailure, parse_text
from fama.envs.base import Action
from fama.episodes.records import Message, ToolSpec
from fama.models.base import ChatReply
from fama.prompts import render

PREFILL = '{"tool": "'


class Act:
    """Show history and demonstrations as chat turns of one-line JSON actions, without thoughts."""

    name = "act"
    template = "agents/act.v1"
    prefill = PREFILL
    #: Actions are one line, so a line break ends the reply; one inside a string is written as \\n.
    stop: tuple[str, ...] = ("\n",)

    def prompt(
        self,
        messages: Sequence[Message],
        policy: str,
        tools: Sequence[ToolSpec],
        demonstrations: Sequence[Sequence[Message]] = (),
        note: str = "",
        placement: Placement = "assistant",
    ) -> Prompt:
        """Return the prompt of the coming decision."""
        system = _system(self.template, policy, tuple(tools))
        chat = [{"role": "system", "content": system}]
        for conversation in (*demonstrations, messages):
            turns = self._turns(conversation)
            if conversation is not messages:
                while turns and turns[-1].role != "assistant":
                    turns.pop()  # ends on the closing action, so that roles go on alternating
            chat += [{"role": turn.role, "content": turn.content} for turn in turns]
        opening = place_note(chat, note, placement)
        return Prompt(tuple(chat), prefill=opening + self.prefill, stop=self.stop, note_prefix=opening)

    def parse(self, reply: ChatReply, prompt: Prompt, tools: Sequence[ToolSpec]) -> Action | ParseFailure:
        """Return the action of the reply's JSON."""
        return parse_text(prompt.without_note(reply.text), tools)

    def write(self, message: Message) -> Written:
        """Return the message as its turn shows it."""
        return Written(self.assistant_turn(message).content)

    def _turns(self, messages: Sequence[Message]) -> list[Turn]:
        turns: list[Turn] = []
        for message in messages:
            if message.role == "system":
                continue
            turn = self.assistant_turn(message) if message.role == "assistant" else user_turn(message)
            if turns and turns[-1].role == turn.role:
                turn = Turn(turn.role, f"{turns.pop().content}\n{turn.content}")
            turns.append(turn)
        return turns

    def assistant_turn(self, message: Message) -> Turn:
        """Return an assistant message as the model would have written it."""
        return Turn("assistant", "\n".join(message_actions(message)))


@lru_cache(maxsize=64)
def _system(template: str, policy: str, tools: tuple[ToolSpec, ...]) -> str:
    """Return the system message; every decision of a domain has the same one."""
    return render(template, policy=policy, tools=[signature(tool) for tool in tools])
