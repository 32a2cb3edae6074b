"""The one reading of a model's text: thoughts, calls and control tokens apart from words.

Live replies, the words inside native calls and text logs of other harnesses go through it alike.
"""

import re
from dataclasses import dataclass

from fama.text.call_markup import has_sign, take_calls
from fama.text.clean import clean
from fama.text.dialects import common_form
from fama.text.harmony import read_channels
from fama.text.named_calls import NamedCall, Tools
from fama.text.thoughts import separate_thoughts

UNCLOSED = "the thought has no end, so the reply holds no action; end it before you act"
UNREAD = "the markup of a tool call cannot be read"
_MAX_PASSES = 8

#: Where a turn ends, or another speaker's begins: what follows is not the agent's.
_TURN_END = re.compile(
    r"<\|(?:im_end|eot_id|eom_id|eot|end|return|end_of_text|endoftext|end_of_turn|end_of_sentence|end_of_message|"
    r"END_OF_TURN_TOKEN|end_of_role_text)\|>|<end_of_turn>|<turn\|>|<end_of_utterance>|<eos>|</s>(?=\s*(?:\[INST\]|<s>|\Z))|"
    r"<\|im_start\|>\s*(?:user|system|tool)\b|<\|start_header_id\|>\s*(?:user|system|tool|ipython)\b|"
    r"<start_of_turn>\s*user\b|<\|(?:user|observation|tool_response)\|>|<tool_response>|\[INST\]|\[TOOL_RESULTS\]",
    re.IGNORECASE,
)
_HEADER = re.compile(
    r"<\|(?:im_start|start_of_role|turn)\|?>\s*(?:assistant|model)\s*(?:<\|end_of_role\|>)?|<start_of_turn>\s*model\b|"
    r"<\|start_header_id\|>\s*assistant\s*<\|end_header_id\|>|<\|(?:start|begin)\|>\s*assistant",
    re.IGNORECASE,
)
_TOKEN = re.compile(
    r"<\|[^|<>\n]{1,60}\|>|<\|[A-Za-z_]{2,40}>|<[A-Za-z_]{2,40}\|>|</?(?:s|bos|eos|pad|unk|mask)>|<unused\d+>|"
    r"<(?:start|end)_of_(?:turn|utterance|image|sentence)>|\[/?(?:INST|SYSTEM_PROMPT|AVAILABLE_TOOLS|TOOL_RESULTS|TOOL_CALLS)\]|"
    r"</?(?:\w+:)?(?:answer|final_answer|response|tool_?calls?|function_?calls?|tool_response)>",
    re.IGNORECASE,
)


@dataclass(frozen=True)
class MarkedText:
    """A text without markup. ``problem`` says why something in it could not be read; there are no words then."""

    words: str
    thought: str = ""
    calls: tuple[NamedCall, ...] = ()
    problem: str = ""


def read_markup(text: str, tools: Tools | None = None) -> MarkedText:
    """Separate a text into words, thoughts and calls; a text without markup comes back as it is.

    Never raises. Reading the words again gives the same words. ``tools`` are the parameter schemas of the tools by
    name: with them, names are recognised without their name space and values get their types.
    """
    tools = tools or {}
    text = common_form(clean(text), tools)
    thoughts: list[str] = []
    calls: list[NamedCall] = []
    for passed in range(_MAX_PASSES):
        before = text
        channels = read_channels(text, tools)
        if channels is not None:
            if channels.problem:
                return _broken(channels.problem, thoughts + [channels.thought])
            text = channels.words
            thoughts.append(channels.thought)
            calls += channels.calls
        words, thought, unclosed = separate_thoughts(text)
        thoughts.append(thought)
        if unclosed:
            return _broken(UNCLOSED, thoughts)
        words = _own_turn(words)
        taken = take_calls(words, tools)
        if taken.unread and not calls or (taken.calls and passed):
            return _broken(UNREAD, thoughts)
        calls += taken.calls
        text = _TOKEN.sub("", _HEADER.sub("", taken.rest))
        if text == before:
            break
        text = text.strip()
    else:
        return _broken(UNREAD, thoughts)
    if has_sign(text):
        text = ""
    return MarkedText(text, "\n".join(filter(None, thoughts)), tuple(calls))


def _own_turn(text: str) -> str:
    """Return the text up to the end of the turn; marks before its first word are passed over."""
    position = 0
    while (end := _TURN_END.search(text, position)) is not None:
        if _TOKEN.sub("", _HEADER.sub("", text[: end.start()])).strip():
            return text[: end.start()]
        position = end.end()
    return text


def _broken(problem: str, thoughts: list[str]) -> MarkedText:
    return MarkedText("", "\n".join(filter(None, thoughts)), (), problem)
