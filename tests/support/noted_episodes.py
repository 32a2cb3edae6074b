"""Episodes of one task by hand: what was noted before each reply, and what was replied."""

from fama.episodes.records import Decision, Episode, LedgerRow, Message, Note, Outcome


def noted_episode(*turns: tuple[str, str], task: str = "t0", success: bool = False, calls: int = 0) -> Episode:
    """An episode of (note, reply) pairs; an empty note is none, ``calls`` are the agent's, unknown when 0."""
    messages = [Message(role="system", content="Rules."), Message(role="user", content="Hi.")]
    decisions = []
    for turn, (note, reply) in enumerate(turns):
        notes = (Note(helper="TSA", text=note, tokens=1),) if note else ()
        decisions.append(Decision(turn=turn, message_index=len(messages), notes=notes))
        messages += [Message(role="assistant", content=reply), Message(role="user", content="Go on.")]
    return Episode(
        id="e",
        benchmark="toy",
        domain="house",
        task_id=task,
        messages=tuple(messages),
        decisions=tuple(decisions),
        ledger=tuple(LedgerRow(role="agent", model="m") for _ in range(calls)),
        outcome=Outcome(status="success" if success else "failure"),
    )
