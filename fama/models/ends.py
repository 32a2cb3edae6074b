"""Ends of replies, from the words that servers have for them."""

import re
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
    ReplyEnd.STOP: "stop stopped eos eos_token end_turn end_of_turn stop_sequence complete completed done finished "
    "pause_turn",
    ReplyEnd.TOOL_CALLS: "tool_calls tool_call function_call function_calls tool_use",
    ReplyEnd.LENGTH: "length max_tokens max_length max_new_tokens max_completion_tokens max_output_tokens model_length "
    "token_limit token_limit_reached context_length model_context_window_exceeded error_limit incomplete truncated "
    "repeat repetition repetition_truncation",
    ReplyEnd.CONTENT_FILTER: "content_filter content_filtered content_moderation safety sensitive recitation blocklist "
    "prohibited_content spii guardrail_intervened image_safety language error_toxic moderation",
    ReplyEnd.REFUSAL: "refusal",
    ReplyEnd.ERROR: "error abort aborted cancelled canceled timeout network_error insufficient_system_resource "
    "malformed_function_call malformed_tool_call malformed_response unexpected_tool_call too_many_tool_calls "
    "engine_overloaded engine_error server_error internal_error failed fail user_cancel",
}
_ENDS = {word: end for end, words in _WORDS.items() for word in words.split()}
_ENUM = re.compile(r"^(?:\w+\.)+")
_JOINT = re.compile(r"[\s-]+")


def read_end(finish_reason: Any) -> ReplyEnd:
    """Return the end that a ``finish_reason`` says; a missing or unknown one is a plain stop."""
    return _ENDS.get(_word(finish_reason), ReplyEnd.STOP)


def is_known_end(finish_reason: Any) -> bool:
    """Return whether a ``finish_reason`` is a word that servers are known to use; a missing one is none."""
    return _word(finish_reason) in _ENDS


def finish_word(choice: dict[str, Any]) -> Any:
    """Return what a choice says of its end.

    A router's ``native_finish_reason`` counts where it says that the reply is not whole and ``finish_reason`` does not;
    without a ``finish_reason`` other names of the field do.
    """
    said = choice.get("finish_reason")
    if not said:
        said = next((choice[key] for key in ("stop_reason", "done_reason") if is_known_end(choice.get(key))), None)
    native = choice.get("native_finish_reason")
    whole = (ReplyEnd.STOP, ReplyEnd.TOOL_CALLS)
    return native if read_end(said) in whole and read_end(native) not in whole else said or "stop"


def _word(finish_reason: Any) -> str:
    if isinstance(finish_reason, dict):  # {"type": "length"}
        finish_reason = finish_reason.get("type")
    word = _JOINT.sub("_", str(finish_reason or "").strip()).lower()
    return _ENUM.sub("", word).removeprefix("finish_reason_")  # FinishReason.MAX_TOKENS
