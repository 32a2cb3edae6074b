"""OpenAI chat logs: one object per line with ``messages``, and any known fields of an episode."""

from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from fama import __version__
from fama.episodes.foreign.fields import absent, is_full, mapping, name_of, number, rows_of, trial_of, verdict
from fama.episodes.foreign.file_identity import settings_text, task_id_of
from fama.episodes.foreign.logged_answers import answered
from fama.episodes.foreign.logged_content import as_text
from fama.episodes.foreign.logged_messages import with_system
from fama.episodes.foreign.logged_tools import functions_of, gold_of
from fama.episodes.foreign.streams import read_records
from fama.episodes.importers.base import NO_OUTCOME, read_episodes_of
from fama.episodes.records import Episode, Outcome, Source
from fama.errors import BadInput
from fama.hashing import content_hash
from fama.redaction import shortened


def read(path: Path, **options: str) -> Iterator[Episode]:
    """Read the episodes of a chat log.

    A record needs ``messages``; ``tools`` (or ``functions``), ``task_id``, ``trial``, ``domain``, ``benchmark``,
    ``benchmark_version``, ``backbone`` (or ``model``), ``strategy``, ``agent``, ``user_model``, ``settings``,
    ``reward``, ``success``, ``error`` and ``gold_actions`` are used where given. Without ``success`` or ``reward`` the
    outcome is unknown and the record counts as an error at the harness. The system's words may stand in ``system`` (or
    ``system_prompt``) beside the messages. An answer in ``response``, ``choices``,
    ``completion`` or ``output`` that the messages lack is their last one.
    Options ``benchmark``, ``domain``, ``backbone`` and ``strategy`` fill what records lack.

    Raises:
        BadInput: the file cannot be read or no record is a chat.
    """

    def build(index: int, row: dict[str, Any]) -> Episode:
        if absent(row["messages"]):
            raise BadInput("field 'messages' is null; is this the right format?")
        messages = with_system(rows_of(row["messages"], "messages"), row)
        return chat_episode("openai", path, index, row, messages, options)

    yield from read_episodes_of("openai", path, read_records(path), build, options)


def chat_episode(
    importer: str,
    path: Path,
    index: int,
    row: dict[str, Any],
    messages: Any,
    options: dict[str, str],
    omitted: Counter[str] | None = None,
) -> Episode:
    """Return the episode of a record whose messages are given apart.

    Raises:
        BadInput: a field has a value that cannot be read.
    """
    omitted = Counter() if omitted is None else omitted
    chat = answered(messages, row, omitted)
    tools = functions_of(row.get("functions") if absent(row.get("tools")) else row["tools"], omitted)
    gold = row.get("gold_actions")
    outcome = outcome_of(row)
    return Episode(
        id=content_hash([importer, path.name, index, row]),
        benchmark=name_of(row.get("benchmark")) or options.get("benchmark") or "imported",
        benchmark_version=name_of(row.get("benchmark_version")),
        domain=name_of(row.get("domain")) or options.get("domain") or "unknown",
        task_id=task_id_of(row.get("task_id"), path, index),
        trial=trial_of(row.get("trial")),
        backbone=name_of(row.get("backbone")) or name_of(row.get("model")) or options.get("backbone"),
        strategy=name_of(row.get("strategy")) or options.get("strategy") or "fc",
        agent=name_of(row.get("agent")),
        user_model=name_of(row.get("user_model")),
        settings="; ".join(settings_text({**_sampling(row), **mapping(row.get("settings"), "settings")})) or None,
        messages=chat,
        tools=tools,
        outcome=outcome,
        reward=None if outcome.status == "error" else number(row.get("reward"), "reward"),
        gold_actions=None if absent(gold) else gold_of(gold),
        package_version=__version__,
        source=Source(importer=importer, file=path.name, omitted=dict(+omitted)),
    )


def _sampling(row: dict[str, Any]) -> dict[str, Any]:
    """Return the settings of sampling that a record states beside its messages."""
    names = ("temperature", "top_p", "top_k", "reasoning_effort", "max_tokens", "max_steps")
    return {key: row[key] for key in names if not absent(row.get(key)) and not isinstance(row[key], dict | list)}


def outcome_of(row: dict[str, Any]) -> Outcome:
    """Return the outcome by ``error``, ``success`` and ``reward``, whatever type they were written in.

    Raises:
        BadInput: a verdict or a reward is a word that says neither.
    """
    error = row.get("error")
    if error and not absent(error):
        words = error.get("message") or error if isinstance(error, dict) else error
        return Outcome(status="error", boundary="harness", reason=shortened(as_text(words)))
    success, reward = verdict(row.get("success"), "success"), number(row.get("reward"), "reward")
    if success is None and reward is not None:
        success = is_full(reward)
    if success is None:
        return Outcome(status="error", boundary="harness", reason=NO_OUTCOME)
    return Outcome(status="success" if success else "failure", reason=str(row.get("reason") or ""))
