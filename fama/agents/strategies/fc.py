"""Native function calling: tools go to the server, calls come back as such; JSON in text is taken too."""

from collections.abc import Sequence
from dataclasses import replace

from fama.agents.strategies.base import Chat, Placement, Prompt, Written, place_note, tool_json
from fama.agents.strategies.parser import ParseFailure, parse_calls, parse_text
from fama.envs.base import Action
from fama.episodes.records import Message, ToolSpec
from fama.models.base import ChatReply
from fama.prompts import render
from fama.text.markup import UNCLOSED, read_markup


class FunctionCalling:
    """History in OpenAI form as it is; plain words of a reply go to the user."""

    name = "fc"
    template = "agents/fc.v1"

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
        chat: list[Chat] = [{"role": "system", "content": render(self.template, policy=policy)}]
        for conversation in (*demonstrations, messages):
            chat += [_openai(message) for message in conversation if message.role != "system"]
        opening = place_note(chat, note, placement)
        return Prompt(tuple(chat), prefill=opening, tools=tuple(map(tool_json, tools)), note_prefix=opening)

    def parse(self, reply: ChatReply, prompt: Prompt, tools: Sequence[ToolSpec]) -> Action | ParseFailure:
        """Return the first native call, else the action of JSON in the text, else the text as words."""
        text = prompt.without_note(reply.text).strip()
        native = parse_calls(reply.tool_calls, tools)
        if native is None:
            action = parse_text(text, tools, prose=True)
            if isinstance(action, ParseFailure) or action.tool is not None:
                return action
            words = prompt.without_note(action.text).strip()  # a thought may come before the note
            return replace(action, text=words) if words else ParseFailure("the reply holds nothing but the note")
        if isinstance(native, ParseFailure) or native.tool is None:
            return native
        beside = read_markup(text)
        if beside.problem == UNCLOSED:
            return ParseFailure(beside.problem)
        return replace(native, text=prompt.without_note(beside.words).strip())

    def write(self, message: Message) -> Written:
        """Return the message's words and calls."""
        return Written(message.content or "", message.tool_calls or ())


def _openai(message: Message) -> Chat:
    chat: Chat = message.model_dump(exclude_none=True, exclude={"failed"})
    chat.setdefault("content", "")
    if "tool_calls" in chat:
        chat["tool_calls"] = list(chat["tool_calls"])
    return chat
