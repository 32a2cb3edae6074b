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
#: How a refusal opens: an error where the text is short and puts no question ("Cannot log in? Reset …").
_REFUSAL = re.compile(
    r"[\W_]*(?:(?:can ?not|can['’]t|could ?n(?:o|['’])t|unable to)\b"
    r"|(?:(?:access|permission|authori[sz]ation)\W+denied|unauthori[sz]ed|forbidden|bad request)\b|denied\W*:"
    r"|(?:you(?: are|['’]re) |(?:access|action|method|operation|request) (?:is )?)?"
    r"not (?:allowed|permitted|authori[sz]ed)\b"
    r"|you (?:do not|don['’]t) have (?:the )?(?:permission|access)\b"
    r"|(?:internal )?server error\b|request failed\b"
    r"|(?:http(?:/\d(?:\.\d)?)?|status code)(?:\W+(?:error|status|code))*\W*[45]\d\d\b"
    r"|[45]\d\d\W+(?:client|server|bad|unauthori[sz]ed|forbidden|not found|internal|conflict|gateway|service)\b)"
    r"(?![^.!\n]*\?)",
    re.IGNORECASE,
)
_BUSY = re.compile(
    r"\b(?:busy|try(?:ing)? again|retry|temporar\w*|time[d]?[ -]?out|overload\w*|too many requests|rate.?limit\w*"
    r"|unavailable|503|(?:http|code|error|status)\W{1,4}(?:429|50[24]))\b",
    re.IGNORECASE,
)
#: Plain text that opens like no error is one only if it asks to come back, and says little else.
_COME_BACK = re.compile(
    r"\b(?:(?:is|are|currently|too|system) busy|busy[,.;:!]|try(?:ing)? again|(?:please|to|then|and) retry"
    r"|retry (?:later|in|after|the)|temporar(?:y|ily) (?:un\w+|error|failure|problem|issue|out|down|not)"
    r"|timed[ -]?out|(?:request|connection|gateway|server|read) time-?out|overloaded|too many requests"
    r"|unavailable right now)\b"
    r"|^\W*(?:busy|time-?out)\b(?: (?:after|error|exceeded|expired|waiting|while)\b.*)?\W*$",
    re.IGNORECASE,
)
#: A sentence that says of something that it was done, unless it denies it.
_DONE = re.compile(
    r"\b(?:success(?:ful(?:ly)?)?|confirmed|completed?|booked|sent|saved|created|updated|changed|added|cancell?ed|done)\b"
    r"[^.!;\n]*[.!;\n]",
    re.IGNORECASE,
)
_DENIAL = re.compile(r"n['’]t\b|\b(?:not?|nothing|never|none|cannot|un(?:able|successful\w*))\b", re.IGNORECASE)
_SHORT = 400
#: Short plain text that says of something that it does not exist, or was not done.
_NOT_FOUND = re.compile(
    r"\bnot (?:be )?found\b|\b(?:could|can) ?not (?:be )?f(?:ind|ound)\b|\bdoes(?: not|n['’]t) exist\b"
    r"|\bcould(?: not|n['’]t) be (?:\w+ed|done|made|sent)\b",
    re.IGNORECASE,
)
_SENTENCE = 120
_BAD_STATUS = frozenset({"error", "busy"})
#: Such a status is the call's where the object holds nothing else; beside other fields it is a record's.
_FAILED_STATUS = frozenset({"failed", "failure"})
#: Fields that tell an error, in lower case and without underscores.
_ERROR_KEYS = frozenset({"error", "errors", "iserror", "errormessage"})
#: Values of an error field that say that there is none.
_NO_ERROR = frozenset({"", "0", "false", "n/a", "nil", "no", "no error", "no errors", "none", "null", "ok", "success"})
#: Where a reply that holds words only gives its HTTP status.
_STATUS = frozenset({"status", "statusCode", "status_code"})
#: Keys of an object that holds no record, only words on what happened.
_WORDS = frozenset({"message", "detail", "msg", "reason", "code", "title"})
#: Those that tell what happened: beside one of them a code is a status, alone or with a title it may be a product's.
_TEXTS = _WORDS - {"code", "title"}


@dataclass(frozen=True)
class Call:
    """One tool call. ``step`` and ``result_step`` index the messages; ``order`` counts the calls.

    ``flagged`` says that the log calls the result an error, whatever it reads like. A call without a result is neither
    ``failed`` nor ``succeeded``: nobody knows what it did.
    """

    step: int
    order: int
    name: str
    arguments: dict[str, Any]
    raw: str
    result: str | None = None
    result_step: int | None = None
    flagged: bool = False

    @property
    def answered(self) -> bool:
        """Return whether the log holds a result."""
        return self.result is not None

    @cached_property
    def failed(self) -> bool:
        """Return whether there is a result and it is flagged or reads as an error."""
        return self.result is not None and (self.flagged or is_error(self.result))

    @property
    def succeeded(self) -> bool:
        """Return whether there is a result and it is no error."""
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
    """Return whether a tool's result reads as an error, in plain text, as a field of an object or of a list's first."""
    value = data_of(result)
    if isinstance(value, dict):
        return _is_error_object(value)
    if isinstance(value, list) and value and isinstance(value[0], dict):
        return _is_error_text(result) and _is_error_object(value[0])
    return _is_error_text(result)


def _is_error_object(value: dict[str, Any]) -> bool:
    if value.keys() <= _WORDS | _STATUS:
        codes = _STATUS | {"code"} if value.keys() & _TEXTS else _STATUS
        if any(_is_http_error(value.get(key)) for key in codes):
            return True
    if value.keys() and value.keys() <= _WORDS:
        return any(isinstance(text, str) and _is_error_text(text) for text in value.values())
    status = value.get("status")
    refused = any(str(value.get(key)).lower() in ("false", "0") for key in ("ok", "success")) or status is False
    if value.keys() <= _WORDS | {"status"}:
        refused = refused or str(status).lower() in _FAILED_STATUS
    told = any(key.lower().replace("_", "") in _ERROR_KEYS and not _says_no_error(value[key]) for key in value)
    return told or refused or str(status or "").lower() in _BAD_STATUS


def _is_http_error(value: Any) -> bool:
    """Return whether a value is the number of an HTTP error, as a number or in digits."""
    return re.fullmatch(r"[45]\d\d", str(value)) is not None


def _says_no_error(value: Any) -> bool:
    """Return whether the value of an error field says that there was none, in every one of its parts."""
    if isinstance(value, (dict, list)):
        return all(map(_says_no_error, value.values() if isinstance(value, dict) else value))
    return str("" if value is None else value).strip(" .!").lower() in _NO_ERROR


def _is_error_text(text: str) -> bool:
    if _ERROR.match(text):
        return True
    if len(text) < _SENTENCE and _NOT_FOUND.search(text):
        return True
    return len(text) < _SHORT and (bool(_REFUSAL.match(text)) or _asks_to_come_back(text))


def _asks_to_come_back(text: str) -> bool:
    """Return whether a text asks to try again, and did not say before that the work is done."""
    asked = _COME_BACK.search(text)
    if asked is None:
        return False
    before = text[: asked.start()]
    return _DONE.search(before) is None or _DENIAL.search(before) is not None


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
        flagged=result_step is not None and messages[result_step].failed is True,
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
