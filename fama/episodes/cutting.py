"""Limit on the characters that one message of an episode stores."""

import logging

from fama.episodes.records import Decision, Message
from fama.text.cut import cut_arguments, cut_text

log = logging.getLogger(__name__)


def cut_message(message: Message, limit: int) -> Message:
    """Return a message whose text and whose calls' arguments have at most ``limit`` characters each, and their marks.

    What is cut is logged as a warning. The message itself where nothing is.
    """
    content = message.content if message.content is None else cut_text(message.content, limit)
    calls = message.tool_calls and tuple(
        call.model_copy(
            update={
                "function": call.function.model_copy(
                    update={"arguments": cut_arguments(call.function.arguments, limit)}
                )
            }
        )
        for call in message.tool_calls
    )
    if (content, calls) == (message.content, message.tool_calls):
        return message
    log.warning("a message of the %s is stored cut: it has over %s characters", message.role, f"{limit:,}")
    return message.model_copy(update={"content": content, "tool_calls": calls})


def cut_decision(decision: Decision, limit: int) -> Decision:
    """Return a decision whose rejected notes have at most ``limit`` characters each, and their marks."""
    if all(len(note.text) <= limit for note in decision.rejected):
        return decision
    log.warning("a rejected note is stored cut: it has over %s characters", f"{limit:,}")
    shorter = [note.model_copy(update={"text": cut_text(note.text, limit)}) for note in decision.rejected]
    return decision.model_copy(update={"rejected": tuple(shorter)})
