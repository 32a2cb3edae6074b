"""Hand-built episodes for the tests of evaluation."""

from collections.abc import Iterable, Sequence
from pathlib import Path

from fama.episodes.records import (
    Decision,
    Episode,
    FunctionCall,
    LedgerRow,
    Message,
    Note,
    Outcome,
    RejectedNote,
    Status,
    ToolCall,
    ToolSpec,
)

TOOLS = (ToolSpec(name="look_up", description="Finds an order."), ToolSpec(name="cancel", description="Cancels it."))


def build(
    task: str,
    arm: str,
    status: Status = "success",
    trial: int = 0,
    subset: Sequence[str] = (),
    agent: int = 100,
    helper: int = 0,
    selector: int = 0,
    **changes: object,
) -> Episode:
    """An episode of two decisions: one tool call, one answer."""
    call = ToolCall(id="c0", function=FunctionCall(name="look_up", arguments='{"order": "A1"}'))
    messages = (
        Message(role="system", content="Be polite. </script><script>alert(1)</script>"),
        Message(role="user", content=f"Please cancel my order, this is {task}."),
        Message(role="assistant", tool_calls=(call,)),
        Message(role="tool", content='{"status": "open"}', tool_call_id="c0", name="look_up"),
        Message(role="assistant", content="Done."),
    )
    notes = tuple(Note(helper=name, text=f"{name} says: check the order.", tokens=6) for name in subset)
    rejected = (RejectedNote(helper="TSA", text="call fly_away", reason="no such tool"),) if "TSA" in subset else ()
    decisions = tuple(
        Decision(
            turn=turn,
            message_index=index,
            subset=tuple(subset),
            propensity=1.0,
            notes=notes if turn == 0 else (),
            rejected=rejected if turn == 0 else (),
            seconds=0.5,
        )
        for turn, index in enumerate((2, 4))
    )
    ledger = [
        LedgerRow(
            role="agent", model="m", input_tokens=agent - 10, cached_input_tokens=(agent - 10) // 2, output_tokens=10
        )
    ]
    if helper:
        ledger.append(LedgerRow(role="helper:DCE", model="m", input_tokens=helper))
    if selector:
        ledger.append(LedgerRow(role="selector", model="m", input_tokens=selector))
    values: dict[str, object] = {
        "id": f"{arm}-{task}-{trial}",
        "benchmark": "toy",
        "benchmark_version": "toy-1",
        "domain": "shop",
        "task_id": task,
        "trial": trial,
        "backbone": "m",
        "strategy": "act",
        "selector": arm,
        "messages": messages,
        "tools": TOOLS,
        "decisions": decisions,
        "ledger": tuple(ledger),
        "outcome": Outcome(status=status, boundary="user" if status == "error" else None, reason="closed"),
        "reward": {"success": 1.0, "failure": 0.0, "error": None}[status],
        "seconds": 3.0,
    }
    return Episode.model_validate({**values, **changes})


def write_episodes(path: Path, episodes: Iterable[Episode]) -> Path:
    """Write ``episodes.jsonl``."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("".join(episode.model_dump_json() + "\n" for episode in episodes), encoding="utf-8")
    return path
