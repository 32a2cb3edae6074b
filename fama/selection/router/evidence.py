"""Numeric features of the visible state for routers: prospective, no gold, no future, no domain words.

Calls, results, roles of tools and what was said are read by ``fama.dialogue``, as helpers and detectors read them. The
word patterns below are part of the features that trained routers know, and stay as they are: ``correction_words``,
``negation_words``, ``request_words`` and ``ids_in_user_text`` count more loosely than ``fama.dialogue`` reads. For
``writes`` and ``identity_called``, a tool that a file's list leaves out counts by its name, so that a router reads the
same tools alike in domains with and without a file.
"""

import json
import math
import re
from collections import Counter
from collections.abc import Sequence
from typing import Any

from fama.dialogue.calls import Call, calls_of
from fama.dialogue.facts import data_of
from fama.dialogue.roles import roles_of
from fama.dialogue.turns import spoken
from fama.episodes.records import Message
from fama.episodes.state import VisibleState

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

_REQUESTS = re.compile(r"\b(and|also|too|as well|plus|two|both|another|second|then|besides|additionally)\b", re.I)
_CORRECTIONS = re.compile(
    r"\b(actually|instead|rather|wait|sorry|correction|not that|i meant|i mean|changed my mind|scratch that|"
    r"on second thought|mistake|wrong)\b|\bno,|\bnot the\b",
    re.I,
)
_NEGATIONS = re.compile(r"\b(not|no|never|don't|dont|can't|cannot|won't|without|nor)\b", re.I)
_IDS = re.compile(r"#\w+|\b[A-Za-z]+[_-]?\d[\w-]*\b|\b\d{5,}\b|[\w.+-]{1,64}@[\w-]+\.\w+")
_NUMBERS = re.compile(r"\d+(?:[.,]\d+)*")
_RULE = re.compile(r"^\s*(?:[-*•]|\d+[.)])\s+", re.MULTILINE)


def visible_evidence(state: VisibleState) -> dict[str, float]:
    """Return counts and flags of what is visible before a decision, about in [0, 1], in ``EVIDENCE_NAMES`` order.

    Counts are log-scaled: ``log(1 + n) / log(1 + cap)``, where the cap is a large usual value; beyond it a feature may
    exceed 1 a little.
    """
    messages = state.messages
    calls = calls_of(messages)
    roles = roles_of(state.tools, state.benchmark, state.domain)
    users = [spoken(message) for message in messages if message.role == "user"]
    last_user = users[-1] if users else ""
    outputs = [call.result for call in calls if call.result is not None]
    shape = _shape(outputs[-1]) if outputs else _Shape()
    repeats = Counter(call.key for call in calls)
    most = max(repeats.values(), default=0)
    words = " ".join(users)
    values = {
        "turns": _log(state.turn, 30),
        "messages": _log(len(messages), 60),
        "user_turns": _log(len(users), 15),
        "calls": _log(len(calls), 20),
        "writes": _log(sum(roles.own_role(c.name) == "write" and not c.failed for c in calls), 5),
        "distinct_tools": _log(len({call.name for call in calls}), 10),
        "errors": _log(sum(call.failed for call in calls), 5),
        "last_failed": float(bool(calls) and calls[-1].failed),
        "busy_pending": float(_busy_pending(calls)),
        "repeated_calls": _log(sum(n - 1 for n in repeats.values()), 5),
        "most_repeats": _log(max(most - 1, 0), 4),
        "identity_called": float(any(roles.own_role(c.name) == "identify" and not c.failed for c in calls)),
        "request_words": _log(len(_REQUESTS.findall(words)), 8),
        "correction_words": _log(len(_CORRECTIONS.findall(last_user)), 3),
        "negation_words": _log(len(_NEGATIONS.findall(last_user)), 4),
        "question_asked": float(_last_words(messages).endswith("?")),
        "last_user_length": _log(len(last_user), 600),
        "all_user_length": _log(len(words), 3000),
        "ids_in_user_text": _log(len(set(_IDS.findall(words))), 6),
        "numbers_in_user_text": _log(len(set(_NUMBERS.findall(words))), 10),
        "last_output_length": _log(len(outputs[-1]) if outputs else 0, 4000),
        "last_output_depth": min(shape.depth / 6, 1.5),
        "last_output_leaves": _log(shape.leaves, 100),
        "similar_rows": _log(shape.rows, 20),
        "largest_output": _log(max(map(len, outputs), default=0), 6000),
        "outputs_length": _log(sum(map(len, outputs)), 20_000),
        "policy_length": _log(len(state.policy), 10_000),
        "policy_rules": _log(len(_RULE.findall(state.policy)), 40),
        "tools": _log(len(state.tools), 20),
        "tool_parameters": _log(sum(_parameters(tool.parameters) for tool in state.tools), 60),
        "notes_given": _log(len(state.noted), 20),
        "last_is_user": float(bool(messages) and messages[-1].role == "user"),
    }
    return {name: values[name] for name in EVIDENCE_NAMES}


def _log(count: float, cap: float) -> float:
    return math.log1p(count) / math.log1p(cap)


def _busy_pending(calls: Sequence[Call]) -> bool:
    """Return whether some call's last try was answered by a passing error; 503 counts even within an id, as ever."""
    last = {call.name: call for call in calls}
    return any(call.busy or (call.failed and "503" in (call.result or "")) for call in last.values())


def _last_words(messages: Sequence[Message]) -> str:
    said = next((m for m in reversed(messages) if m.role == "assistant" and not m.tool_calls), None)
    return spoken(said) if said else ""


def _parameters(schema: str) -> int:
    try:
        value = json.loads(schema)
    except ValueError:
        return 0
    return len(value.get("properties") or {}) if isinstance(value, dict) else 0


class _Shape:
    """Depth, scalars and the most look-alike rows (objects of one list or mapping with the same keys) of an output."""

    def __init__(self) -> None:
        self.depth = self.leaves = self.rows = 0


def _shape(output: str) -> _Shape:
    shape = _Shape()
    value = data_of(output)
    if value is None:
        lines = [line for line in output.splitlines() if line.strip()]
        shape.leaves = len(lines)
        shape.rows = sum(bool(_RULE.match(line)) for line in lines)
    else:
        _walk(value, 1, shape)
    return shape


def _walk(value: Any, depth: int, shape: _Shape) -> None:
    if not isinstance(value, dict | list):
        shape.leaves += 1
        return
    shape.depth = max(shape.depth, depth)
    inner = list(value.values()) if isinstance(value, dict) else value
    kinds = Counter(tuple(sorted(item)) for item in inner if isinstance(item, dict) and item)
    shape.rows = max(shape.rows, max(kinds.values(), default=0))
    for item in inner:
        _walk(item, depth + 1, shape)
