"""Ends of replies, from the words that servers have for them."""

from enum import StrEnum
from typing import Any


class ReplyEnd(StrEnum):
    """The end of a reply. Only ``STOP`` and ``TOOL_CALLS`` are complete; ``ERROR`` is the server's failure."""

    STOP = "stop"
    TOOL_CALLS = "tool_calls"
    LENGTH = "length"
    CONTENT_FILTER = "content_filter"
    REFUSAL = "refusal"
    ERROR = "error"


_WORDS = {
    ReplyEnd.TOOL_CALLS: ("tool_calls", "tool_call", "function_call", "tool_use"),
    ReplyEnd.LENGTH: ("length", "max_tokens", "model_length", "max_output_tokens", "model_context_window_exceeded"),
    ReplyEnd.CONTENT_FILTER: (
        *("content_filter", "content_filtered", "safety", "sensitive", "recitation", "blocklist", "prohibited_content"),
        *("spii", "guardrail_intervened", "image_safety", "language"),
    ),
    ReplyEnd.REFUSAL: ("refusal",),
    ReplyEnd.ERROR: (
        *(
            "error",
            "abort",
            "aborted",
            "cancelled",
            "canceled",
            "timeout",
            "network_error",
            "insufficient_system_resource",
        ),
        *(
            "malformed_function_call",
            "malformed_tool_call",
            "unexpected_tool_call",
            "engine_overloaded",
            "failed",
            "fail",
        ),
    ),
}
_ENDS = {word: end for end, words in _WORDS.items() for word in words}


def read_end(finish_reason: Any) -> ReplyEnd:
    """Return the end that a ``finish_reason`` says; a missing or unknown one is a plain stop."""
    if isinstance(finish_reason, dict):  # {"type": "length"}
        finish_reason = finish_reason.get("type")
    return _ENDS.get(str(finish_reason or "").strip().lower(), ReplyEnd.STOP)
