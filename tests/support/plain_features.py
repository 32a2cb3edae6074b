"""Features of a state, computed from its whole history at once: the plain reference of the incremental ones.

Nothing is kept between calls. Routers are trained on exactly these numbers, so this stays as it is.
"""

import json
import math
import re
from collections import Counter
from collections.abc import Sequence
from typing import Any

from fama.dialogue.calls import Call
from fama.dialogue.facts import data_of
from fama.dialogue.roles import roles_of
from fama.dialogue.turns import spoken
from fama.episodes.records import Message
from fama.episodes.state import VisibleState
from fama.selection.router.evidence import EVIDENCE_NAMES
from fama.selection.router.features import Features, Segment
from fama.selection.router.message_features import KIND_OF_ROLE

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


def plain_evidence(state: VisibleState) -> dict[str, float]:
    """Return the evidence, read from the whole history."""
    messages = state.messages
    calls = plain_calls(messages)
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


def plain_features(state: VisibleState) -> Features:
    """Return segments and evidence of a state."""
    found = plain_evidence(state)
    return Features(plain_segments(state), tuple(float(found[name]) for name in EVIDENCE_NAMES))


def plain_calls(messages: Sequence[Message]) -> list[Call]:
    """Return the calls in messages, in order, each with its result if there is one."""
    made = [
        (step, call)
        for step, message in enumerate(messages)
        if message.role == "assistant"
        for call in message.tool_calls or ()
    ]
    paired = plain_pairs([(step, call.id) for step, call in made], messages)
    results = [paired.get(order) for order in range(len(made))]
    return [
        Call(
            step=step,
            order=order,
            name=call.function.name,
            arguments=call.function.parsed(),
            raw=call.function.arguments,
            result=None if place is None else messages[place].content or "",
            result_step=place,
        )
        for order, ((step, call), place) in enumerate(zip(made, results, strict=True))
    ]


def plain_pairs(made: list[tuple[int, str]], messages: Sequence[Message]) -> dict[int, int]:
    """Return the message index of each call's result, by the call's order."""
    free = {step: message.tool_call_id or "" for step, message in enumerate(messages) if message.role == "tool"}
    agent = [step for step, message in enumerate(messages) if message.role == "assistant"]
    turn_end = dict(zip(agent, [*agent[1:], len(messages)], strict=False))
    count = Counter(call_id for _, call_id in made)
    paired: dict[int, int] = {}
    for same_id_only in (True, False):
        for order, (start, call_id) in enumerate(made):
            if order in paired:
                continue
            reach = len(messages) if call_id and count[call_id] == 1 else turn_end[start]
            for step, result_id in free.items():
                same = bool(call_id) and call_id == result_id and start < step < reach
                unnamed = not (call_id and result_id) and start < step < turn_end[start]
                if same or (unnamed and not same_id_only):
                    paired[order] = step
                    del free[step]
                    break
    return paired


def plain_segments(state: VisibleState) -> tuple[Segment, ...]:
    """Return the segments, each made anew."""
    segments = [Segment("policy", state.policy)] if state.policy.strip() else []
    segments += [Segment("tool", f"{tool.name}: {tool.description} {tool.parameters}") for tool in state.tools]
    count = len(state.messages)
    for index, message in enumerate(state.messages):
        kind = KIND_OF_ROLE.get(message.role)
        calls = [f"{call.function.name} {call.function.arguments}" for call in message.tool_calls or ()]
        text = "\n".join(part for part in (message.content or "", *calls) if part.strip())
        if kind is not None and text:
            segments.append(Segment(kind, text, count - 1 - index))
    return tuple(segments)
