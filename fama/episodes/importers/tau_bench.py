"""Logs of τ-bench and τ-trait: native tool calls, and the text form of ``act`` and ``react``."""

import json
import re
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Literal, get_args

from fama import __version__
from fama.episodes.foreign.fields import absent, is_full, listed, mapping, name_of, number, trial_of
from fama.episodes.foreign.file_identity import positional
from fama.episodes.foreign.logged_content import THOUGHTS
from fama.episodes.foreign.logged_messages import messages_of
from fama.episodes.foreign.logged_tools import gold_of, tools_of
from fama.episodes.foreign.streams import LogRecord, read_records
from fama.episodes.importers.base import read_episodes_of
from fama.episodes.records import Episode, FunctionCall, Message, Outcome, Source, ToolCall, ToolSpec
from fama.errors import BadInput, Boundary
from fama.hashing import content_hash

_TOOLS = re.compile(r"^#\s*Available tools\s*$", re.MULTILINE)
_DOMAIN = re.compile(r"^#\s*(\w+) agent policy", re.IGNORECASE | re.MULTILINE)
_OUTPUT = "API output:"
_NAMES = (
    re.compile(
        r"^(?P<strategy>tool-calling|act|react|few-shot)-(?P<backbone>.+)-(?P<temperature>\d+\.\d+)_range_[-\d]+"
        r"(?:_user-(?P<user>.+)-(?P<user_strategy>llm|react|verify|reflection|human)(?=_|\.))?"
    ),
    re.compile(r"^(?P<agent>.+)-(?P<backbone>none)-(?P<temperature>\d+\.\d+)_range_"),
    re.compile(
        r"^(?P<backbone>.+?)_(?P<strategy>fc|act|react)_(?:(?P<trait>skeptical|confusion|impatience|incoherence)_)?"
    ),
    re.compile(r"^(?P<trait>skeptical|confusion|impatience|incoherence)_(?:airline|retail|telecom|telehealth)(?=[_.])"),
)
StrategyName = Literal["fc", "react", "act"]


def read(path: Path, **options: str) -> Iterator[Episode]:
    """Read the episodes of one log: results of the harness, or dumps of its ``SolveResult``.

    Backbone, strategy, user model and temperature come from the file's name where it follows a known pattern; the
    options ``backbone`` and ``strategy`` win. Where neither states the strategy, it is that of most records: all are
    read by one, since an agent that breaks its form is still of the arm. A crash of the harness, and a record without a
    reward, is an error, never a reward of 0. A dump has no task id: its task is known by what the user was told, else
    by its place.

    Raises:
        BadInput: the file cannot be read or no record is of this format.
    """
    named = _from_name(path.name)
    stated = (name for name in (options.get("strategy"), named.get("strategy")) if name in get_args(StrategyName))
    strategy = next(stated, None) or _most_common_strategy(path)
    named["strategy"] = options.get("strategy") or strategy

    def build(index: int, row: dict[str, Any]) -> Episode:
        return _episode(path, index, row, options, named, text_form=strategy != "fc")

    yield from read_episodes_of("tau-bench", path, read_records(path), build, options)


def _episode(
    path: Path, index: int, row: dict[str, Any], options: dict[str, str], named: dict[str, str], text_form: bool
) -> Episode:
    if "info" not in row and "reward" not in row:
        raise KeyError("info")
    info, raw = mapping(row.get("info"), "info"), _turns(row)
    task = mapping(info.get("task"), "info.task")
    omitted: Counter[str] = Counter()
    messages, tools = _messages(raw, text_form, omitted)
    domain = options.get("domain") or _domain(raw) or _domain_of_name(path.name)
    reward = number(row.get("reward"), "reward")
    outcome = _outcome(info, reward, raw)
    outputs = task.get("outputs")
    return Episode(
        id=content_hash(["tau-bench", path.name, index, row]),
        benchmark=options.get("benchmark") or _benchmark(domain, named),
        domain=domain,
        task_id=name_of(row.get("task_id")) or _task_by_content(task) or positional(path.name, index),
        trial=trial_of(row.get("trial")),
        backbone=options.get("backbone") or named.get("backbone"),
        strategy=named["strategy"],
        agent=named.get("agent"),
        user_model=named.get("user"),
        settings=_settings(named),
        messages=messages,
        tools=tools,
        outcome=outcome,
        reward=None if outcome.status == "error" else reward,
        reward_detail=_detail(info),
        gold_actions=None if absent(task.get("actions")) else gold_of(task["actions"]),
        required_outputs=None if absent(outputs) else tuple(map(str, listed(outputs, "outputs"))),
        instruction=None if absent(task.get("instruction")) else str(task["instruction"]),
        package_version=__version__,
        source=Source(importer="tau-bench", file=path.name, omitted=dict(+omitted)),
    )


def _benchmark(domain: str, named: dict[str, str]) -> str:
    """Return whose log it is: of airline and retail, the logs of both differ in the user's trait alone."""
    return "tau-trait" if domain.startswith("tele") or "trait" in named else "tau-bench"


def _turns(row: dict[str, Any]) -> list[dict[str, Any]]:
    """Return the conversation, under the name that the harness or its ``SolveResult`` gives it."""
    turns = listed(row.get("messages") if absent(row.get("traj")) else row["traj"], "traj")
    for index, turn in enumerate(turns):
        if not isinstance(turn, dict) or not isinstance(turn.get("role"), str):
            raise BadInput(f"traj[{index}] is no message with a role; is this the right format?")
    return turns


def _task_by_content(task: dict[str, Any]) -> str | None:
    instruction = name_of(task.get("instruction"))
    return None if instruction is None else f"task-{content_hash([task.get('user_id'), instruction])[:10]}"


def _settings(named: dict[str, str]) -> str | None:
    return "; ".join(f"{key}={named[key]}" for key in ("temperature", "user_strategy", "trait") if key in named) or None


def _most_common_strategy(path: Path) -> str:
    """Return the strategy that most records of a file look like; ``fc`` where none has a turn of the agent."""
    votes: Counter[StrategyName | None] = Counter()
    try:
        for record in read_records(path):
            votes[_strategy(record)] += 1
    except BadInput:
        pass  # told when the records are read
    del votes[None]
    return next((name for name, _ in votes.most_common(1) if name), "fc")


def _strategy(record: LogRecord) -> StrategyName | None:
    try:
        raw = _turns(record.fields())
    except BadInput:
        return None
    spoken = [m for m in raw if m["role"] == "assistant"]
    if not spoken:
        return None
    if any(m["role"] in ("tool", "function") or m.get("tool_calls") or m.get("function_call") for m in raw):
        return "fc"
    marked = sum("Action:" in _words(m) for m in spoken)
    if 2 * marked < len(spoken):
        return "fc"
    return "react" if any("Thought:" in _words(m) for m in spoken) else "act"


def _words(message: dict[str, Any]) -> str:
    content = message.get("content")
    return content if isinstance(content, str) else ""


def _from_name(name: str) -> dict[str, str]:
    """Return what a file's name says: the harness writes ``none`` where an agent of one's own hides its model."""
    for pattern in _NAMES:
        if match := pattern.match(name):
            found = {key: value for key, value in match.groupdict().items() if value}
            if (backbone := found.get("backbone", "")) == "none" or backbone.endswith("-none"):
                rest = found.pop("backbone")[: -len("none")].rstrip("-")
                found.setdefault("agent", "-".join(filter(None, (found.get("strategy"), rest))))
            if found.get("strategy") == "few-shot":
                found.setdefault("agent", "few-shot")
            if found.get("strategy") in ("tool-calling", "few-shot"):
                found["strategy"] = "fc"
            return found
    return {}


def _domain(raw: list[dict[str, Any]]) -> str | None:
    text = _words(raw[0]) if raw else ""
    match = _DOMAIN.search(text)
    return match[1].lower() if match else None


def _domain_of_name(name: str) -> str:
    return next((domain for domain in ("airline", "retail", "telecom", "telehealth") if domain in name), "unknown")


def _outcome(info: dict[str, Any], reward: float | None, raw: list[dict[str, Any]]) -> Outcome:
    if info.get("error") or info.get("traceback") or not raw:
        text = " ".join(str(info.get("error") or "no messages").split())
        return Outcome(status="error", boundary=_boundary(info), reason=text[:200])
    if reward is None:
        return Outcome(status="error", boundary="harness", reason="no reward in the log")
    if is_full(reward):
        return Outcome(status="success", reason="done")
    if not info:
        return Outcome(status="error", boundary="harness", reason="no info in the log: a crash or a failure")
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
    inner = mapping(mapping(info.get("reward_info"), "reward_info").get("info"), "reward_info.info")
    if "reward_info" in inner:  # some logs nest the verdict once more
        inner = mapping(mapping(inner.get("reward_info"), "reward_info").get("info"), "reward_info.info")
    found = {key: number(inner.get(key), key) for key in ("r_actions", "r_outputs")}
    return {key: value for key, value in found.items() if value is not None}


def _messages(
    raw: list[dict[str, Any]], text_form: bool, omitted: Counter[str]
) -> tuple[tuple[Message, ...], tuple[ToolSpec, ...]]:
    tools: tuple[ToolSpec, ...] = ()
    rows: list[dict[str, Any]] = []
    called: str | None = None
    for index, message in enumerate(raw):
        role, content = message["role"], _words(message)
        if not isinstance(message.get("content"), str | None):
            rows.append(message)
        elif role == "system" and text_form:
            content, tools = _split_tools(content)
            rows.append({"role": "system", "content": content})
        elif role == "assistant" and text_form and not (message.get("tool_calls") or message.get("function_call")):
            row, called = _action(content, f"call_{index}")
            omitted[THOUGHTS] += called is None and bool(content.rpartition("Action:")[0].strip())
            rows.append(row)
        elif role == "user" and called is not None and content.startswith(_OUTPUT):
            text = content[len(_OUTPUT) :].removeprefix(" ")
            rows.append({"role": "tool", "content": text, "tool_call_id": called})
            called = None
        else:
            rows.append(message)
    return messages_of(rows, omitted), tools


def _split_tools(content: str) -> tuple[str, tuple[ToolSpec, ...]]:
    match = _TOOLS.search(content)
    if match is None:
        return content, ()
    try:
        found, _ = json.JSONDecoder().raw_decode(content[match.end() :].lstrip())
        return content[: match.start()].rstrip(), tools_of(found)
    except (ValueError, BadInput):
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
