"""Failed episodes to label."""

from fama.episodes.records import Episode, Message, Outcome


def failed(number: int) -> Episode:
    messages = (
        Message(role="system", content="Rules."),
        Message(role="user", content=f"Hello {number} <b>bold</b>"),
        Message(role="assistant", content="Goodbye."),
    )
    return Episode(
        id=f"e{number}",
        benchmark="toy",
        domain="d",
        task_id=f"t{number}",
        messages=messages,
        outcome=Outcome(status="failure", reason="closed"),
    )
