"""Logs of Inspect (``.eval`` and ``.json``), through inspect-ai's own reader."""

import math
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from fama import __version__
from fama.episodes.foreign.fields import is_full, number_or_none
from fama.episodes.foreign.file_identity import settings_text
from fama.episodes.foreign.logged_messages import messages_of
from fama.episodes.foreign.streams import LogRecord
from fama.episodes.importers.base import read_episodes_of
from fama.episodes.importers.inspect_terms import exported_arm, from_parse_error
from fama.episodes.records import Decision, Episode, LedgerRow, Note, Outcome, Source
from fama.errors import BadInput
from fama.hashing import content_hash
from fama.redaction import shortened

#: Inspect's words for a score: correct, incorrect, partial, no answer, and verdicts.
_MARKS = frozenset("c i p n yes no true false".split())


def read(path: Path, **options: str) -> Iterator[Episode]:
    """Read the episodes of one log.

    Options ``benchmark``, ``domain``, ``backbone`` and ``strategy`` win over it.

    The benchmark is the log's task, a trial an epoch, the agent its solver; a log that ``fama export`` wrote names its
    arm, and keeps its decisions, notes and ledger. The first score decides: 1, true or ``C`` is a success. A sample
    that was invalidated is an error at the environment. An ``.eval`` file is read sample by sample; Inspect's reader
    takes a ``.json`` log whole.

    Raises:
        BadInput: inspect-ai is not installed, or it cannot read the file.
    """
    try:
        from inspect_ai.log import read_eval_log, read_eval_log_samples
    except ImportError:
        raise BadInput(
            f"{path}: Inspect logs need inspect-ai; install it: pip install 'fama-router[inspect]'"
        ) from None

    def samples() -> Iterator[LogRecord]:
        try:
            found = (
                read_eval_log_samples(str(path), all_samples_required=False, resolve_attachments=True)
                if path.suffix == ".eval"
                else iter(log.samples or ())
            )
            for sample in found:
                yield LogRecord(f"{path}[{sample.id}, epoch {sample.epoch}]", {"sample": sample, "task_id": sample.id})
        except Exception as error:  # noqa: BLE001 - a foreign reader raises whatever its zip, JSON or validation code does
            raise _refused(path, error) from None

    try:
        log = read_eval_log(str(path), header_only=path.suffix == ".eval", resolve_attachments=True)
    except Exception as error:  # noqa: BLE001 - as above
        raise _refused(path, error) from None

    def build(index: int, row: dict[str, Any]) -> Episode:
        return _episode(path, log.eval, row["sample"], options)

    yield from read_episodes_of("inspect", path, samples(), build, options)


def _refused(path: Path, error: Exception) -> BadInput:
    """Return what to tell of a log that Inspect's own reader refuses; its words cite its code."""
    why = "cannot be opened" if isinstance(error, OSError) else "not a whole log, or of a version that it does not know"
    return BadInput(f"{path}: Inspect's reader refuses it ({why}); write it again, or update inspect-ai")


def _episode(path: Path, spec: Any, sample: Any, options: dict[str, str]) -> Episode:
    name, value = next(((name, score.value) for name, score in (sample.scores or {}).items()), (None, None))
    reward = _as_reward(value)
    outcome = _outcome(sample, reward)
    omitted: Counter[str] = Counter()
    settings = settings_text(spec.model_generate_config.model_dump(exclude_none=True))
    settings += [f"{key}={value}".replace(";", ",") for key, value in sorted((spec.solver_args or {}).items())]
    arm = exported_arm(spec.metadata)
    settings += [arm["variant"]] if "variant" in arm else []
    user = (spec.model_roles or {}).get("user")
    return Episode(
        id=content_hash(["inspect", spec.eval_id or path.name, sample.uuid or f"{sample.id}/{sample.epoch}"]),
        benchmark=options.get("benchmark") or arm.get("benchmark") or str(spec.task),
        benchmark_version=str(spec.task_version) if spec.task_version else None,
        domain=options.get("domain") or spec.dataset.name or "unknown",
        task_id=str(sample.id),
        trial=int(sample.epoch) - 1,
        backbone=options.get("backbone") or str(spec.model),
        strategy=options.get("strategy") or arm.get("strategy"),
        selector=arm.get("selector"),
        agent=spec.solver,
        user_model=None if user is None else str(user.model),
        settings="; ".join(settings) or None,
        messages=messages_of([_message(message) for message in sample.messages], omitted),
        decisions=tuple(_exported_decisions(sample)) if arm else (),
        ledger=tuple(_exported_ledger(sample) if arm else _bills(sample, str(spec.model))),
        outcome=outcome,
        reward=None if outcome.status == "error" else reward,
        reward_detail={} if name is None or reward is None else {str(name): reward},
        config_hash=arm.get("config_hash"),
        package_version=__version__,
        source=Source(importer="inspect", file=path.name, omitted=dict(+omitted)),
        started_at=sample.started_at,
        seconds=sample.total_time,
    )


def _exported_decisions(sample: Any) -> Iterator[Decision]:
    """Yield the decisions of an exported sample, with the notes that stand beside their messages."""
    for row in sample.metadata.get("decisions", ()):
        decision = Decision.model_validate(row)
        beside = sample.messages[decision.message_index :][:1]  # none where the model gave no answer
        told = [note for message in beside for note in (message.metadata or {}).get("notes", ())]
        yield decision.model_copy(update={"notes": tuple(map(Note.model_validate, told))})


def _exported_ledger(sample: Any) -> Iterator[LedgerRow]:
    """Yield every call of an exported sample, with its role; Inspect's own counts are sums by model."""
    yield from map(LedgerRow.model_validate, sample.metadata.get("ledger", ()))


def _as_reward(value: Any) -> float | None:
    """Return a score as a number, by Inspect's own table of marks.

    None for lists, dicts, words that are no mark (Inspect's table makes 0 of them) and what was not scored.
    """
    if value is None or isinstance(value, list | dict):
        return None
    from inspect_ai.scorer import value_to_float

    if isinstance(value, str) and value.strip().lower() not in _MARKS and number_or_none(value) is None:
        return None
    number = value_to_float()(value)
    return number if math.isfinite(number) else None


def _outcome(sample: Any, reward: float | None) -> Outcome:
    if sample.invalidation is not None:
        why = shortened(sample.invalidation.reason or "no reason given")
        return Outcome(status="error", boundary="environment", reason=f"invalidated: {why}")
    if sample.error is not None:
        return Outcome(status="error", boundary="harness", reason=shortened(sample.error.message))
    if reward is None:
        return Outcome(status="error", boundary="harness", reason="no single score in the log")
    reason = f"limit: {sample.limit.type}" if sample.limit is not None else "done"
    return Outcome(status="success" if is_full(reward) else "failure", reason=reason)


def _message(message: Any) -> dict[str, Any]:
    content = message.content
    parts = content if isinstance(content, str) else [part.model_dump() for part in content]
    row: dict[str, Any] = {"role": message.role, "content": parts}
    if message.role == "tool":
        row |= {"tool_call_id": message.tool_call_id, "name": message.function, "is_error": message.error is not None}
        if message.error is not None and message.error.message and not message.text:
            row["content"] = f"Error: {message.error.message}"
    elif message.role == "assistant" and message.tool_calls:
        row["tool_calls"] = [
            {
                "id": call.id,
                "name": call.function,
                "arguments": from_parse_error(call.parse_error) if call.parse_error else call.arguments,
            }
            for call in message.tool_calls
        ]
        row["content"] = parts or None
    return row


def _bills(sample: Any, backbone: str) -> Iterator[LedgerRow]:
    """Yield one row per model; the log does not say what other models than the evaluated one were for.

    Counts that no provider reported are unknown: Inspect leaves the fields of parts unset and whole counts at 0, or has
    no entry for the model.
    """
    used = dict(sample.model_usage)
    if any(message.role == "assistant" for message in sample.messages):
        used.setdefault(backbone, None)
    for model, usage in used.items():
        role = "agent" if model == backbone else "other"
        cached = (usage.input_tokens_cache_read or 0) + (usage.input_tokens_cache_write or 0) if usage else 0
        spent = usage.input_tokens + cached if usage else 0
        known = usage if spent else None  # no prompt has no token
        yield LedgerRow(
            role=role,
            model=model,
            input_tokens=spent or None,
            cached_input_tokens=known and known.input_tokens_cache_read,
            output_tokens=known and known.output_tokens,
            reasoning_tokens=known and known.reasoning_tokens,
            price=usage and usage.total_cost,
        )
