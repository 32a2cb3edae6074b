"""Results of τ²-bench (``tau2 run``): one object with ``info``, ``tasks`` and ``simulations``, or a folder of them."""

from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from fama import __version__
from fama.episodes.foreign.fields import (
    absent,
    from_text,
    is_full,
    listed,
    mapping,
    name_of,
    number,
    number_or_none,
    positive,
    trial_of,
    whole,
)
from fama.episodes.foreign.file_identity import settings_text
from fama.episodes.foreign.logged_messages import messages_of
from fama.episodes.foreign.logged_tools import gold_of, tools_of
from fama.episodes.foreign.streams import LogRecord, read_items, read_part, read_records
from fama.episodes.importers.base import read_episodes_of
from fama.episodes.importers.tau2_messages import chat_message, of_user_tools, simulation_messages
from fama.episodes.records import Episode, LedgerRow, Outcome, Source
from fama.errors import BadInput, Boundary
from fama.hashing import content_hash

#: Endings that say nothing about the agent's work, and the boundary that broke. An agent's message that tau2 refuses
#: (empty, or words beside a tool call) is one of them, though tau2 stores it with a reward of 0.
_BROKEN: dict[str, Boundary] = {
    "agent_error": "model",
    "context_window_exceeded": "model",
    "user_error": "user",
    "infrastructure_error": "environment",
    "unexpected_error": "harness",
}
_FINISHED = ("user_stop", "agent_stop")
#: Ends that make an episode a failure, whatever its reward.
_LIMITS = ("max_steps", "too_many_errors", "timeout")
_PLAIN_AGENT = "llm_agent"
RESULTS, SIMULATIONS = "results.json", "simulations"


def read(path: Path, **options: str) -> Iterator[Episode]:
    """Read the episodes of one result file, of the folder ``simulations`` beside it, or of one simulation alone.

    Options ``benchmark``, ``domain``, ``backbone`` and ``strategy`` win over it. An agent of another implementation
    than tau2's plain one is a strategy of its own.

    A simulation's own policy, else the one that all of a file share, becomes the system message. Tool calls of the user
    (telecom) and their results are left out: the agent never saw them. Without ``tasks`` there are no reference
    actions and no instruction. The ticks of a voice run become turns, an interrupted one without a verdict an error.

    Raises:
        BadInput: the file cannot be read or holds no simulation.
    """
    head, records = _opened(path)
    try:
        run = _Run(path, head, options)
    except BadInput as error:
        raise BadInput(f"{path}: {error}") from None
    yield from read_episodes_of("tau2", path, records, run.episode, options)


def is_part(path: Path) -> bool:
    """Return whether a file is a simulation of the result file in the folder above, which reads it."""
    return path.parent.name == SIMULATIONS and (path.parent.parent / RESULTS).is_file()


def _opened(path: Path) -> tuple[dict[str, Any], Iterator[LogRecord]]:
    """Return what a file says of its run, and its simulations."""
    if path.name.removesuffix(".gz").endswith((".jsonl", ".ndjson")):  # a simulation a line
        return {}, read_records(path)
    info, tasks = read_part(path, "info"), read_part(path, "tasks")
    ending = read_part(path, "termination_reason")
    if ending is not None:  # one simulation of a folder
        above = path.parent.parent / RESULTS
        found = is_part(path)
        head = {"info": read_part(above, "info"), "tasks": read_part(above, "tasks")} if found else {}
        return head, read_records(path)
    if not isinstance(info, dict):
        raise BadInput(f"{path}: field 'info' is missing; is this a result of tau2?")
    head = {"info": info, "tasks": tasks}
    if read_part(path, "simulations") is not None:
        return head, read_items(path, "simulations.item")
    folder = path.parent / SIMULATIONS
    if not folder.is_dir():
        raise BadInput(f"{path}: holds no simulations, and no folder {SIMULATIONS} is beside it; fetch it, too")
    return head, _of_folder(path, folder)


def _of_folder(path: Path, folder: Path) -> Iterator[LogRecord]:
    """Yield the simulations of a folder; one that the index lists and that is not there is a record with a fault."""
    index = read_part(path, "simulation_index")
    names = [name_of(row.get("id")) for row in index if isinstance(row, dict)] if isinstance(index, list) else []
    there = {file.stem: file for file in sorted(folder.glob("*.json"))}
    for file in there.values():
        try:
            yield from (record._replace(place=str(file)) for record in read_records(file))
        except BadInput as error:
            yield LogRecord(str(file), None, str(error).removeprefix(f"{file}: "))
    for name in dict.fromkeys(names):
        if name is not None and name not in there:
            fault = "is listed in the run's index and not there; fetch it, too"
            yield LogRecord(str(folder / f"{name}.json"), None, fault)


class _Run:
    """Facts that all simulations of a run share."""

    def __init__(self, path: Path, head: dict[str, Any], options: dict[str, str]) -> None:
        info = mapping(head.get("info"), "info")
        self.path, self.options = path, options
        self.version = name_of(info.get("git_commit"))
        self.world = mapping(info.get("environment_info"), "environment_info")
        self.agent = mapping(info.get("agent_info"), "agent_info")
        self.user = mapping(info.get("user_info"), "user_info")
        self.tools = tools_of(self.world.get("tool_defs"))
        self.settings = _settings(info, self.agent, self.user)
        tasks = (task for task in listed(head.get("tasks"), "tasks") if isinstance(task, dict))
        self.tasks = {name: task for task in tasks if (name := name_of(task.get("id"))) is not None}

    def episode(self, index: int, row: dict[str, Any]) -> Episode:
        """Return the episode of one simulation."""
        verdict = mapping(row.get("reward_info"), "reward_info")
        reward = number(verdict.get("reward"), "reward")
        outcome = _outcome(row, reward)
        turns = simulation_messages(row)
        rows = [message for message in turns if not of_user_tools(message)]
        policy = row.get("policy") if not absent(row.get("policy")) else self.world.get("policy")
        system = [] if absent(policy) else [{"role": "system", "content": policy}]
        task_id = name_of(row["task_id"])
        if task_id is None:
            raise BadInput("field 'task_id' is null; is this a simulation of tau2?")
        task = self.tasks.get(task_id, {})
        criteria = mapping(task.get("evaluation_criteria"), "evaluation_criteria")
        actions, told = criteria.get("actions"), criteria.get("communicate_info")
        implementation = name_of(self.agent.get("implementation"))
        omitted: Counter[str] = Counter()
        seed = whole(row.get("seed"), "seed")
        return Episode(
            id=content_hash(["tau2", self.path.name, row]),
            benchmark=self.options.get("benchmark") or "tau2",
            benchmark_version=self.version,
            domain=self.options.get("domain") or name_of(self.world.get("domain_name")) or "unknown",
            task_id=task_id,
            trial=trial_of(row.get("trial")),
            backbone=self.options.get("backbone") or name_of(self.agent.get("llm")),
            strategy=self.options.get("strategy") or ("fc" if implementation == _PLAIN_AGENT else implementation),
            agent=implementation,
            user_model=name_of(self.user.get("llm")),
            settings=self.settings,
            messages=messages_of([*system, *map(chat_message, rows)], omitted),
            tools=self.tools,
            ledger=tuple(_bills(turns, name_of(self.agent.get("llm")), name_of(self.user.get("llm")))),
            outcome=outcome,
            reward=None if outcome.status == "error" else reward,
            reward_detail=_detail(verdict),
            gold_actions=None if absent(actions) else gold_of(actions),
            required_outputs=None if absent(told) else tuple(map(str, listed(told, "communicate_info"))),
            instruction=_instruction(task),
            seeds={} if seed is None else {"simulation": seed},
            package_version=__version__,
            source=Source(importer="tau2", file=self.path.name, omitted=dict(+omitted)),
            started_at=name_of(row.get("start_time")),
            seconds=positive(row.get("duration")),
        )


def _settings(info: dict[str, Any], agent: dict[str, Any], user: dict[str, Any]) -> str | None:
    """Return what else sets a run apart: sampling, limits, the user's implementation, voice and retrieval."""
    parts = settings_text(mapping(agent.get("llm_args"), "llm_args"))
    parts += settings_text(mapping(user.get("llm_args"), "llm_args"), "user_")
    if name_of(user.get("implementation")) not in (None, "user_simulator"):
        parts.append(f"user_implementation={name_of(user.get('implementation'))}")
    for key in ("max_steps", "max_errors", "speech_complexity", "retrieval_config"):
        if (value := name_of(info.get(key))) is not None:
            parts.append(f"{key}={value}")
    return "; ".join(parts) or None


def _detail(verdict: dict[str, Any]) -> dict[str, float]:
    parts = mapping(verdict.get("reward_breakdown"), "reward_breakdown")
    return {key: value for key, part in parts.items() if (value := number_or_none(part)) is not None}


def _instruction(task: dict[str, Any]) -> str | None:
    """Return the user's instructions as one text: a text as it stands, the parts of a structured one a line each."""
    scenario = from_text(task.get("user_scenario"))
    told = scenario.get("instructions") if isinstance(scenario, dict) else scenario
    if isinstance(told, dict):
        return "\n".join(str(part) for part in told.values() if part) or None
    return None if told is None else str(told)


def _bills(turns: list[dict[str, Any]], agent: str | None, user: str | None) -> Iterator[LedgerRow]:
    """Yield one ledger row per message that a model wrote; one without usage has unknown tokens.

    Two need no model: the agent's greeting, which opens a conversation, and the words of a user that is none. Cached
    and reasoning tokens are not in tau2's logs, and it writes a cost of 0 for unpriced models: 0 is unknown.
    """
    models = {"assistant": ("agent", agent or "unknown"), "user": ("user", user)}
    for place, message in enumerate(turns):
        role, model = models.get(message["role"], ("", None))
        usage = from_text(message.get("usage"))
        said = usage if isinstance(usage, dict) else {}
        if not role or (not said and (model is None or (place == 0 and role == "agent"))):
            continue
        yield LedgerRow(
            role=role,
            model=model or "unknown",
            input_tokens=said.get("prompt_tokens") or None,
            cached_input_tokens=None,
            output_tokens=said.get("completion_tokens"),
            reasoning_tokens=None,
            price=positive(message.get("cost")),
        )


def _outcome(row: dict[str, Any], reward: float | None) -> Outcome:
    ending = name_of(row.get("termination_reason"))
    if ending is None:
        return Outcome(status="error", boundary="harness", reason="interrupted: no termination reason")
    ending = ending.lower().removeprefix("terminationreason.")
    if ending in _BROKEN:
        return Outcome(status="error", boundary=_BROKEN[ending], reason=ending)
    if row.get("skipped") is True:
        return Outcome(status="error", boundary="harness", reason=f"{ending}, skipped")
    if reward is None:
        return Outcome(status="error", boundary="harness", reason=f"{ending}, without a reward")
    success = ending in _FINISHED and is_full(reward)
    if is_full(reward) and ending not in (*_FINISHED, *_LIMITS):
        return Outcome(status="error", boundary="harness", reason=f"unknown ending {ending}, with a reward")
    return Outcome(status="success" if success else "failure", reason=ending)
