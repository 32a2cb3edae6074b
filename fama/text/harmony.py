"""Harmony, the channels of gpt-oss, where a server left them in the text."""

import re
from typing import NamedTuple

from fama.text.json_objects import first_object
from fama.text.named_calls import NamedCall, Tools, tool_name

_MESSAGE = re.compile(
    r"(?P<head>(?:<\|start\|>[^<]*)?(?:<\|channel\|>[^<]*)?(?:<\|constrain\|>[^<]*)?)<\|message\|>(?P<body>.*?)"
    r"(?P<end><\|end\|>|<\|return\|>|<\|call\|>|(?=<\|start\|>|<\|channel\|>)|\Z)",
    re.DOTALL,
)
_CHANNEL = re.compile(r"<\|channel\|>\s*(\w+)")
_RECIPIENT = re.compile(r"\bto=([^\s<]+)")
_STRIPPED = re.compile(
    r"\s*(?:analysis(?P<thought>.*?))?(?:assistant)?(?:final(?P<words>.*)|"
    r"commentary to=(?P<name>[^\s<]+)\s*(?:code|json)?\s*(?P<arguments>\{.*))",
    re.DOTALL,
)

#: A thought whose tokens were dropped: no word goes on with a capital.
_UNENDED = re.compile(r"\s*analysis(?=[A-Z\"'])")


class Channels(NamedTuple):
    """Words of the final channel and preambles, thoughts of the analysis, calls; ``problem`` if one is not whole."""

    words: str
    thought: str
    calls: tuple[NamedCall, ...]
    problem: str


def read_channels(text: str, tools: Tools) -> Channels | None:
    """Return the messages of a Harmony text, also one whose control tokens were dropped; None if it is none."""
    if "<|message|>" not in text:
        return _without_tokens(text, tools)
    words: list[str] = []
    thoughts: list[str] = []
    calls: list[NamedCall] = []
    problem, position = "", 0
    for message in _MESSAGE.finditer(text):
        words.append(text[position : message.start()])
        position = message.end()
        channel = _CHANNEL.search(message["head"])
        recipient = _RECIPIENT.search(message["head"])
        body = message["body"].strip()
        if recipient is not None and recipient[1] not in ("assistant", "user", "all"):
            name = tool_name(recipient[1], tools)
            arguments = {} if not body and message["end"] == "<|call|>" else first_object(body, repair=False)
            if name is None or arguments is None:
                problem = problem or "a call's arguments are not a JSON object"
            else:
                calls.append(NamedCall(name, arguments))
        elif channel is not None and channel[1] == "analysis":
            thoughts.append(body)
            if not message["end"] and position == len(text):
                problem = problem or "the thought has no end"
        else:
            words.append(body)
    words.append(text[position:])
    said = "\n".join(part.strip() for part in words if part.strip())
    return Channels(said, "\n".join(thoughts), tuple(calls), "" if calls else problem)


def _without_tokens(text: str, tools: Tools) -> Channels | None:
    found = _STRIPPED.fullmatch(text) if text.lstrip().startswith(("analysis", "commentary to=", "assistant")) else None
    if found is None and _UNENDED.match(text):
        return Channels("", text.strip().removeprefix("analysis"), (), "the thought has no end")
    if found is None or (found["words"] is not None and "assistantfinal" not in text):
        return None
    thought = (found["thought"] or "").strip()
    if found["words"] is not None:
        return Channels(found["words"].strip(), thought, (), "")
    name = tool_name(found["name"], tools)
    arguments = first_object(found["arguments"], repair=False)
    if name is None or arguments is None:
        return Channels("", thought, (), "a call's arguments are not a JSON object")
    return Channels("", thought, (NamedCall(name, arguments),), "")
