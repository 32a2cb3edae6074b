"""Tool calls with their results: one type, one pairing, one reading of errors."""

import json
import re
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from fama.dialogue.data import data_of, fields_of
from fama.dialogue.memo import by_identity
from fama.dialogue.text import shorten
from fama.episodes.records import Message
from fama.episodes.state import VisibleState

_ERROR = re.compile(
    r"[\s\[{(\"'\W]*(?:error|fail(?:ed|ure)?|invalid|unknown|not found|no such|exception|traceback)\b", re.IGNORECASE
)
_BUSY = re.compile(
    r"\b(?:busy|try(?:ing)? again|retry|temporar\w*|time[d]?[ -]?out|overload\w*|too many requests"
    r"|rate.?limit\w*|unavailable right now|503)\b",
    re.IGNORECASE,
)
#: Longer results are data that mention a word of these by chance.
_BUSY_LENGTH = 400
_BAD_STATUS = frozenset({"error", "busy"})


@dataclass(frozen=True)
class Call:
    """One tool call.

    ``step`` and ``result_step`` index the messages, ``order`` counts calls, ``raw`` is the text of the arguments.
    ``result`` is None where the log has none: such a call neither failed nor succeeded.
    """

    step: int
    order: int
    name: str
    arguments: dict[str, Any]
    raw: str
    result: str | None = None
    result_step: int | None = None

    @property
    def answered(self) -> bool:
        """Return whether the log has a result."""
        return self.result is not None

    @cached_property
    def busy(self) -> bool:
        """Return whether the result is a passing error, so that the same call could work later."""
        return self.result is not None and len(self.result) < _BUSY_LENGTH and bool(_BUSY.search(self.result))

    @cached_property
    def failed(self) -> bool:
        """Return whether the result reports an error of any kind."""
        return self.result is not None and (is_error(self.result) or (self.busy and not isinstance(self.data, dict)))

    @property
    def succeeded(self) -> bool:
        """Return whether there is a result and it reports no error."""
        return self.answered and not self.failed

    @property
    def data(self) -> Any:
        """Return the result as data, None for plain text."""
        return data_of(self.result)

    @property
    def fields(self) -> tuple[tuple[str, Any], ...]:
        """Return the (key, scalar) pairs of the result."""
        return fields_of(self.result)

    @cached_property
    def key(self) -> str:
        """Return name and canonical arguments: equal keys are identical calls."""
        if not self.arguments:
            return f"{self.name}({self.raw})"
        return f"{self.name}({json.dumps(self.arguments, sort_keys=True)})"

    def quote(self, limit: int = 200) -> str:
        """Return the call as text, cut to ``limit`` characters."""
        return shorten(f"{self.name}({self.raw})", limit)


def is_error(result: str) -> bool:
    """Return whether a tool's result reads as an error, in plain text or by a field of a JSON object."""
    data = data_of(result)
    if isinstance(data, dict):
        status = str(data.get("status", "")).lower()
        verdicts = (data.get("ok"), data.get("success"))
        return bool(data.get("error")) or False in verdicts or status in _BAD_STATUS
    return bool(_ERROR.match(result))


def pair_calls(messages: Sequence[Message]) -> tuple[Call, ...]:
    """Return the calls of a conversation with their results.

    A result belongs to the call with its id, where that id is not empty and stands at one call and at one result of
    the conversation. All others are paired in order, among the tool messages that follow the calls' own message.
    """
    called = Counter(call.id for message in messages for call in message.tool_calls or ())
    answered = Counter(message.tool_call_id for message in messages if message.role == "tool")
    unique = {id_ for id_, count in called.items() if id_ and count == 1 and answered[id_] == 1}
    by_id = {m.tool_call_id: i for i, m in enumerate(messages) if m.role == "tool" and m.tool_call_id in unique}
    calls: list[Call] = []
    for step, message in enumerate(messages):
        if not message.tool_calls:
            continue
        free = _results_after(messages, step, unique)
        for call in message.tool_calls:
            place = by_id.get(call.id)
            if place is None and free:
                place = free.pop(0)
            calls.append(
                Call(
                    step=step,
                    order=len(calls),
                    name=call.function.name,
                    arguments=call.function.parsed(),
                    raw=call.function.arguments,
                    result=None if place is None else messages[place].content or "",
                    result_step=place,
                )
            )
    return tuple(calls)


def _results_after(messages: Sequence[Message], step: int, taken: set[str]) -> list[int]:
    """Return the places of the tool messages right after a step that belong to no call by their id."""
    places = []
    for place in range(step + 1, len(messages)):
        if messages[place].role != "tool":
            break
        if messages[place].tool_call_id not in taken:
            places.append(place)
    return places


def calls(state: VisibleState) -> tuple[Call, ...]:
    """Return the past calls of a state in order, each with its result."""
    return _calls(state.messages)


@by_identity(256)
def _calls(messages: tuple[Message, ...]) -> tuple[Call, ...]:
    return pair_calls(messages)
