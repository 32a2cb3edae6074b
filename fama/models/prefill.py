"""The opening of a reply: how a server is asked for it, and what of a reply goes on from it.

How a prefill is asked for depends on the server (``Prefill``). llama.cpp continues a trailing assistant ``message``
and repeats it at the start of its reply; vLLM does so when told by the ``flag`` ``continue_final_message`` and does
not repeat it; a plain OpenAI endpoint cannot, so the wanted opening is asked for in ``words``, in a last user
message, and the reply is left to a lenient parser.
"""

import re
from collections.abc import Sequence
from dataclasses import replace
from functools import lru_cache
from typing import Any, Literal

from fama.models.base import ChatReply, ChatRequest
from fama.text.thoughts import separate_thoughts

Prefill = Literal["message", "flag", "words"]
#: How a prefill is asked for, by the server's dialect.
PREFILL_OF: dict[str, Prefill] = {"llama.cpp": "message", "vllm": "flag", "openai": "words"}

_OPENING = "Begin your reply with exactly this text and go on from its end:\n"
#: What stands between the words of an opening that a model writes itself: white space, and the first line of a fence.
_GAP = r"(?:\s|```\w*\s)*"


def place_prefill(messages: list[dict[str, Any]], opening: str, prefill: Prefill) -> dict[str, Any]:
    """Put the opening of a reply at the end of ``messages``, in place; return further fields of the request's body."""
    if prefill == "words":
        messages.append({"role": "user", "content": _OPENING + opening})
    else:
        messages.append({"role": "assistant", "content": opening})
    return {"continue_final_message": True, "add_generation_prompt": False} if prefill == "flag" else {}


def with_prefill(text: str, prefill: str) -> str:
    """Return ``text`` with ``prefill`` at its start exactly once, whether or not the server repeated it.

    A server that trimmed the prefill's outer white space before repeating it is understood too.
    """
    if not prefill or text.startswith(prefill):
        return text
    core = prefill.strip()
    bare = text.lstrip()
    if core and bare.startswith(core):
        rest = bare[len(core) :]
        return prefill + (rest.lstrip() if prefill[-1].isspace() else rest)
    return prefill + text


def stop_words_sent(request: ChatRequest, prefill: Prefill) -> list[str]:
    """Return the stop words that a server is told; at the others ``cut_at_stop`` cuts.

    A model that is asked for the opening in words writes it itself, and may begin with white space: a stop word that
    stands in the opening, or is white space, would end the reply there.
    """
    stop = request.sampling.stop
    if prefill != "words" or not request.prefill:
        return list(stop)
    return [word for word in stop if word.strip() not in request.prefill]


def cut_at_stop(reply: ChatReply, request: ChatRequest) -> ChatReply:
    """End a reply's text at the first of the request's stop words behind its opening, as a server does that knows them.

    Thoughts in front are not searched. Where the model left the opening away, words of it end nothing.
    """
    parts = separate_thoughts(reply.text)
    if parts.unclosed:
        return reply
    thought = reply.text.removesuffix(parts.words) if reply.text.endswith(parts.words) else ""
    text = reply.text[len(thought) :]
    stop: Sequence[str] = request.sampling.stop
    start = _behind_opening(text, request.prefill)
    if start is None:
        stop, start = stop_words_sent(request, "words"), _behind_opening(text, "") or 0
    ends = [place for word in stop if (place := text.find(word, start)) >= 0]
    return replace(reply, text=thought + text[: min(ends)], finish_reason="stop") if ends else reply


def _behind_opening(text: str, opening: str) -> int | None:
    """Return where a text goes on from an opening, or from its last lines; white space may differ. None: from none."""
    matches = (pattern.match(text) for pattern in _written_openings(opening))
    return next((match.end() for match in matches if match), None)


@lru_cache(maxsize=256)
def _written_openings(opening: str) -> tuple[re.Pattern[str], ...]:
    """Return what an opening looks like that a model wrote: to the letter, in its words, in its last lines."""
    lines = opening.splitlines(keepends=True)
    rests = ["".join(lines[first:]).split() for first in range(len(lines) or 1)]
    patterns = [re.escape(opening)] if opening else []
    patterns += [_GAP + _GAP.join(map(re.escape, words)) for words in rests if words or not opening]
    return tuple(map(re.compile, patterns))
