"""Logs of τ-bench and τ-trait: native tool calls, and the text form of ``act`` and ``react``."""

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Literal

from fama import __version__
from fama.episodes.importers.base import build_episode, read_records
from fama.episodes.importers.openai_chat import gold_of, messages_of, tools_of
from fama.episodes.records import Episode, FunctionCall, Message, Outcome, Source, ToolCall, ToolSpec
from fama.errors import Boundary
from fama.hashing import content_hash

_TOOLS = re.compile(r"^#\s*Available tools\s*$", re.MULTILINE)
_DOMAIN = re.compile(r"^#\s*(\w+) agent policy", re.IGNORECASE | re.MULTILINE)
_OUTPUT = "API output:"
_NAMES = (
    re.compile(r"^(?P<strategy>tool-calling|act|react|few-shot)-(?P<backbone>.+)-\d+\.\d+_range_"),
    re.compile(r"^(?P<backbone>.+?)_(?P<strategy>fc|act|react)_"),
)
StrategyName = Literal["fc", "react", "act"]


def read(path: Path, **options: str) -> Iterator[Episode]:
    """Read the episodes of one log.

    Backbone and strategy come from the file's name where it follows a known pattern, else from the options ``backbone``
    and ``strategy``, which win. A crash of the harness becomes an error, never a reward of 0.

    Raises:
        BadInput: the file cannot be read or a record is not of this format.
    """
    for index, (place, row) in enumerate(read_records(path)):
        yield build_episode(place, lambda row=row, index=index: _episode(path, index, row, options))  # type: ignore[misc]


def _episode(path: Path, index: int, row: dict[str, Any], options: dict[str, str]) -> Episode:
    info, raw = row["info"], row["traj"] or []
    task = info.get("task") or {}
    strategy = _strategy(raw)
    named = _from_name(path.name)
    messages, tools = _messages(raw, strategy)
    domain = options.get("domain") or _domain(raw) or _domain_of_name(path.name)
    reward = float(row["reward"])
    outcome = _outcome(info, reward, raw)
    return Episode(
        id=content_hash(["tau-bench", path.name, index, row]),
        benchmark=options.get("benchmark") or ("tau-trait" if domain.startswith("tele") else "tau-bench"),
        domain=domain,
        task_id=str(row["task_id"]),
        trial=int(row.get("trial") or 0),
        backbone=options.get("backbone") or named.get("backbone"),
        strategy=options.get("strategy") or strategy or named.get("strategy", "fc"),
        messages=messages,
        tools=tools,
        outcome=outcome,
        reward=None if outcome.status == "error" else reward,
        reward_detail=_detail(info),
        gold_actions=gold_of(task["actions"]) if "actions" in task else None,
        instruction=task.get("instruction"),
        package_version=__version__,
        source=Source(importer="tau-bench", file=path.name),
    )


def _strategy(raw: list[dict[str, Any]]) -> StrategyName | None:
    spoken = [m for m in raw if m["role"] == "assistant"]
    if not spoken:
        return None
    if any(m["role"] == "tool" or m.get("tool_calls") for m in raw):
        return "fc"
    marked = sum("Action:" in (m.get("content") or "") for m in spoken)
    if 2 * marked < len(spoken):
        return "fc"
    return "react" if any("Thought:" in (m.get("content") or "") for m in spoken) else "act"


def _from_name(name: str) -> dict[str, str]:
    for pattern in _NAMES:
        if match := pattern.match(name):
            found = match.groupdict()
            if found["strategy"] in ("tool-calling", "few-shot"):
                found["strategy"] = "fc"
            return found
    return {}


def _domain(raw: list[dict[str, Any]]) -> str | None:
    text = (raw[0].get("content") or "") if raw else ""
    match = _DOMAIN.search(text)
    return match[1].lower() if match else None


def _domain_of_name(name: str) -> str:
    return next((domain for domain in ("airline", "retail", "telecom", "telehealth") if domain in name), "unknown")


def _outcome(info: dict[str, Any], reward: float, raw: list[dict[str, Any]]) -> Outcome:
    if info.get("error") or info.get("traceback") or not raw:
        text = " ".join(str(info.get("error") or "no messages").split())
        return Outcome(status="error", boundary=_boundary(info), reason=text[:200])
    if reward >= 1.0 - 1e-6:
        return Outcome(status="success", reason="done")
    # without a verdict of the environment the conversation never ended by itself: the step limit cut it
    return Outcome(status="failure", reason="done" if info.get("reward_info") else "max_steps")


def _boundary(info: dict[str, Any]) -> Boundary:
    trace = str(info.get("traceback") or "") + str(info.get("error") or "")
    if "envs/user.py" in trace:
        return "user"
    if re.search(r"litellm|openai|ContextWindow|RateLimit|APIError", trace):
        return "model"
    return "environment" if "/envs/" in trace else "harness"


def _detail(info: dict[str, Any]) -> dict[str, float]:
    verdict = info.get("reward_info") or {}
    inner = verdict.get("info") or {}
    if "reward_info" in inner:  # some logs nest the verdict once more
        inner = (inner.get("reward_info") or {}).get("info") or {}
    return {key: float(inner[key]) for key in ("r_actions", "r_outputs") if inner.get(key) is not None}


def _messages(
    raw: list[dict[str, Any]], strategy: StrategyName | None
) -> tuple[tuple[Message, ...], tuple[ToolSpec, ...]]:
    tools: tuple[ToolSpec, ...] = ()
    rows: list[dict[str, Any]] = []
    called: str | None = None
    for index, message in enumerate(raw):
        role, content = message["role"], message.get("content") or ""
        if role == "system" and strategy in ("act", "react"):
            content, tools = _split_tools(content)
            rows.append({"role": "system", "content": content})
        elif role == "assistant" and strategy in ("act", "react"):
            row, called = _action(content, f"call_{index}")
            rows.append(row)
        elif role == "user" and called is not None and content.startswith(_OUTPUT):
            text = content[len(_OUTPUT) :].removeprefix(" ")
            rows.append({"role": "tool", "content": text, "tool_call_id": called})
            called = None
        else:
            rows.append(message)
    return messages_of(rows), tools


def _split_tools(content: str) -> tuple[str, tuple[ToolSpec, ...]]:
    match = _TOOLS.search(content)
    if match is None:
        return content, ()
    try:
        found, _ = json.JSONDecoder().raw_decode(content[match.end() :].lstrip())
        return content[: match.start()].rstrip(), tools_of(found)
    except (ValueError, KeyError, TypeError, AttributeError):
        return content, ()


def _action(content: str, call_id: str) -> tuple[dict[str, Any], str | None]:
    """Return the message and the id of its call, by the harness's own rule: what is no JSON is said to the user."""
    thought, _, text = content.rpartition("Action:")
    try:
        value = json.loads(text.strip())
        name, arguments = value["name"], value["arguments"]
    except (ValueError, KeyError, TypeError):
        return {"role": "assistant", "content": text.strip()}, None
    if name == "respond":
        said = arguments.get("content", "") if isinstance(arguments, dict) else str(arguments)
        return {"role": "assistant", "content": str(said)}, None
    call = ToolCall(id=call_id, function=FunctionCall(name=str(name), arguments=json.dumps(arguments)))
    row = {"role": "assistant", "content": thought.strip() or None, "tool_calls": [call.model_dump()]}
    return row, call_id
