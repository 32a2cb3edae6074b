"""Reading of a request's messages and tools, OpenAI dicts or objects of the SDK, as a conversation."""

import hashlib
import json
from collections import OrderedDict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from threading import Lock
from typing import Any

from fama.advising.request_messages import content_key, known_as, read_messages
from fama.agents.strategies.base import Chat
from fama.episodes.foreign.logged_tools import functions_of
from fama.episodes.records import ROLE_KEY, Message, ToolSpec
from fama.episodes.state import policy_of, policy_span, turn_of
from fama.errors import BadInput
from fama.models.prefix import AgentRequest
from fama.text.clean import clean, clean_value

#: What reading a value of another shape than OpenAI's may raise; pydantic's error is a ``ValueError``.
_SHAPE_FAULTS = (LookupError, ValueError, TypeError, AttributeError, ArithmeticError, RecursionError)


@dataclass(frozen=True)
class Conversation:
    """A request as it was given and as it was read.

    ``chat`` and ``raw_tools`` are the caller's as OpenAI dicts, the tools without stated roles. ``history`` has the
    policy as its system message, where there is one. ``turn`` is the 0-based index of the coming decision: the
    assistant's messages since the user's first.
    """

    chat: tuple[Chat, ...]
    raw_tools: tuple[Chat, ...]
    policy: str
    tools: tuple[ToolSpec, ...]
    history: tuple[Message, ...]
    turn: int

    def request(self) -> AgentRequest:
        """Return the caller's own request, which helper agents put their questions behind."""
        return AgentRequest(self.chat, self.raw_tools)

    def messages(self) -> tuple[Message, ...]:
        """Return the history without system messages, as a visible state has it."""
        return tuple(message for message in self.history if message.role != "system")

    def is_begun(self) -> bool:
        """Return whether the last message is the assistant's, so that the reply goes on with it and no note fits."""
        last = self.history[-1].role if self.history else ""
        return "assistant" in (last, str(self.chat[-1].get("role")).lower())

    def prefixes(self) -> tuple[list[str], str]:
        """Return the hashes of the history before each assistant's message, the latest first, and of all of it.

        The tools are no part of them: agents offer other ones from step to step, and none for a last summary.
        """
        digest = hashlib.sha256()
        before: list[str] = []
        for message in self.history:
            if message.role == "assistant":
                before.append(digest.hexdigest())
            digest.update(known_as(message).model_dump_json().encode())
            digest.update(b"\n")
        return before[::-1], digest.hexdigest()


def read_conversation(messages: Iterable[Any], tools: Iterable[Any] | None, policy: str | None) -> Conversation:
    """Read a request; nothing of the caller's is changed.

    The policy is the first system or developer message and those directly behind it where it is None; where it is
    given, it stands in for them.

    Raises:
        BadInput: messages or tools do not have the form of OpenAI's, or there is no message.
    """
    chat = _dicts(messages, "messages")
    raw_tools = () if tools is None else _dicts(tools, "tools")
    if not chat:
        raise BadInput("messages: empty; give at least the user's first message")
    if policy is not None and not isinstance(policy, str):
        raise BadInput(f"policy: a {type(policy).__name__}; give a text, or None for that of the system messages")
    try:
        read = read_messages(chat)
    except BadInput as error:
        raise BadInput(f"{error}"[:400]) from None
    except _SHAPE_FAULTS as error:
        raise _unlike("messages", error) from None
    begin, end = policy_span(read)
    told = policy_of(read) if policy is None else clean(policy)
    rest = (*read[:begin], *read[end:])
    history = (Message(role="system", content=told), *rest) if told else rest
    return Conversation(chat, tuple(without_roles(raw_tools)), told, _tools(raw_tools), history, turn_of(rest))


def tools_in(request: Mapping[str, Any]) -> Any:
    """Return the tools of a chat request; where it has none, the ``functions`` of OpenAI's older form as tools."""
    tools, older = request.get("tools"), request.get("functions")
    if tools or not isinstance(older, list):
        return tools
    return [{"type": "function", "function": function} for function in older]


def without_roles(tools: Sequence[Any]) -> list[Any]:
    """Return definitions of tools without the roles that they state, which servers do not know and some refuse."""
    return [_without_role(tool) for tool in tools]


def _without_role(holder: Any) -> Any:
    """Return a tool, its function or its schema without a role; the very same where none is stated."""
    if not isinstance(holder, dict):
        return holder
    inner = {key: _without_role(holder[key]) for key in ("function", "parameters") if key in holder}
    if ROLE_KEY not in holder and all(plain is holder[key] for key, plain in inner.items()):
        return holder
    return {key: inner.get(key, value) for key, value in holder.items() if key != ROLE_KEY}


def _dicts(values: Iterable[Any], name: str) -> tuple[Chat, ...]:
    if isinstance(values, str | bytes | Mapping) or not isinstance(values, Iterable):
        raise BadInput(f"{name}: a {type(values).__name__}; give a list of OpenAI {name}")
    return tuple(_as_dict(value, f"{name}[{index}]") for index, value in enumerate(values))


def _as_dict(value: Any, place: str) -> Chat:
    """Return a message or tool as a dict; of objects of the SDK, also inside of it, what the SDK would send."""
    try:
        if isinstance(value, Mapping) and content_key(value) is not None:
            return {**value}
        found = _as_json(value)
    except _SHAPE_FAULTS as error:
        raise _unlike(place, error) from None
    if isinstance(found, dict):
        return found
    raise BadInput(f"{place}: a {type(value).__name__}; give a dict or an object of the openai package")


def _as_json(value: Any) -> Any:
    """Return a value with the fields that were set in place of objects of the SDK."""
    if isinstance(value, Mapping):
        return {key: _as_json(inner) for key, inner in value.items()}
    if isinstance(value, list | tuple):
        return [_as_json(inner) for inner in value]
    dump = getattr(value, "model_dump", None)
    return value if dump is None else dump(mode="json", exclude_unset=True)


def _tools(raw: Sequence[Chat]) -> tuple[ToolSpec, ...]:
    try:
        return _TOOLS.read(raw)
    except BadInput:
        raise
    except _SHAPE_FAULTS as error:
        raise _unlike("tools", error) from None


class _ToolCache:
    """The tools of the latest requests, of at most so many bytes in all and always of the last one.

    Every request of an agent has the same tools, so that they are read once and stay one object. Advisors share it,
    each with a thread of its own.
    """

    def __init__(self, size: int) -> None:
        self._size, self._held = size, 0
        self._lock = Lock()
        self._kept: OrderedDict[bytes, tuple[ToolSpec, ...]] = OrderedDict()

    def __len__(self) -> int:
        return len(self._kept)

    def read(self, raw: Sequence[Chat]) -> tuple[ToolSpec, ...]:
        """Return the tools of their definitions.

        Raises:
            BadInput: a definition has no name, or states a role that is none.
            TypeError: a definition holds what JSON cannot.
        """
        key = content_key(raw)
        if key is None:
            key = json.dumps(raw).encode()
        with self._lock:
            if key in self._kept:
                self._kept.move_to_end(key)
                return self._kept[key]
        made = functions_of(clean_value(json.loads(json.dumps(raw))))
        with self._lock:
            found = self._kept.setdefault(key, made)  # another thread may have read them meanwhile
            if found is made:
                self._held += len(key)
                while self._held > self._size and len(self._kept) > 1:
                    self._held -= len(self._kept.popitem(last=False)[0])
        return found


_TOOLS = _ToolCache(2**22)


def _unlike(place: str, error: Exception) -> BadInput:
    kind = type(error).__name__
    return BadInput(f"{place}: not in the form of OpenAI's chat requests ({kind}); give what the endpoint would take")
