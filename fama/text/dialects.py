"""Rare notations of thoughts and calls, rewritten into the common ones before anything is read."""

import re

from fama.text.json_objects import unfinished
from fama.text.named_calls import Tools

_WIDE_TOKEN = re.compile(r"<\uff5c([^<>\uff5c\n]{1,60})\uff5c>")
#: DeepSeek's and LongCat's prefixes of tags.
_PREFIX = re.compile(r"(</?)(?:[\uff5c|]DSML[\uff5c|]|longcat_)(?=[a-z])")
_MINIMAX = "]<]minimax[>["
_ESCAPE = re.compile(r"<escape>(.*?)<escape>", re.DOTALL)
_GRANITE = re.compile(
    r"\s*Here(?: is|'s) my thought process:(?P<thought>.*?)(?:Here(?: is|'s) my response:(?P<words>.*)|\Z)", re.DOTALL
)
_SOLAR = re.compile(r"<\|/?think\|>|<\|end\|>(?=\s*<\|begin\|>)")
_QWEN = re.compile(
    r"\u273fFUNCTION\u273f:[ \t]*(?P<name>[^\n\u273f]{1,200}?)\s*\u273fARGS\u273f:"
    r"(?P<body>.*?)(?=\u273f[A-Z]+\u273f|\Z)",
    re.DOTALL,
)
_QWEN_RESULT = re.compile(r"\u273fRESULT\u273f.*?(?=\u273f(?:FUNCTION|RETURN)\u273f|\Z)", re.DOTALL)
_QWEN_RETURN = re.compile(r"\u273fRETURN\u273f:?[ \t]*")
_RECIPIENT = re.compile(r"(?:<\|from\|>\s*assistant\s*)?<\|recipient\|>\s*(?P<name>[\w.-]{1,200})\s*<\|content\|>")
_PROMPTED = re.compile(r"^>>>(?P<name>[\w.-]{1,200})\n", re.MULTILINE)
#: Recipients that are no tool.
_EVERYONE = ("all", "user")


def common_form(text: str, tools: Tools) -> str:
    """Return a text in which rare notations are common ones; any other text as it is.

    These are DeepSeek's wide and DSML tags, LongCat's and MiniMax M3's tags, the escapes of FunctionGemma, Granite's
    sentences around a thought, Solar's turns of thought, Functionary's recipients and Qwen-Agent's flowers.
    """
    text = _PREFIX.sub(r"\1", text)
    text = _WIDE_TOKEN.sub(lambda token: "<|" + re.sub("[\u2581 ]", "_", token[1]) + "|>", text)
    text = text.replace(_MINIMAX, "")
    if "<start_function_call>" in text:
        text = _ESCAPE.sub(r'<|"|>\1<|"|>', text)
    if granite := _GRANITE.fullmatch(text):
        end = "" if granite["words"] is None else f"</think>{granite['words']}"
        text = f"<think>{granite['thought']}{end}"
    if "<|begin|>" in text:
        text = _turns_closed(text)
    if "\u273f" in text:
        text = _QWEN.sub(lambda call: _as_call(call["name"], call["body"]), _QWEN_RESULT.sub("", text))
        text = _QWEN_RETURN.sub("", text)
    if "<|recipient|>" in text:
        text = _addressed(text, _RECIPIENT)
    if _PROMPTED.match(text) and all(m["name"] in (*_EVERYONE, *tools) for m in _PROMPTED.finditer(text)):
        text = _addressed(text, _PROMPTED)
    return text


def _turns_closed(text: str) -> str:
    """Return a text in which a turn of thought ends as a thought: ``<|think|>a<|end|><|begin|>``."""
    inside = False

    def closed(mark: re.Match[str]) -> str:
        nonlocal inside
        word = "<|/think|>" if inside and mark[0] == "<|end|>" else mark[0]
        inside = word == "<|think|>"
        return word

    return _SOLAR.sub(closed, text)


def _addressed(text: str, head: re.Pattern[str]) -> str:
    """Return messages to recipients as words and calls."""
    heads = list(head.finditer(text))
    if not heads:
        return text
    ends = [*(m.start() for m in heads[1:]), len(text)]
    pieces = [text[: heads[0].start()]]
    for found, end in zip(heads, ends, strict=True):
        body = text[found.end() : end]
        pieces.append(body if found["name"] in _EVERYONE else _as_call(found["name"], body.removesuffix("<|stop|>")))
    return "".join(pieces)


def _as_call(name: str, body: str) -> str:
    """Return a call in one notation; one that is cut has no end, so that it is not repaired."""
    return f"<tool_call>{name.strip()}[ARGS]{body.strip()}{'' if unfinished(body) else '</tool_call>'}"
