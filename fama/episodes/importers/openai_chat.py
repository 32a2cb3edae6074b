"""OpenAI chat logs: one object per line with ``messages``, and any known fields of an episode."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from fama import __version__
from fama.episodes.importers.base import build_episode, read_records
from fama.episodes.records import (
    Episode,
    FunctionCall,
    GoldAction,
    Message,
    Outcome,
    Source,
    ToolCall,
    ToolSpec,
)
from fama.hashing import content_hash


def read(path: Path, **options: str) -> Iterator[Episode]:
    """Read the episodes of a chat log.

    A record needs ``messages``; ``tools``, ``task_id``, ``trial``, ``domain``, ``benchmark``, ``backbone`` (or
    ``model``), ``strategy``, ``reward``, ``success``, ``error`` and ``gold_actions`` are used where given. Without
    ``success`` or ``reward`` the outcome is unknown and the record counts as an error at the harness.
    Options ``benchmark``, ``domain``, ``backbone`` and ``strategy`` fill what records lack.

    Raises:
        BadInput: the file cannot be read or a record is no chat.
    """
    for index, (place, row) in enumerate(read_records(path)):
        yield build_episode(place, lambda row=row, index=index: _episode(path, index, row, options))  # type: ignore[misc]


def _episode(path: Path, index: int, row: dict[str, Any], options: dict[str, str]) -> Episode:
    reward = row.get("reward")
    return Episode(
        id=content_hash(["openai", path.name, index, row]),
        benchmark=str(row.get("benchmark") or options.get("benchmark") or "imported"),
        domain=str(row.get("domain") or options.get("domain") or "unknown"),
        task_id=str(row.get("task_id", index)),
        trial=int(row.get("trial") or 0),
        backbone=row.get("backbone") or row.get("model") or options.get("backbone"),
        strategy=row.get("strategy") or options.get("strategy") or "fc",
        messages=messages_of(row["messages"]),
        tools=tools_of(row.get("tools") or []),
        outcome=_outcome(row),
        reward=None if reward is None else float(reward),
        gold_actions=_gold(row.get("gold_actions")),
        package_version=__version__,
        source=Source(importer="openai", file=path.name),
    )


def _outcome(row: dict[str, Any]) -> Outcome:
    if row.get("error"):
        return Outcome(status="error", boundary="harness", reason=str(row["error"])[:200])
    success, reward = row.get("success"), row.get("reward")
    if success is None and reward is not None:
        success = float(reward) >= 1.0 - 1e-6
    if success is None:
        return Outcome(status="error", boundary="harness", reason="no outcome in the log")
    return Outcome(status="success" if success else "failure", reason=str(row.get("reason") or ""))


def _gold(actions: Any) -> tuple[GoldAction, ...] | None:
    return None if actions is None else gold_of(actions)


def gold_of(actions: list[dict[str, Any]]) -> tuple[GoldAction, ...]:
    """Return reference actions with arguments under ``kwargs`` or ``arguments``, as an object or JSON text."""
    found = []
    for action in actions:
        arguments = action.get("kwargs", action.get("arguments", {}))
        text = arguments if isinstance(arguments, str) else json.dumps(arguments, ensure_ascii=False)
        found.append(GoldAction(name=action["name"], arguments=text))
    return tuple(found)


def tools_of(tools: list[dict[str, Any]]) -> tuple[ToolSpec, ...]:
    """Return tools from OpenAI definitions, wrapped in ``function`` or bare."""
    found = []
    for tool in tools:
        inner = tool.get("function", tool)
        parameters = json.dumps(inner.get("parameters") or {}, ensure_ascii=False)
        found.append(ToolSpec(name=inner["name"], description=inner.get("description") or "", parameters=parameters))
    return tuple(found)


def messages_of(rows: list[dict[str, Any]]) -> tuple[Message, ...]:
    """Return OpenAI chat messages; unknown keys are left out, missing call ids are made up from the position."""
    found = []
    for index, row in enumerate(rows):
        calls = tuple(_call(call, f"call_{index}_{place}") for place, call in enumerate(row.get("tool_calls") or ()))
        found.append(
            Message(
                role="system" if row["role"] == "developer" else row["role"],
                content=_text(row.get("content")),
                tool_calls=calls or None,
                tool_call_id=row.get("tool_call_id"),
                name=row.get("name"),
            )
        )
    return tuple(found)


def _call(call: dict[str, Any], fallback: str) -> ToolCall:
    function = call["function"]
    arguments = function.get("arguments")
    text = arguments if isinstance(arguments, str) else json.dumps(arguments or {}, ensure_ascii=False)
    return ToolCall(id=call.get("id") or fallback, function=FunctionCall(name=function["name"], arguments=text))


def _text(content: Any) -> str | None:
    if content is None or isinstance(content, str):
        return content
    return "\n".join(part.get("text", "") for part in content if isinstance(part, dict))
