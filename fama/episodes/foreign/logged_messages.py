"""Foreign conversations as chat messages: roles, legacy function calls, and ids that pair calls with results."""

import json
import re
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import Any, NamedTuple

from fama.episodes.foreign.fields import absent, cite, from_text, name_of, rows_of
from fama.episodes.foreign.logged_calls import ForeignCall, calls_in, says_nothing
from fama.episodes.foreign.logged_content import (
    PARTS,
    THOUGHTS,
    LoggedContent,
    as_text,
    holds_result,
    is_flagged,
    read_logged_content,
)
from fama.episodes.records import FunctionCall, Message, Role, ToolCall
from fama.errors import BadInput

_NAMES: dict[Role, str] = {
    "system": "system developer",
    "user": "user human customer",
    "assistant": "assistant gpt ai model bot chatbot chatgpt agent function_call tool_call custom_tool_call reasoning",
    "tool": "tool tools function observation ipython tool_response tool_result function_response function_call_output "
    "custom_tool_call_output",
}
ROLES: dict[str, Role] = {name: role for role, names in _NAMES.items() for name in names.split()}
#: Fields that hold what a message says, the first that is there.
_CONTENTS = ("content", "value", "parts", "output", "text", "message", "blocks")
#: Fields of text that name a message and say nothing.
_LABELS = frozenset(
    "role from type name id tool_call_id call_id timestamp created_at time model source status weight loss "
    "finish_reason stop_reason requestor turn_idx index".split()
)
#: Fields beside the messages for the words of the system.
_BESIDE = ("system", "system_prompt")
USER_TOOLS = "calls of the user's own tools and results of these"
#: Items of the Responses API on tools that the provider runs; those of MCP hold a call and its result.
_PROVIDED = re.compile(
    r"(?:web_search|file_search|computer|code_interpreter|local_shell|shell|apply_patch|image_generation|mcp)_call"
    r"(?:_output)?|mcp_list_tools"
)
_THOUGHT_FIELDS = ("reasoning_content", "reasoning", "thinking", "thinking_blocks", "reasoning_details")


def messages_of(rows: Any, omitted: Counter[str] | None = None) -> tuple[Message, ...]:
    """Return chat messages; what an episode has no place for is counted in ``omitted``.

    Call ids that are empty or given twice are replaced; a result goes to the open call of its id, else of its tool's
    name, else to the first open one.

    Raises:
        BadInput: a message is none, its role is unknown, or a call has no name.
    """
    counter: Counter[str] = Counter() if omitted is None else omitted
    return paired((spoken_in(row, counter) for row in rows_of(rows, "messages")), counter)


def with_system(rows: list[Any], holder: Mapping[str, Any]) -> list[Any]:
    """Return messages with the system's words first, which Anthropic's requests and sets keep beside them.

    Messages that begin with such words stay as they are.
    """
    told = next((holder[key] for key in _BESIDE if not absent(holder.get(key)) and holder[key] != []), None)
    first = from_text(rows[0]) if rows else None
    if told is None or (isinstance(first, dict) and _role_of(_unwrapped(first)) == "system"):
        return rows
    return [{"role": "system", "content": told}, *rows]


def paired(rows: Iterable[Iterable["Spoken"]], omitted: Counter[str]) -> tuple[Message, ...]:
    """Return the messages of a conversation from what each of its rows says; ids as ``messages_of`` gives them.

    Calls of the user's own tools, and their results, are none of the agent's: they are left out and counted.

    Raises:
        BadInput: reading a row did; names its place.
    """
    pairing = _Pairing(omitted)
    found: list[Message] = []
    for index, row in enumerate(rows):
        try:
            found += [message for spoken in row if (message := pairing.message(spoken, index)) is not None]
        except BadInput as error:
            raise BadInput(f"messages[{index}]: {error}") from None
    return tuple(found)


@dataclass(frozen=True)
class Spoken:
    """One message before its calls and results are paired."""

    role: Role
    content: str | None
    calls: tuple[ForeignCall, ...] = ()
    call_id: str | None = None
    name: str | None = None
    failed: bool = False

    @cached_property
    def as_told(self) -> Message:
        """Return the message where every id is the one that was told."""
        return self.message([call.id or "" for call in self.calls], self.call_id)

    def message(self, ids: Sequence[str], call_id: str | None) -> Message:
        """Return the message with these ids of its calls, or of the call that it answers."""
        calls = tuple(
            ToolCall(id=made, function=FunctionCall(name=call.name, arguments=call.arguments))
            for made, call in zip(ids, self.calls, strict=True)
        )
        return Message(
            role=self.role,
            content=self.content,
            tool_calls=calls or None,
            tool_call_id=call_id,
            name=self.name,
            failed=True if self.failed else None,
        )


def spoken_in(row: Any, omitted: Counter[str]) -> Iterator[Spoken]:
    """Yield the messages that one row holds, in the order in which they were said.

    In a user's turn results stand before the words. In the agent's they are of tools that its provider runs: each
    stands behind its call, and what is said upon it is a message of its own.

    Raises:
        BadInput: it is no message, its role is unknown, or a call has no name.
    """
    row = from_text(row)
    if not isinstance(row, dict):
        raise BadInput(f"{cite(row)} is no message; is this the right format?")
    row = _unwrapped(row)
    if (kind := _item_of_provider(row)) == "mcp_call":
        row = {"role": "assistant", "content": [{**row, "type": "tool_call", "result": row.get("output")}]}
    elif kind:
        omitted[PARTS] += 1
        return
    for piece in _pieces(row):
        yield from _spoken_in_piece(piece, omitted)


def is_row(item: dict[str, Any]) -> bool:
    """Return whether an object names a speaker that is known, or is an item on a tool of the provider."""
    return (name_of(item.get("role")) or name_of(item.get("type"))) in ROLES or bool(_item_of_provider(item))


def _item_of_provider(row: dict[str, Any]) -> str:
    """Return the type of an item on a tool that the provider runs; empty for anything else."""
    kind = row.get("type")
    if not isinstance(kind, str) or row.get("role") is not None or row.get("from") is not None:
        return ""
    return kind if _PROVIDED.fullmatch(kind) else ""


def _pieces(row: dict[str, Any]) -> list[dict[str, Any]]:
    """Return an agent's row, cut behind each result in its content that more follows; any other row as it is."""
    field = _content_field(row)
    parts = row.get(field)
    if not isinstance(parts, list) or _role_of(row) != "assistant":
        return [row]
    named = {key: row[key] for key in ("role", "from", "type", "name") if row.get(key) is not None}
    pairs = enumerate(zip(parts, parts[1:], strict=False), 1)
    cuts = [0, *(place for place, (part, after) in pairs if holds_result(part) and not holds_result(after))]
    heads = ({**named, field: parts[start:end]} for start, end in zip(cuts, cuts[1:], strict=False))
    return [*heads, {**row, field: parts[cuts[-1] :]}]


def _content_field(row: dict[str, Any]) -> str:
    """Return the field that holds what a message says: parts before the words that repeat some of them; else empty."""
    if isinstance(row.get("parts"), list) and row["parts"]:
        return "parts"
    there = [key for key in _CONTENTS if row.get(key) is not None]
    if not there or row[there[0]] not in ("", []):
        return there[0] if there else ""
    return next((key for key in there if row[key] and isinstance(row[key], str | list | dict)), there[0])


def _role_of(row: dict[str, Any]) -> Role | None:
    return ROLES.get(str(row.get("role") or row.get("from") or row.get("type")).lower())


def _spoken_in_piece(row: dict[str, Any], omitted: Counter[str]) -> Iterator[Spoken]:
    named, role = row.get("role") or row.get("from") or row.get("type"), _role_of(row)
    if role is None:
        raise BadInput(f"unknown role {cite(named)}; known: {', '.join(_NAMES)} and their usual names")
    if role == "assistant" and named == "reasoning":
        omitted[THOUGHTS] += 1
        return
    content = _content(row, role, str(named), omitted)
    calls = _united(content.calls, _listed_calls(row, omitted))
    _count_thoughts(row, omitted)
    if content.texts is None and not calls and not content.results:
        _refuse_lost_words(row)
    name = name_of(row.get("name"))
    flagged = role == "tool" and is_flagged(row)
    results = [
        Spoken("tool", result.text, call_id=result.call_id, name=result.name or name, failed=flagged or result.failed)
        for result in content.results
    ]
    call_id = name_of(row.get("tool_call_id")) or (name_of(row.get("call_id")) if role == "tool" else None)
    if role == "tool" and call_id is None:
        call_id = name_of(_beside(row).get("tool_call_id"))
    said = [Spoken(role, content.text, tuple(calls), call_id, name, flagged)]
    if content.results and content.texts is None and not calls:
        said = []
    yield from (*said, *results) if role == "assistant" else (*results, *said)


def _listed_calls(row: dict[str, Any], omitted: Counter[str]) -> list[ForeignCall]:
    """Return the calls of a message's own fields, of LangChain's those whose arguments are no JSON as well.

    LangChain keeps the provider's form beside them, alone in logs of an early release; LlamaIndex has no other.
    """
    calls = calls_in(row.get("tool_calls"), omitted) or calls_in(row.get("function_call"), omitted)
    calls += calls_in(row.get("invalid_tool_calls"), omitted)
    early = _beside(row)
    return calls if calls or not early else _listed_calls(early, omitted)


def _beside(row: dict[str, Any]) -> dict[str, Any]:
    """Return what LangChain and LlamaIndex keep of a provider's message beside their own fields."""
    held = from_text(row.get("additional_kwargs"))
    return held if isinstance(held, dict) else {}


def _united(inside: Sequence[ForeignCall], listed: Sequence[ForeignCall]) -> list[ForeignCall]:
    """Return the calls of a message once each, where parts of its content and a field of its own hold them both.

    LangChain's messages of Anthropic do; in those that were streamed only the field has the arguments.
    """
    left, found = list(listed), []
    for call in inside:
        same = next((one for one in left if _is_same(call, one)), None)
        if same is not None:
            left.remove(same)
        found.append(call if same is None or says_nothing(same.arguments) else same)
    return [*found, *left]


def _is_same(one: ForeignCall, other: ForeignCall) -> bool:
    if one.id and other.id:
        return one.id == other.id
    return (one.name, from_text(one.arguments)) == (other.name, from_text(other.arguments))


def _unwrapped(row: dict[str, Any]) -> dict[str, Any]:
    """Return the message inside LangChain's wrappers, ``{"type", "data"}`` and ``{"lc", "id", "kwargs"}``."""
    for key in ("data", "kwargs"):
        if isinstance(row.get(key), dict) and all(row.get(own) is None for own in ("role", "from", *_CONTENTS)):
            kind = (
                row["id"][-1] if key == "kwargs" and isinstance(row.get("id"), list) and row["id"] else row.get("type")
            )
            kind = str(kind).removesuffix("Chunk").removesuffix("Message").lower()
            return {"type": kind, **{name: value for name, value in row[key].items() if value is not None}}
    return row


def _refuse_lost_words(row: dict[str, Any]) -> None:
    """Refuse a message whose words stand in a field of an unknown name.

    Raises:
        BadInput: no field of content is there, but another one with a text, a list or an object.
    """
    if row.keys() & {*_CONTENTS, *_THOUGHT_FIELDS, "tool_calls", "function_call", "refusal", "audio"}:
        return
    unknown = [
        key for key, value in row.items() if key not in _LABELS and isinstance(value, str | list | dict) and value
    ]
    if unknown:
        raise BadInput(f"no content, but the unknown fields {', '.join(unknown[:4])}; write the words in 'content'")


def _content(row: dict[str, Any], role: Role, named: str, omitted: Counter[str]) -> LoggedContent:
    value = row.get(_content_field(row))
    if named in ("function_call", "tool_call", "custom_tool_call"):
        holder = row if value is None else value
        return LoggedContent(calls=calls_in(holder, omitted))
    content = read_logged_content(value, role, omitted)
    refusal = row.get("refusal")
    if refusal is not None and refusal != content.text:
        content.say(as_text(refusal))
    audio = row.get("audio")
    if not content.text and isinstance(audio, dict) and isinstance(audio.get("transcript"), str):
        content.say(audio["transcript"])
    return content


def _count_thoughts(row: dict[str, Any], omitted: Counter[str]) -> None:
    if any(row.get(key) for key in _THOUGHT_FIELDS):
        omitted[THOUGHTS] += 1


class _OpenCall(NamedTuple):
    """A call that waits for its result: the log's id, the tool, our id and the place of its message.

    A call of the user has no id of ours.
    """

    id: str | None
    name: str
    made: str | None
    message: int


@dataclass
class _Pairing:
    """Gives calls ids that are unique in the conversation, and results the id of the call that they answer.

    A result with an id answers the first open call of that id in the latest message that has one, else a call without
    an id. A result without an id answers a call of its own turn: a user's message closes the calls without ids.
    """

    omitted: Counter[str]
    used: set[str] = field(default_factory=set)
    open: list[_OpenCall] = field(default_factory=list)

    def message(self, spoken: Spoken, index: int) -> Message | None:
        """Return the message with its ids; None for what is between the user and its own tools only."""
        if spoken.role == "user":
            self.open = [call for call in self.open if call.id]
        if spoken.calls and spoken.role != "assistant":
            self.open += [_OpenCall(call.id, call.name, None, index) for call in spoken.calls]
            self.omitted[USER_TOOLS] += len(spoken.calls)
            return replace(spoken, calls=()).as_told if spoken.content else None
        ids = [self._call(call, index, f"call_{index}_{place}") for place, call in enumerate(spoken.calls)]
        call_id = spoken.call_id
        if spoken.role == "tool" and (answered := self._answered(spoken)) is not None:
            if answered.made is None:
                self.omitted[USER_TOOLS] += 1
                return None
            call_id = answered.made
        told = call_id == spoken.call_id and all(made == call.id for made, call in zip(ids, spoken.calls, strict=True))
        return spoken.as_told if told else spoken.message(ids, call_id)

    def _call(self, call: ForeignCall, index: int, fallback: str) -> str:
        made = call.id if call.id and call.id not in self.used else fallback
        while made in self.used:
            made += "_"
        self.used.add(made)
        self.open.append(_OpenCall(call.id, call.name, made, index))
        return made

    def _answered(self, spoken: Spoken) -> _OpenCall | None:
        if spoken.call_id:
            same = [call for call in self.open if call.id == spoken.call_id]
            fitting = [call for call in same if call.message == same[-1].message]
            fitting = fitting or [call for call in self.open if not call.id]
        else:
            fitting = [call for call in self.open if call.name == spoken.name] or self.open
        if not fitting:
            return None
        answered = fitting[0]
        self.open.remove(answered)
        return answered


def as_call_row(calls: Sequence[ForeignCall], content: str | None = None) -> dict[str, Any]:
    """Return an assistant's message with calls."""
    rows = [{"id": call.id, "function": {"name": call.name, "arguments": call.arguments}} for call in calls]
    return {"role": "assistant", "content": content, "tool_calls": json.loads(json.dumps(rows))}
