"""Thought, then action, as in ReAct (Yao et al. 2023, arXiv 2210.03629)."""

import re
from collections.abc import Sequence
from dataclasses import replace

from fama.agents.strategies.act import Act
from fama.agents.strategies.base import Prompt, Turn, message_actions
from fama.agents.strategies.parser import ParseFailure
from fama.envs.base import Action
from fama.episodes.records import Message, ToolSpec
from fama.models.base import ChatReply
from fama.text.markup import read_markup

#: A thought ends at the line of its action,
_TO_ITS_LINE = re.compile(
    r"[>*\s]*thought[*\s]*:((?:(?!\baction[*\s]*:[*`\s]*\{).)*?)\n[>* \t]*action[*\s]*:", re.IGNORECASE | re.DOTALL
)
#: or at an action on its own line, or where the call begins without the word.
_THOUGHT = re.compile(
    r"[>*\s]*thought[*\s]*:(.*?)"
    r"(?=\baction[*\s]*:[*`\s]*(?:json\s*)?\{+\s*[\"']|(?:```\w*\s*)?\{+\s*[\"']|\Z)",
    re.IGNORECASE | re.DOTALL,
)


class React(Act):
    """One ``Thought:`` line and one ``Action: {json}`` line per reply.

    The thought before a tool call is kept as the content of its message. Words to the user have no
    place for one, so their turns show a plain thought instead.
    """

    name = "react"
    template = "agents/react.v1"
    prefill = "Thought:"
    stop = ("\nTool result:", "\nCustomer:", "\nObservation:", "\nThought:")

    def parse(self, reply: ChatReply, prompt: Prompt, tools: Sequence[ToolSpec]) -> Action | ParseFailure:
        """Return the action behind ``Action:``, with the thought as text of a tool call."""
        action = super().parse(reply, prompt, tools)
        if isinstance(action, ParseFailure) or action.tool is None:
            return action
        words = read_markup(prompt.without_note(reply.text)).words.strip()
        thought = _TO_ITS_LINE.match(words) or _THOUGHT.match(words)
        return replace(action, text=" ".join(thought[1].strip("*> \n").split()) if thought else "")

    def assistant_turn(self, message: Message) -> Turn:
        """Return an assistant message as thought and action."""
        if message.tool_calls:
            plain = f"The next step is {message.tool_calls[0].function.name}."
            thought = message.content or plain
        else:
            thought = "Now I answer the customer."
        lines = [f"Thought: {thought}", *(f"Action: {action}" for action in message_actions(message))]
        return Turn("assistant", "\n".join(lines))
