"""Numeric features of the visible state for routers: prospective, no gold, no future, no domain words.

Calls, results, roles of tools and what was said are read by ``fama.dialogue``, as helpers and detectors read them. The
word patterns below are part of the features that trained routers know, and stay as they are: ``correction_words``,
``negation_words``, ``request_words`` and ``ids_in_user_text`` count more loosely than ``fama.dialogue`` reads. For
``writes`` and ``identity_called``, a tool that a file's list leaves out counts by its name, so that a router reads the
same tools alike in domains with and without a file.
"""

import math
import re
from collections import Counter
from collections.abc import Sequence
from functools import lru_cache
from typing import Any, NamedTuple

from fama.dialogue.calls import pair_calls
from fama.dialogue.facts import data_of
from fama.dialogue.roles import roles_of
from fama.dialogue.turns import spoken
from fama.episodes.records import Message, ToolSpec
from fama.episodes.state import VisibleState
from fama.memo import by_identity
from fama.selection.router.message_features import MessageFeatures, ResultFeatures, message_features, request_words

#: Names of the features, in the order routers read them.
EVIDENCE_NAMES: tuple[str, ...] = (
    "turns",
    "messages",
    "user_turns",
    "calls",
    "writes",
    "distinct_tools",
    "errors",
    "last_failed",
    "busy_pending",
    "repeated_calls",
    "most_repeats",
    "identity_called",
    "request_words",
    "correction_words",
    "negation_words",
    "question_asked",
    "last_user_length",
    "all_user_length",
    "ids_in_user_text",
    "numbers_in_user_text",
    "last_output_length",
    "last_output_depth",
    "last_output_leaves",
    "similar_rows",
    "largest_output",
    "outputs_length",
    "policy_length",
    "policy_rules",
    "tools",
    "tool_parameters",
    "notes_given",
    "last_is_user",
)

_CORRECTIONS = re.compile(
    r"\b(actually|instead|rather|wait|sorry|correction|not that|i meant|i mean|changed my mind|scratch that|"
    r"on second thought|mistake|wrong)\b|\bno,|\bnot the\b",
    re.I,
)
_NEGATIONS = re.compile(r"\b(not|no|never|don't|dont|can't|cannot|won't|without|nor)\b", re.I)
_RULE = re.compile(r"^\s*(?:[-*•]|\d+[.)])\s+", re.MULTILINE)


def visible_evidence(state: VisibleState, features: Sequence[MessageFeatures] | None = None) -> dict[str, float]:
    """Return counts and flags of what is visible before a decision, about in [0, 1], in ``EVIDENCE_NAMES`` order.

    Counts are log-scaled: ``log(1 + n) / log(1 + cap)``, where the cap is a large usual value; beyond it a feature may
    exceed 1 a little. ``features`` are those of the state's messages, where the caller has them.
    """
    messages = state.messages
    read = message_features(messages) if features is None else features
    calls = _answered(messages, read)
    roles = roles_of(state.tools, state.benchmark, state.domain)
    users = [one.user for one in read if one.user is not None]
    last_user = next((spoken(message) for message in reversed(messages) if message.role == "user"), "")
    outputs = [call.result.text for call in calls if call.result is not None]
    shape = _shape(outputs[-1]) if outputs else _Shape()
    repeats = Counter(call.key for call in calls)
    worked = Counter(call.name for call in calls if not call.failed)
    role = {name: roles.own_role(name) for name in worked}
    most = max(repeats.values(), default=0)
    values = {
        "turns": _log(state.turn, 30),
        "messages": _log(len(messages), 60),
        "user_turns": _log(len(users), 15),
        "calls": _log(len(calls), 20),
        "writes": _log(sum(count for name, count in worked.items() if role[name] == "write"), 5),
        "distinct_tools": _log(len({call.name for call in calls}), 10),
        "errors": _log(sum(call.failed for call in calls), 5),
        "last_failed": float(bool(calls) and calls[-1].failed),
        "busy_pending": float(_busy_pending(calls)),
        "repeated_calls": _log(sum(n - 1 for n in repeats.values()), 5),
        "most_repeats": _log(max(most - 1, 0), 4),
        "identity_called": float("identify" in role.values()),
        "request_words": _log(request_words(users), 8),
        "correction_words": _log(len(_CORRECTIONS.findall(last_user)), 3),
        "negation_words": _log(len(_NEGATIONS.findall(last_user)), 4),
        "question_asked": float(_last_words(messages).endswith("?")),
        "last_user_length": _log(len(last_user), 600),
        "all_user_length": _log(sum(user.length for user in users) + max(len(users) - 1, 0), 3000),
        "ids_in_user_text": _log(len(frozenset().union(*(user.ids for user in users))), 6),
        "numbers_in_user_text": _log(len(frozenset().union(*(user.numbers for user in users))), 10),
        "last_output_length": _log(len(outputs[-1]) if outputs else 0, 4000),
        "last_output_depth": min(shape.depth / 6, 1.5),
        "last_output_leaves": _log(shape.leaves, 100),
        "similar_rows": _log(shape.rows, 20),
        "largest_output": _log(max(map(len, outputs), default=0), 6000),
        "outputs_length": _log(sum(map(len, outputs)), 20_000),
        "policy_length": _log(len(state.policy), 10_000),
        "policy_rules": _log(_rules(state.policy), 40),
        "tools": _log(len(state.tools), 20),
        "tool_parameters": _log(_all_parameters(state.tools), 60),
        "notes_given": _log(len(state.noted), 20),
        "last_is_user": float(bool(messages) and messages[-1].role == "user"),
    }
    return {name: values[name] for name in EVIDENCE_NAMES}


def _log(count: float, cap: float) -> float:
    return math.log1p(count) / math.log1p(cap)


class _Answered(NamedTuple):
    """One call with its result, None while nobody knows it."""

    name: str
    key: str
    result: ResultFeatures | None

    @property
    def failed(self) -> bool:
        return self.result is not None and self.result.failed


def _answered(messages: Sequence[Message], read: Sequence[MessageFeatures]) -> list[_Answered]:
    made = [call for one in read for call in one.calls]
    steps = [paired.result_step for paired in pair_calls(messages)]
    return [
        _Answered(call.name, call.key, None if step is None else read[step].result)
        for call, step in zip(made, steps, strict=True)
    ]


def _busy_pending(calls: Sequence[_Answered]) -> bool:
    """Return whether some call's last try was answered by a passing error; 503 counts even within an id, as ever."""
    last = {call.name: call.result for call in calls}
    return any(result is not None and result.passing for result in last.values())


def _last_words(messages: Sequence[Message]) -> str:
    said = next((m for m in reversed(messages) if m.role == "assistant" and not m.tool_calls), None)
    return spoken(said) if said else ""


@lru_cache(maxsize=64)
def _rules(policy: str) -> int:
    return len(_RULE.findall(policy))


@by_identity(64)
def _all_parameters(tools: tuple[ToolSpec, ...]) -> int:
    return sum(len(tool.properties()) for tool in tools)


class _Shape(NamedTuple):
    """Depth, scalars and the most look-alike rows (objects of one list or mapping with the same keys) of an output."""

    depth: int = 0
    leaves: int = 0
    rows: int = 0


@lru_cache(maxsize=256)
def _shape(output: str) -> _Shape:
    value = data_of(output)
    if value is not None:
        return _shape_of(value)
    lines = [line for line in output.splitlines() if line.strip()]
    return _Shape(leaves=len(lines), rows=sum(bool(_RULE.match(line)) for line in lines))


def _shape_of(data: Any) -> _Shape:
    depth = leaves = rows = 0
    waiting = [(data, 1)]
    while waiting:
        value, level = waiting.pop()
        if not isinstance(value, dict | list):
            leaves += 1
            continue
        depth = max(depth, level)
        inner = list(value.values()) if isinstance(value, dict) else value
        kinds = Counter(tuple(sorted(item)) for item in inner if isinstance(item, dict) and item)
        rows = max(rows, *kinds.values()) if kinds else rows
        waiting += [(item, level + 1) for item in inner]
    return _Shape(depth, leaves, rows)
