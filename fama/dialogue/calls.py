"""Tool calls with their results: the one reading of what was called and what came back."""

import json
import re
from bisect import bisect_left, bisect_right
from collections import Counter, defaultdict, deque
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import groupby
from typing import Any, NamedTuple

from fama.dialogue.facts import Leaf, data_of, leaves_of
from fama.dialogue.turns import shorten
from fama.episodes.records import Message, ToolCall
from fama.episodes.state import VisibleState
from fama.memo import by_identity

#: How an error in plain text opens.
_ERROR = re.compile(
    r"[\W_]*(?:error|fail(?:ed|ure)?|invalid|unknown|not found|no such|exception|traceback)\b", re.IGNORECASE
)
_BUSY = re.compile(
    r"\b(?:busy|try(?:ing)? again|retry|temporar\w*|time[d]?[ -]?out|overload\w*|too many requests|rate.?limit\w*"
    r"|unavailable|503)\b",
    re.IGNORECASE,
)
#: Plain text that opens like no error is one only if it asks to come back, and says little else.
_COME_BACK = re.compile(
    r"\b(?:(?:is|are|currently|too|system) busy|busy[,.;:!]|try(?:ing)? again|(?:please|to|then|and) retry"
    r"|retry (?:later|in|after|the)|temporar(?:y|ily) (?:un\w+|error|failure|problem|issue|out|down|not)"
    r"|time[d]?[ -]?out|overload\w*|too many requests|unavailable right now)\b"
    r"|^\W*busy\W*$",
    re.IGNORECASE,
)
_SHORT = 400
#: Short plain text that says of something that it does not exist.
_NOT_FOUND = re.compile(r"\bnot (?:be )?found\b|\b(?:could|can) ?not (?:be )?f(?:ind|ound)\b", re.IGNORECASE)
_SENTENCE = 120
_BAD_STATUS = frozenset({"error", "busy"})
#: Such a status is the call's where the object holds nothing else; beside other fields it is a record's.
_FAILED_STATUS = frozenset({"failed", "failure"})
#: Keys of an object that holds no record, only words on what happened.
_WORDS = frozenset({"message", "detail", "msg", "reason", "code", "title"})


@dataclass(frozen=True)
class Call:
    """One tool call. ``step`` and ``result_step`` index the messages; ``order`` counts the calls.

    A call without a result is neither ``failed`` nor ``succeeded``: nobody knows what it did.
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
        """Return whether the log holds a result."""
        return self.result is not None

    @cached_property
    def failed(self) -> bool:
        """Return whether there is a result and it reads as an error."""
        return self.result is not None and is_error(self.result)

    @property
    def succeeded(self) -> bool:
        """Return whether there is a result and it reads as no error."""
        return self.answered and not self.failed

    @cached_property
    def busy(self) -> bool:
        """Return whether the error reads as passing, so that the same call could work later."""
        return self.failed and is_passing(self.result or "")

    @property
    def data(self) -> Any:
        """Return the result as data, None for plain text. Shared: not to be changed."""
        return data_of(self.result)

    @property
    def leaves(self) -> tuple[Leaf, ...]:
        """Return the scalars of the result."""
        return leaves_of(self.result)

    @cached_property
    def key(self) -> str:
        """Return name and canonical arguments: equal keys are identical calls."""
        return call_key(self.name, self.arguments, self.raw)

    def quote(self, limit: int = 200) -> str:
        """Return the call as text, cut to ``limit`` characters."""
        return shorten(f"{self.name}({self.raw})", limit)


class PairedCall(NamedTuple):
    """One tool call as it stands in the messages, with the index of its result's message, None without one."""

    step: int
    call: ToolCall
    result_step: int | None


def call_key(name: str, arguments: Mapping[str, Any], raw: str) -> str:
    """Return name and canonical arguments of a call, ``raw`` where they are no JSON object."""
    return f"{name}({json.dumps(arguments, sort_keys=True)})" if arguments else f"{name}({raw})"


def is_passing(error: str) -> bool:
    """Return whether a result that reads as an error reads as a passing one."""
    return bool(_BUSY.search(error))


def is_error(result: str) -> bool:
    """Return whether a tool's result reads as an error, in plain text or as a field of a JSON object."""
    value = data_of(result)
    if isinstance(value, dict):
        return _is_error_object(value)
    return _is_error_text(result)


def _is_error_object(value: dict[str, Any]) -> bool:
    if value.keys() and value.keys() <= _WORDS:
        return any(isinstance(text, str) and _is_error_text(text) for text in value.values())
    status = value.get("status")
    refused = any(str(value.get(key)).lower() in ("false", "0") for key in ("ok", "success")) or status is False
    if value.keys() <= _WORDS | {"status"}:
        code = isinstance(status, int) and not isinstance(status, bool) and 400 <= status < 600
        refused = refused or code or str(status).lower() in _FAILED_STATUS
    told = any(value.get(key) for key in ("error", "errors", "isError", "is_error"))
    return told or refused or str(status or "").lower() in _BAD_STATUS


def _is_error_text(text: str) -> bool:
    if _ERROR.match(text):
        return True
    if len(text) < _SENTENCE and _NOT_FOUND.search(text):
        return True
    return len(text) < _SHORT and bool(_COME_BACK.search(text))


def calls(state: VisibleState) -> tuple[Call, ...]:
    """Return the past calls of a state, in order."""
    return _calls(state.messages)


def calls_of(messages: Sequence[Message]) -> tuple[Call, ...]:
    """Return the calls in messages, in order, each with its result if there is one.

    An id that stands on one call only names its result wherever that comes. Ids that repeat or are empty say nothing
    beyond their turn (an agent's message up to its next one): there, results go to the calls of the same id in order,
    then those where one side has no id in order. Ids that differ are never paired.
    """
    return tuple(_call(order, one, messages) for order, one in enumerate(pair_calls(messages)))


@by_identity(256)
def _calls(messages: tuple[Message, ...]) -> tuple[Call, ...]:
    return calls_of(messages)


def _call(order: int, paired: PairedCall, messages: Sequence[Message]) -> Call:
    step, call, result_step = paired
    return Call(
        step=step,
        order=order,
        name=call.function.name,
        arguments=call.function.parsed(),
        raw=call.function.arguments,
        result=None if result_step is None else messages[result_step].content or "",
        result_step=result_step,
    )


def pair_calls(messages: Sequence[Message]) -> list[PairedCall]:
    """Return the calls in messages, in order, each with the message index of its result, as ``calls_of`` pairs them.

    Reads no arguments and no results, in time linear in the number of messages.
    """
    made = [
        (step, call)
        for step, message in enumerate(messages)
        if message.role == "assistant"
        for call in message.tool_calls or ()
    ]
    results = [(step, message.tool_call_id or "") for step, message in enumerate(messages) if message.role == "tool"]
    agent = [step for step, message in enumerate(messages) if message.role == "assistant"]
    turn_end = dict(zip(agent, [*agent[1:], len(messages)], strict=False))
    found = _pair_named(made, results, turn_end, len(messages))
    _pair_unnamed(made, results, turn_end, found)
    return [PairedCall(step, call, found.get(order)) for order, (step, call) in enumerate(made)]


def _pair_named(
    made: Sequence[tuple[int, ToolCall]], results: Sequence[tuple[int, str]], turn_end: Mapping[int, int], end: int
) -> dict[int, int]:
    """Return the message index of the first result of the same id, by the call's order."""
    count = Counter(call.id for _, call in made)
    waiting: defaultdict[str, deque[int]] = defaultdict(deque)
    for step, result_id in results:
        waiting[result_id].append(step)
    found: dict[int, int] = {}
    for order, (start, call) in enumerate(made):
        steps = waiting.get(call.id) if call.id else None
        while steps and steps[0] <= start:  # later calls stand no earlier
            steps.popleft()
        if steps and steps[0] < (end if count[call.id] == 1 else turn_end[start]):
            found[order] = steps.popleft()
    return found


def _pair_unnamed(
    made: Sequence[tuple[int, ToolCall]],
    results: Sequence[tuple[int, str]],
    turn_end: Mapping[int, int],
    found: dict[int, int],
) -> None:
    """Add the results within a call's turn where the call or the result has no id."""
    taken = set(found.values())
    left = [(order, start, call.id) for order, (start, call) in enumerate(made) if order not in found]
    steps = [step for step, _ in results]
    for start, calls_left in groupby(left, key=lambda one: one[1]):
        window = results[bisect_right(steps, start) : bisect_left(steps, turn_end[start])]
        free = [(step, result_id) for step, result_id in window if step not in taken]
        everything, unnamed = deque(step for step, _ in free), deque(step for step, named in free if not named)
        for order, _, call_id in calls_left:
            queue = unnamed if call_id else everything
            while queue and queue[0] in taken:
                queue.popleft()
            if queue:
                found[order] = queue.popleft()
                taken.add(found[order])
