"""A lenient action parser: what small models write, turned into an action or a typed failure."""

import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from fama.envs.base import Action
from fama.episodes.records import ToolCall, ToolSpec
from fama.episodes.state import RESPOND
from fama.models.base import ChatReply
from fama.models.ends import ReplyEnd
from fama.text.call_bodies import read_python
from fama.text.clean import clean
from fama.text.json_objects import first_object, objects, unfinished
from fama.text.markup import UNCLOSED, MarkedText, read_markup
from fama.text.named_calls import NamedCall, arguments_of, named_call, tool_name

_TEXT_KEYS = ("text", "content", "message", "response")
#: Characters of a reply without its thoughts, and with them: reasoning models think for tens of thousands.
_MAX_LENGTH, _LONGEST_THOUGHT = 20_000, 400_000
_ACTION_LINE = re.compile(r"^[ \t>*]*action[ \t*]*:[ \t*]*", re.IGNORECASE | re.MULTILINE)
_ACTION_INPUT = re.compile(r"^[ \t>*]*action[ _]input[ \t*]*:[ \t*]*", re.IGNORECASE | re.MULTILINE)
#: A line that an action's input ends before: what follows is another action, or made up.
_NEXT_LINE = re.compile(
    r"^[ \t>*]*(?:thought|action|observation|tool result|customer)[ \t*]*:", re.IGNORECASE | re.MULTILINE
)
#: A line behind which an input is another action's.
_OTHER_ACTION = re.compile(r"^[ \t>*]*(?:action|observation|tool result)[ \t*]*:", re.IGNORECASE | re.MULTILINE)
_OBJECT_INPUT = re.compile(r"(?:json\s*)?\{")
_EMPTY_INPUT = re.compile(r"(?:none|null|nothing|empty|n/?a|no input)?\W*", re.IGNORECASE)
_NAME = re.compile(r"`?([A-Za-z_][\w.-]*)`?")
#: A JSON object that names a tool; in words to the user it is a call that could not be read.
_NAMED = re.compile(r"[\"'](?:tool|tool_name|name|function|action)[\"']\s*:\s*[\"']([^\"'\n]{1,200})[\"']")
_ARGUMENTS = re.compile(r"[\"'](?:arguments|args|parameters|tool_input)[\"']\s*:")
_BROKEN = 'the JSON is broken or names no tool; write {"tool": NAME, "arguments": {...}} on one line'

Schemas = Mapping[str, Mapping[str, Any]]


@dataclass(frozen=True)
class ParseFailure:
    """The reason why a reply holds no action, in words that the model can act on."""

    reason: str


def parse_end(reply: ChatReply) -> Action | ParseFailure | None:
    """Return what the end of a reply decides by itself: a refusal is said, an incomplete reply is no action.

    None for a complete reply, whose content decides.
    """
    if reply.end is ReplyEnd.REFUSAL:
        return parse_words(reply.text)
    if reply.end is ReplyEnd.LENGTH:
        thinking = read_markup(reply.text).problem == UNCLOSED or (not reply.text.strip() and reply.reasoning)
        what = "while thinking" if thinking else "before it was complete"
        if reply.tool_calls:
            what = "inside its tool call"
        return ParseFailure(f"the reply was cut {what} at the limit of output tokens; write a shorter one")
    if reply.end is ReplyEnd.CONTENT_FILTER:
        return ParseFailure("the reply was cut by the server's content filter; write another one")
    if reply.unread:
        return ParseFailure(f"the reply holds parts that are no text ({', '.join(reply.unread)}); write text")
    return None


def parse_text(text: str, tools: Iterable[str | ToolSpec] = (), prose: bool = False) -> Action | ParseFailure:
    """Read one action from a reply's text.

    Thoughts and control tokens are left out first; tool calls are read in the markup of every model family, in bare and
    fenced JSON with text around it, after ``Action:``, with doubled braces, single quotes, trailing commas and missing
    closing braces. Of several actions the first counts. ``tools`` are the known tools: with them an object such as
    ``{"name": "get_order"}`` counts without arguments. With ``prose``, text that holds no action is said to the user,
    unless it holds what is left of a call. Never raises.
    """
    known = _schemas(tools)
    marked = read_markup(text, known) if len(text) <= _LONGEST_THOUGHT else MarkedText(text)
    if marked.problem:
        return ParseFailure(marked.problem)
    if len(text) - len(marked.thought) > _MAX_LENGTH:
        return ParseFailure(f"the reply is longer than {_MAX_LENGTH} characters; write a shorter one")
    if marked.calls:
        return _action(marked.calls[0], known)
    text = marked.words.strip()
    if not text:
        return ParseFailure("the reply is empty" + (" after its thought" if marked.thought else ""))
    marker = _ACTION_LINE.search(text)
    if marker is not None:
        found = _first_action(text[marker.end() :], known) or _named_lines(text[marker.end() :], known, prose)
        if found is not None:
            return found
    found = _first_action(text, known)
    if found is not None:
        return found
    written = marker is not None and "{" in text[marker.end() :]  # else the word stands in what is said
    if prose and not written and not _holds_broken_call(text, known):
        return Action(tool=None, text=text)
    if "{" in text:
        return ParseFailure(_BROKEN)
    return ParseFailure('no JSON action found; write {"tool": NAME, "arguments": {...}} on one line')


def parse_calls(calls: Iterable[ToolCall], tools: Iterable[str | ToolSpec] = ()) -> Action | ParseFailure | None:
    """Return the first of a reply's native tool calls; None when there is none. Never raises."""
    for call in calls:
        name = clean(call.function.name).strip()
        raw = clean(call.function.arguments)
        if not name:
            return ParseFailure("the tool call has no name")
        if len(raw) > _MAX_LENGTH:
            return ParseFailure(f"the arguments of {name} are longer than {_MAX_LENGTH} characters")
        if unfinished(raw):
            return ParseFailure(f"the arguments of {name} are cut; write the whole call")
        return _action(NamedCall(name, arguments_of(raw)), _schemas(tools))
    return None


def parse_words(text: str) -> Action | ParseFailure:
    """Parse words to the user, without markup."""
    marked = read_markup(text)
    if marked.problem or marked.calls:
        return ParseFailure(marked.problem or "what is said to the user holds a tool call")
    if not marked.words.strip():
        return ParseFailure(f'{RESPOND} needs the argument "text" with what to say')
    return Action(tool=None, text=marked.words.strip())


def _schemas(tools: Iterable[str | ToolSpec]) -> dict[str, Mapping[str, Any]]:
    """Return parameter schemas by name; ``respond`` among them where tools are known."""
    known: dict[str, Mapping[str, Any]] = {}
    for tool in tools:
        if isinstance(tool, ToolSpec):
            known[tool.name] = tool.schema_dict()
        else:
            known[tool] = {}
    return {RESPOND: {}, **known} if known else known


def _action(call: NamedCall, known: Schemas) -> Action | ParseFailure:
    name, arguments = tool_name(call.name, known), call.arguments
    if name is None:
        return ParseFailure("the call names no tool; write the name of one as it is")
    if name == RESPOND and isinstance(arguments, str):
        arguments = {"text": arguments}
    if not isinstance(arguments, dict):
        return ParseFailure(f"the arguments of {name} are not a JSON object")
    if name != RESPOND:
        return Action(tool=name, arguments=arguments)
    words = next((arguments[key] for key in _TEXT_KEYS if key in arguments), None)
    return parse_words(words if isinstance(words, str) else "")


def _first_action(text: str, known: Schemas) -> Action | ParseFailure | None:
    calls = (named_call(value, {RESPOND, *known}) for value in objects(text))
    return next((_action(call, known) for call in calls if call is not None), None)


def _named_lines(text: str, known: Schemas, prose: bool) -> Action | ParseFailure | None:
    """Read ``Action: name`` with ``Action Input: {...}`` below, as in the ReAct paper's prompts.

    In ``prose``, other words below make a summary of it, such as one that the user is to confirm.
    """
    match = _NAME.match(text)
    marker = _ACTION_INPUT.search(text)
    if match and marker and _OTHER_ACTION.search(text, match.end(), marker.start()):
        marker = None
    if match is None or (marker is None and match[1] not in known):
        return None
    behind = text[match.end() :].partition("\n")[0].strip("`* \t")
    if marker is None and behind.startswith(("(", "[")):  # Action: name(key=value)
        calls = read_python(match[1] + behind, known)
        return _action(calls[0], known) if calls else ParseFailure(_BROKEN)
    rest = text[(marker or match).end() :]
    given = _NEXT_LINE.split(rest, maxsplit=1)[0].strip("`* \t\n")
    if prose and marker is None and given and "{" not in given:
        return None
    if match[1] == RESPOND and marker is not None and not _OBJECT_INPUT.match(given):
        arguments: Any = {"text": rest.strip()}
    elif "{" in given:
        arguments = first_object(given)
        if arguments is None:  # what looks like the next line may stand in one of its texts
            arguments = first_object(rest, repair=False)
    else:
        arguments = None if _EMPTY_INPUT.fullmatch(given if marker else behind) is None else {}
    return ParseFailure(_BROKEN) if arguments is None else _action(NamedCall(match[1], arguments), known)


def _holds_broken_call(text: str, known: Schemas) -> bool:
    names: Iterator[str] = (match[1] for match in _NAMED.finditer(text))
    return "{" in text and any(name in known or _ARGUMENTS.search(text) is not None for name in names)
