"""Results of τ²-bench (``tau2 run``): one object with ``info``, ``tasks`` and ``simulations``."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import ijson

from fama import __version__
from fama.episodes.importers.base import Bounded, build_episode, open_log, parser_errors, read_items
from fama.episodes.importers.openai_chat import gold_of, messages_of, tools_of
from fama.episodes.records import Episode, LedgerRow, Outcome, Source
from fama.errors import BadInput, Boundary
from fama.hashing import content_hash

#: Endings that say nothing about the agent's work, and the boundary that broke. An agent's message that tau2 refuses
#: (empty, or words beside a tool call) is one of them, though tau2 stores it with a reward of 0.
_BROKEN: dict[str, Boundary] = {
    "agent_error": "model",
    "user_error": "user",
    "infrastructure_error": "environment",
    "unexpected_error": "harness",
}
_FINISHED = ("user_stop", "agent_stop")


def read(path: Path, **options: str) -> Iterator[Episode]:
    """Read the episodes of one result file.

    Options ``benchmark``, ``domain``, ``backbone`` and ``strategy`` win over it.

    The policy, which all simulations of a file share, becomes the system message. Tool calls of the user
    (telecom) and their results are left out: the agent never saw them.

    Raises:
        BadInput: the file cannot be read or is no result of tau2.
    """
    info, listed = _part(path, "info", dict), _part(path, "tasks", list)
    gold = {str(task["id"]): task for task in listed if isinstance(task, dict) and "id" in task}
    for place, row in read_items(path, "simulations.item"):
        yield build_episode(place, lambda row=row: _episode(path, info, gold, row, options))  # type: ignore[misc]


def _part(path: Path, name: str, kind: type) -> Any:
    with open_log(path) as file, parser_errors(path, name):
        value = next(ijson.items(Bounded(file), name, use_float=True), None)
    if not isinstance(value, kind):
        raise BadInput(f"{path}: field {name!r} is missing; is this a result of tau2?")
    return value


def _episode(
    path: Path, info: dict[str, Any], tasks: dict[str, dict[str, Any]], row: dict[str, Any], options: dict[str, str]
) -> Episode:
    world, agent = info["environment_info"], info["agent_info"]
    verdict = row.get("reward_info") or {}
    reward = verdict.get("reward")
    outcome = _outcome(str(row["termination_reason"]), reward)
    rows = [m for m in row["messages"] if not of_user_tools(m)]
    system = [{"role": "system", "content": world["policy"]}] if world.get("policy") else []
    task_id = str(row["task_id"])
    criteria = tasks.get(task_id, {}).get("evaluation_criteria") or {}
    actions = criteria.get("actions")
    return Episode(
        id=content_hash(["tau2", path.name, row]),
        benchmark=options.get("benchmark") or "tau2",
        benchmark_version=info.get("git_commit"),
        domain=options.get("domain") or str(world["domain_name"]),
        task_id=task_id,
        trial=int(row.get("trial") or 0),
        backbone=options.get("backbone") or agent.get("llm"),
        strategy=options.get("strategy") or ("fc" if "llm_agent" in str(agent.get("implementation")) else None),
        messages=messages_of([*system, *map(chat_message, rows)]),
        tools=tools_of(world.get("tool_defs") or []),
        ledger=tuple(_bills(rows, agent.get("llm"), (info.get("user_info") or {}).get("llm"))),
        outcome=outcome,
        reward=None if outcome.status == "error" or reward is None else float(reward),
        reward_detail={key: float(part) for key, part in (verdict.get("reward_breakdown") or {}).items()},
        gold_actions=None if actions is None else gold_of(actions),
        instruction=_instruction(tasks.get(task_id, {})),
        seeds={} if row.get("seed") is None else {"simulation": int(row["seed"])},
        package_version=__version__,
        source=Source(importer="tau2", file=path.name),
        started_at=row.get("start_time"),
        seconds=row.get("duration"),
    )


def _instruction(task: dict[str, Any]) -> str | None:
    """Return the user's instructions as one text: a text as it stands, the parts of a structured one a line each."""
    told = (task.get("user_scenario") or {}).get("instructions")
    if isinstance(told, dict):
        return "\n".join(str(part) for part in told.values() if part) or None
    return None if told is None else str(told)


def of_user_tools(message: dict[str, Any]) -> bool:
    """Return a tool call of the user, or its result."""
    if message["role"] == "tool":
        return message.get("requestor") == "user"
    return message["role"] == "user" and bool(message.get("tool_calls"))


def chat_message(message: dict[str, Any]) -> dict[str, Any]:
    """Return a chat message; a tool's result carries the id of its call, an agent's call its function."""
    row = {"role": message["role"], "content": message.get("content")}
    if message["role"] == "tool":
        return {**row, "tool_call_id": message["id"]}
    calls = [
        {"id": call["id"], "function": {"name": call["name"], "arguments": call["arguments"]}}
        for call in message.get("tool_calls") or ()
    ]
    return {**row, "content": row["content"] or None, "tool_calls": calls} if calls else row


def _bills(rows: list[dict[str, Any]], agent: str | None, user: str | None) -> Iterator[LedgerRow]:
    """Stream one ledger row per message with usage; tau2 writes a cost of 0 for unpriced models: 0 is unknown."""
    for message in rows:
        usage = message.get("usage")
        role = {"assistant": "agent", "user": "user"}.get(message["role"])
        if usage and role:
            yield LedgerRow(
                role=role,
                model=(agent if role == "agent" else user) or "unknown",
                input_tokens=int(usage.get("prompt_tokens") or 0),
                output_tokens=int(usage.get("completion_tokens") or 0),
                price=message.get("cost") or None,
            )


def _outcome(ending: str, reward: float | None) -> Outcome:
    if ending in _BROKEN:
        return Outcome(status="error", boundary=_BROKEN[ending], reason=ending)
    if reward is None:
        return Outcome(status="error", boundary="harness", reason=f"{ending}, without a reward")
    success = ending in _FINISHED and reward >= 1.0 - 1e-6
    return Outcome(status="success" if success else "failure", reason=ending)
