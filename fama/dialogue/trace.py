"""An episode's messages read as calls with their results: what detectors and features look at."""

import json
import re
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from fama.dialogue.domain_rules import DomainRules, rules_for
from fama.episodes.records import Episode, Message

_FAILED = re.compile(
    r"[\s\[{(\"']*(error\b|unknown (action|tool)|invalid\b|fail(ed|ure)\b|exception\b|traceback\b)", re.I
)
_BUSY = re.compile(
    r"\bbusy\b|try again|\bretry\b|temporar|time[d ]?\s?-?out|unavailable|rate.?limit|overload|503", re.I
)
_THOUGHT = re.compile(r"^.*</think>", re.DOTALL)
_BAD_STATUS = {"error", "busy"}


@dataclass(frozen=True)
class Call:
    """One tool call. ``step`` and ``result_step`` index the messages; ``order`` counts calls."""

    step: int
    order: int
    name: str
    arguments: dict[str, Any]
    raw: str
    result: str | None = None
    result_step: int | None = None

    @cached_property
    def failed(self) -> bool:
        """Whether the result reads as an error; no result at all counts as none."""
        return self.result is not None and is_error(self.result)

    @cached_property
    def busy(self) -> bool:
        """Whether the error reads as passing, so that the same call could work later."""
        return self.failed and bool(_BUSY.search(self.result or ""))

    @cached_property
    def key(self) -> str:
        """Name and canonical arguments: equal keys are identical calls."""
        return (
            f"{self.name}({json.dumps(self.arguments, sort_keys=True)})"
            if self.arguments
            else f"{self.name}({self.raw})"
        )

    def quote(self, limit: int = 200) -> str:
        """The call as text, cut to ``limit`` characters."""
        return shorten(f"{self.name}({self.raw})", limit)


def is_error(result: str) -> bool:
    """Whether a tool's result reads as an error, in plain text or as a field of a JSON object."""
    if _FAILED.match(result):
        return True
    text = result.lstrip()
    if not text.startswith("{"):
        return False
    try:
        value = json.loads(text)
    except ValueError:
        return False
    status = str(value.get("status", "")).lower()
    return bool(value.get("error")) or status in _BAD_STATUS or value.get("ok") is False


def spoken(message: Message) -> str:
    """What a message says, without a reasoning model's ``<think>`` text."""
    return _THOUGHT.sub("", message.content or "").strip()


def shorten(text: str, limit: int) -> str:
    """One line of at most ``limit`` characters; a cut shows as an ellipsis."""
    line = " ".join(text.split())
    return line if len(line) <= limit else line[: max(limit - 1, 0)].rstrip() + "…"


def calls_of(messages: Sequence[Message]) -> tuple[Call, ...]:
    """The tool calls with their results, matched by id, else by order within the turn."""
    calls: list[Call] = []
    for step, message in enumerate(messages):
        if message.role != "assistant" or not message.tool_calls:
            continue
        end = step + 1
        while end < len(messages) and messages[end].role == "tool":
            end += 1
        results = list(range(step + 1, end))
        for call in message.tool_calls:
            named = [i for i in results if messages[i].tool_call_id == call.id]
            found = named[0] if named else next((i for i in results if messages[i].tool_call_id is None), None)
            if found is not None:
                results.remove(found)
            calls.append(
                Call(
                    step=step,
                    order=len(calls),
                    name=call.function.name,
                    arguments=call.function.parsed(),
                    raw=call.function.arguments,
                    result=None if found is None else messages[found].content or "",
                    result_step=found,
                )
            )
    return tuple(calls)


@dataclass(frozen=True)
class Trace:
    """An episode, its calls and its domain's rules."""

    episode: Episode
    calls: tuple[Call, ...]
    rules: DomainRules

    @classmethod
    def of(cls, episode: Episode) -> "Trace":
        """Read an episode."""
        return cls(episode, calls_of(episode.messages), rules_for(episode.benchmark, episode.domain))

    @cached_property
    def has_dialogue(self) -> bool:
        """Whether the log holds what users and tools said, and not the agent's calls alone."""
        return any(message.role in ("user", "tool") for message in self.episode.messages)

    @cached_property
    def writes(self) -> tuple[Call, ...]:
        """Calls that changed data: of a writing tool, and not answered by an error."""
        return tuple(call for call in self.calls if self.rules.writes(call.name) and not call.failed)

    @cached_property
    def last_agent_step(self) -> int | None:
        """Index of the agent's last message."""
        steps = [i for i, message in enumerate(self.episode.messages) if message.role == "assistant"]
        return steps[-1] if steps else None

    def user_before(self, step: int) -> Message | None:
        """The user's last message before a step."""
        return next((m for m in reversed(self.episode.messages[:step]) if m.role == "user"), None)
