"""Packets for readers: a failed dialogue as numbered messages with the task and the verdict, blind to all detectors."""

import json
import re
from collections.abc import Iterable, Iterator, Sequence
from typing import Any

from eval.readings.members import HALVES, Half, ReadingSet
from fama.dialogue.calls import calls_of
from fama.episodes.records import Episode, Message
from fama.episodes.state import policy_of
from fama.randomness import generator

#: Characters of a packet that are aimed at, and what a tool's output is cut to, the most that keeps to it.
AIM, LIMITS = 25_000, (8_000, 4_000, 2_500, 1_500)
#: Characters kept at the start of a cut output, and on both sides of a value that matters.
_START, _AROUND = 500, 160
_SHORTEST = 4
BATCHES = 6


def packet(episode: Episode) -> str:
    """Return the text that one failure is read from; tool outputs are cut as little as the aimed size allows."""
    texts = (_packet(episode, limit) for limit in LIMITS)
    return next((text for text in texts if len(text) <= AIM), _packet(episode, LIMITS[-1]))


def dialogue_lines(episode: Episode, limit: int | None = None) -> Iterator[str]:
    """Yield the messages as they are shown, ``[index] role: content``; tool outputs are cut to ``limit`` characters."""
    values = _values(episode)
    for index, message in enumerate(episode.messages):
        content = message.content or ""
        if message.role == "system":
            content = f"(the policy, in {policy_name(episode)})" if limit else content
        elif message.role == "tool" and limit:
            content = _cut(content, limit, values)
        calls = [f"CALL {call.function.name} {call.function.arguments}" for call in message.tool_calls or ()]
        yield f"[{index}] {_role(message)}: " + "\n    ".join(filter(None, (content, *calls)))


def policy_name(episode: Episode) -> str:
    """Return the name of the file with the policy of the episode's domain."""
    return f"policy-{episode.domain}{'-tau2' if episode.benchmark == 'tau2' else ''}.txt"


def policy(episodes: Iterable[Episode]) -> str:
    """Return one domain's policy and the names of its tools, with their first sentences where a log has them.

    Where no log lists them, they are the tools that ever answered a call: agents call some that do not exist.
    """
    text = ""
    listed: dict[str, str] = {}
    called: dict[str, str] = {}
    for episode in episodes:
        text = text or policy_of(episode.messages)
        called.update({call.name: "" for call in calls_of(episode.messages) if call.succeeded})
        listed.update({tool.name: tool.description.strip().partition(". ")[0] for tool in episode.tools})
    rows = [f"- {name}{': ' if told else ''}{told}" for name, told in sorted((listed or called).items())]
    return "\n".join(
        [text.strip(), "", "TOOLS" if listed else "TOOLS (those that answered a call in a log)", *rows, ""]
    )


def batches(drawn: ReadingSet) -> dict[str, list[str]]:
    """Return the ids in ``BATCHES`` parts with as many of each half, each part in random order."""
    order: dict[Half, list[str]] = {half: [m.id for m in drawn.members if m.half == half] for half in HALVES}
    for half, ids in order.items():
        generator(drawn.seed, "readings-batches", half).shuffle(ids)
    parts = {
        f"batch-{part + 1}": [one for half in HALVES for one in order[half][part::BATCHES]] for part in range(BATCHES)
    }
    for name, ids in parts.items():
        generator(drawn.seed, "readings-order", name).shuffle(ids)
    return parts


def _packet(episode: Episode, limit: int) -> str:
    told = episode.required_outputs
    detail = ", ".join(f"{name} {value:g}" for name, value in episode.reward_detail.items()) or "no detail in the log"
    rows = [
        f"ID {episode.id}",
        f"DOMAIN {episode.domain} ({episode.benchmark}), policy and tools in {policy_name(episode)}",
        "",
        "WHAT THE USER WAS TOLD (the agent does not see it)",
        _dedent(episode.instruction or "(not in the log)"),
        "",
        "REFERENCE ACTIONS",
        *_reference(episode),
        "",
        "VALUES THAT MUST BE TOLD: " + (_unknown_or(told) if not told else "; ".join(told)),
        "",
        f"VERDICT failure, reward {episode.reward:g}" if episode.reward is not None else "VERDICT failure",
        f"detail: {detail}; the dialogue ended by: {episode.outcome.reason}",
        "",
        "DIALOGUE",
        *dialogue_lines(episode, limit),
    ]
    return "\n".join(rows) + "\n"


def _reference(episode: Episode) -> list[str]:
    if episode.gold_actions is None:
        return ["(not in the log)"]
    return [f"- {action.name} {action.arguments}" for action in episode.gold_actions] or [
        "(none: nothing is to change)"
    ]


def _unknown_or(told: Sequence[str] | None) -> str:
    return "(not in the log)" if told is None else "(none)"


def _role(message: Message) -> str:
    return {"assistant": "agent", "tool": "tool result"}.get(message.role, message.role)


def _dedent(text: str) -> str:
    return "\n".join(line.strip() for line in text.strip().splitlines())


def _values(episode: Episode) -> frozenset[str]:
    """Return values that matter for cutting: of reference actions, of the agent's calls, and what must be told."""
    bodies = [action.arguments for action in episode.gold_actions or ()]
    bodies += [call.function.arguments for message in episode.messages for call in message.tool_calls or ()]
    found = set(episode.required_outputs or ())
    for body in bodies:
        try:
            found |= set(_leaves(json.loads(body)))
        except (ValueError, RecursionError):
            continue
    return frozenset(value for value in found if len(value) >= _SHORTEST)


def _leaves(value: Any) -> Iterator[str]:
    if isinstance(value, dict | list):
        for inner in value.values() if isinstance(value, dict) else value:
            yield from _leaves(inner)
    elif isinstance(value, str | int | float) and not isinstance(value, bool):
        yield str(value)


def _cut(text: str, limit: int, values: frozenset[str]) -> str:
    """Return an output cut to about ``limit``: its start and what stands around values that matter, gaps marked."""
    if len(text) <= limit:
        return text
    kept = [(0, _START)]
    room = limit - _START
    found = sorted({match.start() for value in values for match in re.finditer(re.escape(value), text)})
    for place in found:
        start, end = max(kept[-1][1], place - _AROUND), min(len(text), place + _AROUND)
        if end <= start or room < end - start:
            continue
        room -= end - start
        if start == kept[-1][1]:
            kept[-1] = (kept[-1][0], end)
        else:
            kept.append((start, end))
    kept[-1] = (kept[-1][0], min(len(text), kept[-1][1] + room))
    ends = [*(start for start, _ in kept[1:]), len(text)]
    parts = (
        text[start:end] + (f" [… {following - end} characters cut …] " if following > end else "")
        for (start, end), following in zip(kept, ends, strict=True)
    )
    return "".join(parts).rstrip()
