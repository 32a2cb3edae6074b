"""Episodes as Inspect logs, for its viewer: one ``.eval`` file per arm."""

from collections import defaultdict
from collections.abc import Iterable, Iterator
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from fama.episodes.exporters.names import distinct_names
from fama.episodes.importers.inspect_terms import ARM_FIELDS, EXPORTED, EXPORTER, to_parse_error
from fama.episodes.records import Decision, Episode, LedgerRow, Message, known_total
from fama.episodes.records import ToolCall as OwnCall
from fama.errors import BadInput
from fama.hashing import content_hash

_UNKNOWN_TIME = "1970-01-01T00:00:00+00:00"
_COUNTS = ("input_tokens", "cached_input_tokens", "output_tokens", "reasoning_tokens")


def export_episodes(episodes: Iterable[Episode], folder: Path) -> list[Path]:
    """Write the episodes of each benchmark, domain, backbone, strategy, selector and config into a file of their own.

    Returns the files. A trial becomes an epoch. Notes stand in the metadata of the message that they came before, since
    they are no part of the history; the ledger and the decisions, in the sample's metadata.

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

    benchmark, domain, backbone, strategy, selector, variant, config_hash = arm
    named = dict(zip(ARM_FIELDS, (benchmark, strategy, selector, config_hash, variant), strict=True))
    ids = list(dict.fromkeys(episode.task_id for episode in episodes))
    decided = [episode for episode in episodes if episode.outcome.status != "error"]
    rate = sum(episode.outcome.status == "success" for episode in decided) / len(decided) if decided else 0.0
    score = EvalScore(name="success", scorer="success", metrics={"accuracy": EvalMetric(name="accuracy", value=rate)})
    return EvalLog(
        status="success",
        stats=_stats(episodes),
        eval=EvalSpec(
            created=next(filter(None, map(_began, episodes)), _UNKNOWN_TIME),
            task=f"{benchmark}/{domain}",
            task_version=episodes[0].benchmark_version or 0,
            dataset=EvalDataset(name=domain, samples=len(ids), sample_ids=list(ids)),
            model=backbone or "unknown",
            config=EvalConfig(epochs=max(episode.trial for episode in episodes) + 1),
            metadata={EXPORTER: EXPORTED, **{name: told for name, told in named.items() if told}},
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
    began, usage = _began(episode), _usage(episode.ledger)
    unknown = {row.model for row in episode.ledger} - usage.keys()
    return EvalSample(
        id=episode.task_id,
        epoch=episode.trial + 1,
        uuid=episode.id,
        input=first,
        target=[f"{action.name} {action.arguments}" for action in episode.gold_actions or ()],
        messages=[_message(m, index, decisions.get(index)) for index, m in enumerate(episode.messages)],
        scores=None if failed else {"success": told},
        error=crash if failed else None,
        model_usage=usage,
        total_time=episode.seconds,
        started_at=began,
        metadata={
            "selector": episode.selector,
            "subset": list(episode.decisions[0].subset) if episode.decisions else [],
            **({"unknown_usage": sorted(unknown)} if unknown else {}),
            **({"started_at": episode.started_at} if episode.started_at and began is None else {}),
            "decisions": [one.model_dump(exclude_defaults=True, exclude={"notes"}) for one in episode.decisions],
            "ledger": [row.model_dump(exclude_defaults=True) for row in episode.ledger],
            "seeds": dict(episode.seeds),
            "source": episode.source.model_dump(),
        },
    )


def _message(message: Message, index: int, decision: Decision | None) -> Any:
    from inspect_ai.model import ChatMessageAssistant, ChatMessageSystem, ChatMessageTool, ChatMessageUser
    from inspect_ai.tool import ToolCallError

    text = message.content or ""
    if message.role == "system":
        return ChatMessageSystem(content=text)
    if message.role == "user":
        return ChatMessageUser(content=text)
    if message.role == "tool":
        error = ToolCallError("unknown", text) if message.failed else None
        return ChatMessageTool(content=text, tool_call_id=message.tool_call_id, function=message.name, error=error)
    calls = [_call(call, index) for call in message.tool_calls or ()]
    notes = [] if decision is None else [note.model_dump() for note in decision.notes]
    return ChatMessageAssistant(
        content=text,
        tool_calls=calls or None,
        metadata={"notes": notes} if notes else None,
    )


def _call(call: OwnCall, index: int) -> Any:
    from inspect_ai.tool import ToolCall

    text, arguments = call.function.arguments, call.function.parsed()
    unreadable = not arguments and "".join(text.split()) not in ("", "{}", "null")
    return ToolCall(
        id=call.id or f"call_{index}",
        function=call.function.name,
        arguments=arguments,
        parse_error=to_parse_error(text) if unreadable else None,
    )


def _began(episode: Episode) -> datetime | None:
    """Return when an episode began, a time without a zone taken as UTC; None where it is not given, or unreadable."""
    try:
        began = datetime.fromisoformat((episode.started_at or "").strip())
        return (began if began.tzinfo else began.replace(tzinfo=UTC)).astimezone(UTC)
    except (ValueError, OverflowError):
        return None


def _spans(episodes: Iterable[Episode]) -> Iterator[tuple[datetime, datetime]]:
    for episode in episodes:
        began = _began(episode)
        if began is not None and episode.seconds is not None:
            with suppress(OverflowError):
                yield began, began + timedelta(seconds=episode.seconds)


def _stats(episodes: Iterable[Episode]) -> Any:
    """Return when the first episode began and the last one ended, where the episodes say it."""
    from inspect_ai.log import EvalStats

    spans = list(_spans(episodes))
    if not spans:
        return EvalStats()
    return EvalStats(
        started_at=min(began for began, _ in spans).isoformat(), completed_at=max(end for _, end in spans).isoformat()
    )


def _usage(ledger: tuple[LedgerRow, ...]) -> dict[str, Any]:
    """Return the use of each model. One with a call of unknown tokens is left out: Inspect has no unknown counts."""
    rows: dict[str, list[LedgerRow]] = defaultdict(list)
    for row in ledger:
        rows[row.model].append(row)
    return {model: usage for model, own in rows.items() if (usage := _sum(own)) is not None}


def _sum(rows: list[LedgerRow]) -> Any:
    """Return the use of a model's calls: parts that one call does not report are unknown, None if whole counts are."""
    from inspect_ai.model import ModelUsage

    spent, cached, output, reasoning = (known_total(getattr(row, name) for row in rows) for name in _COUNTS)
    prices = [row.price for row in rows if row.price is not None]
    if spent is None or output is None:
        return None
    return ModelUsage(
        input_tokens=spent - (cached or 0),
        input_tokens_cache_read=cached,
        output_tokens=output,
        reasoning_tokens=reasoning,
        total_tokens=spent + output,
        total_cost=sum(prices) if len(prices) == len(rows) else None,
    )
