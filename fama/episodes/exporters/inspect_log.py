"""Episodes as Inspect logs, for its viewer: one ``.eval`` file per arm."""

import json
from collections import defaultdict
from collections.abc import Iterable, Sequence
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

from fama.episodes.exporters.names import distinct_names
from fama.episodes.records import Decision, Episode, LedgerRow, Message
from fama.errors import BadInput
from fama.hashing import content_hash

_UNKNOWN_TIME = "1970-01-01T00:00:00+00:00"


def write(episodes: Iterable[Episode], folder: Path) -> list[Path]:
    """Write the episodes of each benchmark, domain, backbone, strategy, selector and config into a file of their own.

    Returns the files. A trial becomes an epoch. Notes stand in the metadata of the message that they came before, since
    they are no part of the history; the ledger, the decisions and what else Inspect has no field for, in the sample's
    metadata.

    Raises:
        BadInput: inspect-ai is not installed.
    """
    try:
        from inspect_ai.log import write_eval_log
    except ImportError:
        raise BadInput("export to inspect: needs inspect-ai; pip install 'fama-router[inspect]'") from None
    arms: dict[tuple[str, ...], list[Episode]] = defaultdict(list)
    for episode in episodes:
        arms[_arm(episode)].append(episode)
    folder.mkdir(parents=True, exist_ok=True)
    written = []
    names = distinct_names({arm: _named(arm) for arm in arms})
    for arm, own in arms.items():
        path = folder / f"{names[arm]}.eval"
        write_eval_log(_log(arm, own), str(path))
        written.append(path)
    return written


def _named(arm: tuple[str, ...]) -> tuple[str, ...]:
    """Return the parts of the file's name: a variant is long, its hash stands for it."""
    *named, variant, _ = arm
    return (*named, content_hash(variant)[:8] if variant else "")


def _arm(episode: Episode) -> tuple[str, ...]:
    of_run = (episode.benchmark, episode.domain, episode.backbone, episode.strategy, episode.selector)
    return tuple(part or "" for part in (*of_run, episode.variant, episode.config_hash))


def _log(arm: tuple[str, ...], episodes: list[Episode]) -> Any:
    from inspect_ai.log import EvalConfig, EvalDataset, EvalLog, EvalMetric, EvalPlan, EvalResults, EvalScore, EvalSpec

    benchmark, domain, backbone, strategy, selector, variant, _ = arm
    ids = list(dict.fromkeys(episode.task_id for episode in episodes))
    decided = [episode for episode in episodes if episode.outcome.status != "error"]
    rate = sum(episode.outcome.status == "success" for episode in decided) / len(decided) if decided else 0.0
    score = EvalScore(name="success", scorer="success", metrics={"accuracy": EvalMetric(name="accuracy", value=rate)})
    return EvalLog(
        status="success",
        stats=_stats(episodes),
        eval=EvalSpec(
            created=episodes[0].started_at or _UNKNOWN_TIME,
            task=f"{benchmark}/{domain}",
            task_version=episodes[0].benchmark_version or 0,
            dataset=EvalDataset(name=domain, samples=len(ids), sample_ids=list(ids)),
            model=backbone or "unknown",
            config=EvalConfig(epochs=max(episode.trial for episode in episodes) + 1),
            metadata={
                "strategy": strategy,
                "selector": selector,
                "config_hash": episodes[0].config_hash,
                **({"variant": variant} if variant else {}),
            },
        ),
        plan=EvalPlan(),
        results=EvalResults(total_samples=len(episodes), completed_samples=len(decided), scores=[score]),
        samples=[_sample(episode) for episode in episodes],
    )


def _sample(episode: Episode) -> Any:
    from inspect_ai.log import EvalError, EvalSample
    from inspect_ai.scorer import CORRECT, INCORRECT, Score

    outcome = episode.outcome
    failed = outcome.status == "error"
    crash = EvalError(message=f"{outcome.boundary}: {outcome.reason}", traceback="", traceback_ansi="")
    told = Score(
        value=CORRECT if outcome.status == "success" else INCORRECT,
        explanation=outcome.reason,
        metadata={"reward": episode.reward, **episode.reward_detail},
    )
    decisions = {decision.message_index: decision for decision in episode.decisions}
    first = next((m.content or "" for m in episode.messages if m.role == "user"), "")
    return EvalSample(
        id=episode.task_id,
        epoch=episode.trial + 1,
        uuid=episode.id,
        input=first,
        target=[f"{action.name} {action.arguments}" for action in episode.gold_actions or ()],
        messages=[_message(m, index, decisions.get(index)) for index, m in enumerate(episode.messages)],
        scores=None if failed else {"success": told},
        error=crash if failed else None,
        model_usage=_usage(episode.ledger),
        total_time=episode.seconds,
        started_at=episode.started_at,
        metadata={
            "selector": episode.selector,
            "subset": list(episode.decisions[0].subset) if episode.decisions else [],
            "ledger": [row.model_dump(exclude_defaults=True) for row in episode.ledger],
            "seeds": dict(episode.seeds),
            "source": episode.source.model_dump(),
        },
    )


def _message(message: Message, index: int, decision: Decision | None) -> Any:
    from inspect_ai.model import ChatMessageAssistant, ChatMessageSystem, ChatMessageTool, ChatMessageUser
    from inspect_ai.tool import ToolCall

    text = message.content or ""
    if message.role == "system":
        return ChatMessageSystem(content=text)
    if message.role == "user":
        return ChatMessageUser(content=text)
    if message.role == "tool":
        return ChatMessageTool(content=text, tool_call_id=message.tool_call_id, function=message.name)
    calls = [
        ToolCall(id=call.id or f"call_{index}", function=call.function.name, arguments=call.function.parsed())
        for call in message.tool_calls or ()
    ]
    notes = [] if decision is None else [{"helper": note.helper, "text": note.text} for note in decision.notes]
    return ChatMessageAssistant(
        content=text,
        tool_calls=calls or None,
        metadata={"notes": json.loads(json.dumps(notes))} if notes else None,
    )


def _stats(episodes: Sequence[Episode]) -> Any:
    """Return when the first episode began and the last one ended, where the episodes say it."""
    from inspect_ai.log import EvalStats

    timed = [(e.started_at, e.seconds) for e in episodes if e.started_at and e.seconds is not None]
    if not timed:
        return EvalStats()
    spans = [(datetime.fromisoformat(began), timedelta(seconds=seconds)) for began, seconds in timed]
    first, last = min(began for began, _ in spans), max(began + lasted for began, lasted in spans)
    return EvalStats(started_at=first.isoformat(), completed_at=last.isoformat())


def _usage(ledger: tuple[LedgerRow, ...]) -> dict[str, Any]:
    from inspect_ai.model import ModelUsage

    total: dict[str, Any] = {}
    for row in ledger:
        if row.total_tokens is None:
            continue  # Inspect has no unknown counts
        usage = ModelUsage(
            input_tokens=(row.input_tokens or 0) - (row.cached_input_tokens or 0),
            input_tokens_cache_read=row.cached_input_tokens,
            output_tokens=row.output_tokens or 0,
            reasoning_tokens=row.reasoning_tokens,
            total_tokens=row.total_tokens,
        )
        total[row.model] = total[row.model] + usage if row.model in total else usage
    return total
