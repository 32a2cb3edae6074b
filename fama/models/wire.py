"""Requests to ``/chat/completions`` and the reading of its responses.

How a prefill is asked for depends on the server. llama.cpp continues a trailing assistant message and
repeats it at the start of its reply; vLLM does so when told by ``continue_final_message`` and does
not repeat it; a plain OpenAI endpoint cannot, so the wanted opening is asked for in a last user
message and the reply is left to a lenient parser.
"""

import json
from typing import Any

from fama.episodes.records import FunctionCall, LedgerRow, ToolCall
from fama.models.base import ChatReply, ChatRequest
from fama.models.prices import Price

SEED_RANGE = 2**31
_OPENING = "Begin your reply with exactly this text and go on from its end:\n"


class Malformed(ValueError):
    """A reply that is not a chat completion."""


def build_body(request: ChatRequest, model: str, flavour: str, base_url: str = "") -> dict[str, Any]:
    """Build the keyword arguments for the library's ``chat.completions.create``."""
    sampling = request.sampling
    # OpenAI's own endpoint renamed the limit and rejects the old name for newer models.
    limit = "max_completion_tokens" if "api.openai.com" in base_url else "max_tokens"
    body: dict[str, Any] = {
        "model": model,
        "messages": [*request.messages],
        "temperature": sampling.temperature,
        "top_p": sampling.top_p,
        "seed": request.seed % SEED_RANGE,
        limit: sampling.max_tokens,
    }
    if sampling.stop:
        body["stop"] = list(sampling.stop)
    if request.tools:
        body["tools"] = list(request.tools)
    if request.json_schema is not None:
        schema = {"name": "reply", "schema": request.json_schema, "strict": True}
        body["response_format"] = {"type": "json_schema", "json_schema": schema}
    extra: dict[str, Any] = {}
    if flavour == "llama.cpp":
        extra["cache_prompt"] = True
    if request.prefill:
        if flavour == "openai":
            body["messages"].append({"role": "user", "content": _OPENING + request.prefill})
        else:
            body["messages"].append({"role": "assistant", "content": request.prefill})
        if flavour == "vllm":
            extra |= {"continue_final_message": True, "add_generation_prompt": False}
    if extra:
        body["extra_body"] = extra
    return body


def read_reply(
    text: str, request: ChatRequest, name: str, seconds: float, price: Price | None, continues: bool = True
) -> ChatReply:
    """Return the reply in a response body.

    With ``continues`` the server continued the prefill, and the reply's text gets it at its start; without, the
    text stays as the model wrote it.

    Raises:
        Malformed: no JSON object, no choice, or fields of the wrong type.
    """
    try:
        tree = json.loads(text)
    except (ValueError, RecursionError):
        raise Malformed("the reply is not JSON") from None
    choices = tree.get("choices") if isinstance(tree, dict) else None
    if not isinstance(choices, list) or not choices:
        raise Malformed("the reply holds no choices")
    try:
        message = choices[0]["message"]
        content = message.get("content") or ""
        calls = tuple(_tool_call(call, n) for n, call in enumerate(message.get("tool_calls") or ()))
        usage = read_usage(tree, request, name, seconds, price)
        return ChatReply(
            text=with_prefill(content, request.prefill) if continues and (content or not calls) else content,
            usage=usage,
            tool_calls=calls,
            finish_reason=str(choices[0].get("finish_reason") or "stop"),
            reasoning=str(message.get("reasoning_content") or message.get("reasoning") or ""),
            raw={key: tree[key] for key in ("id", "model", "timings") if key in tree},
        )
    except (AttributeError, LookupError, TypeError, ValueError, OverflowError) as error:
        raise Malformed(f"the reply has an unknown form ({type(error).__name__}: {error})") from error


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


def read_usage(tree: dict[str, Any], request: ChatRequest, name: str, seconds: float, price: Price | None) -> LedgerRow:
    """Return the ledger row of a response; counts that the server does not report are 0, and none is below."""
    usage = tree.get("usage") or {}
    timings = tree.get("timings") or {}
    cached = (usage.get("prompt_tokens_details") or {}).get("cached_tokens")
    cached = _count(timings.get("cache_n") if cached is None else cached)
    spent = _count(usage.get("prompt_tokens"))
    output = _count(usage.get("completion_tokens"))
    return LedgerRow(
        role=request.role,
        model=name,
        input_tokens=spent,
        cached_input_tokens=cached,
        output_tokens=output,
        reasoning_tokens=_count((usage.get("completion_tokens_details") or {}).get("reasoning_tokens")),
        seconds=seconds,
        price=None if price is None else price.cost(spent, cached, output),
    )


def _count(value: Any) -> int:
    return max(0, int(value or 0))  # a negative count would give a budget tokens back


def _tool_call(call: dict[str, Any], n: int) -> ToolCall:
    function = call["function"]
    arguments = function.get("arguments")
    if not isinstance(arguments, str):
        arguments = json.dumps(arguments if arguments is not None else {})
    return ToolCall(id=call.get("id") or f"call_{n}", function=FunctionCall(name=function["name"], arguments=arguments))
