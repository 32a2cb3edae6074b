"""Tool calls that servers leave in the text, in the markup of the model's family."""

import re
from typing import NamedTuple

from fama.text.bracket_calls import is_expression
from fama.text.call_bodies import Body, read_call_body, read_elements, read_named_element, read_python
from fama.text.named_calls import Tools

_ANY_END = r"</?(?:\w+:)?(?:tool_?calls?|function_?calls?)>|<\|/tool_calls?\|>|<tool_call\|>"


class _Block(NamedTuple):
    """A markup by how it begins and ends; ``bare`` ones have their beginning inside what is read."""

    begin: re.Pattern[str]
    end: re.Pattern[str]
    bare: bool = False


def _block(begin: str, end: str, bare: bool = False) -> _Block:
    flags = re.IGNORECASE | re.MULTILINE
    return _Block(re.compile(begin, flags), re.compile(end, flags), bare)


_BLOCKS = (
    _block(r"<\|tool_call_begin\|>", r"<\|tool_call_end\|>"),  # DeepSeek, Kimi
    _block(r"<\|tool_calls?_start\|>", r"<\|tool_calls?_end\|>"),  # LFM
    _block(r"<\|tool_calls?\|?>", rf"{_ANY_END}|<\|(?:end|end_of_text|tool_calls?)\|>"),  # Granite, Phi, Gemma
    _block(r"<(?:\w+:)?(?:tool_?calls?|function_?calls?)>", _ANY_END),  # Hermes, Qwen, GLM, Nemotron, MiniMax
    _block(r"\[TOOL_CALLS\]", r"\[TOOL_CALLS\]|\[/TOOL_CALLS\]"),  # Mistral
    _block(r"<\|python_start\|>", r"<\|python_end\|>"),  # Llama 4
    _block(r"<\|tools_prefix\|>", r"<\|tools_suffix\|>"),  # Apertus
    _block(r"<start_function_call>", r"<end_function_call>"),  # FunctionGemma
    _block(r"<\|python_tag\|>", r"<\|eom_id\|>|<\|eot_id\|>"),  # Llama
    _block(r"<\|START_ACTION\|>", r"<\|END_ACTION\|>"),  # Command
    _block(r"<\|action_start\|>", r"<\|action_end\|>"),  # InternLM
    _block(r"^```(?:tool_code|tool_calls?|function_calls?)\b", r"```"),  # Gemma
    _block(r"^[ \t]*functools(?=\[)", r"(?!)"),  # Phi
    _block(r"<function(?:=|\s+name=)", r"</function\s*>", bare=True),  # Qwen3-Coder, Llama
    _block(r"<(?:\w+:)?invoke\s+name=", r"</(?:\w+:)?invoke\s*>", bare=True),
)
#: What only a call's markup holds; where it is left over, a call could not be read.
_SIGN = re.compile(
    r"</?\|?/?(?:\w+:)?(?:tool_?calls?|function_?calls?)\b|</?(?:\w+:)?(?:function|invoke|parameter)(?:[=>]|\s+name=)|"
    r"</?arg_(?:key|value)>|\[(?:TOOL_CALLS|ARGS|CALL_ID)\]|<\|(?:python_tag|python_start|tools_prefix|tool_sep|START_ACTION|action_start)\|>|<(?:start|end)_function_call>|"
    r"^```(?:tool_code|tool_calls?|function_calls?)\b|^[ \t]*functools\[|\bto=functions\.|"
    r"<\|(?:channel|constrain|message|recipient)\|>|</?use_mcp_tool\b|<bot_end>|<\|?/?(?:tool_c|function_c)\w*\Z",
    re.IGNORECASE | re.MULTILINE,
)
_FENCED = re.compile(r"```(?:python|py)?[ \t]*\n(?P<body>.*)```", re.DOTALL)
#: A text that begins as the call of a function: of a tool, it is one that cannot be read.
_CALLED = re.compile(r"(?:```(?:python|py)?\s+)?(?P<name>\w{1,200})\(")
_BARE_ARGUMENTS = re.compile(r"\s*[\w.-]+\s*(?:\[ARGS\]|(?=\{))\s*\{.*\}\s*", re.DOTALL)


class Taken(NamedTuple):
    """The text without the calls, the calls, and whether a call's markup was left that cannot be read."""

    rest: str
    calls: Body
    unread: bool


def take_calls(text: str, tools: Tools) -> Taken:
    """Take every call's markup out of a text."""
    whole = _whole(text, tools)
    if whole:
        return Taken("", whole, False)
    called = _CALLED.match(bare := text.strip())
    if called and called["name"] in tools and is_expression(bare.strip("`")):
        return Taken(text, (), True)
    calls: list[Body] = []
    for block in (*_BLOCKS, *_named_blocks(text, tools)):
        position = 0
        while (begin := block.begin.search(text, position)) is not None:
            end = block.end.search(text, begin.end())
            inside = text[begin.start() if block.bare else begin.end() : end.start() if end else len(text)]
            if block.bare:
                element = inside + end[0] if end else ""
                found = read_elements(element, tools) or read_named_element(element, tools)
            else:
                found = read_call_body(inside, tools, end is not None)
            if not found:
                if not calls:
                    return Taken(text, (), True)
                break
            calls.append(found)
            # An end that is the beginning of the next call stays.
            repeats = end is not None and block.begin.fullmatch(end[0]) is not None
            text = text[: begin.start()] + (text[end.start() if repeats else end.end() :] if end else "")
            position = begin.start()
    found_calls = tuple(call for body in calls for call in body)
    return Taken(text, found_calls, not found_calls and has_sign(text))


def _named_blocks(text: str, tools: Tools) -> list[_Block]:
    """Return the markups that are called as a tool: ``<get_order><order_id>W1</order_id></get_order>`` (Cline)."""
    named = [name for name in tools if f"<{name}>" in text]
    return [_block(f"(?=<{re.escape(name)}>)", f"</{re.escape(name)}>", bare=True) for name in named]


def has_sign(text: str) -> bool:
    """Return whether a text holds what only a call's markup holds."""
    return _SIGN.search(text) is not None


def _whole(text: str, tools: Tools) -> Body:
    """Read calls without a beginning mark, which must be all of the text."""
    fenced = _FENCED.fullmatch(text.strip())
    text = (fenced["body"] if fenced else text).strip()
    if text.startswith("[") and text.endswith(")]"):
        found = read_python(text, tools)
        return found if not tools or any(call.name in tools for call in found) else ()
    if text.endswith(")") or _BARE_ARGUMENTS.fullmatch(text):
        found = read_python(text, tools) if text.endswith(")") else read_call_body(text, tools, True)
        return found if found and ("[ARGS]" in text or all(call.name in tools for call in found)) else ()
    return ()
