"""Ledger rows from what a server reports: what cannot be true is unknown, and unknown is null."""

from collections.abc import Sequence
from typing import Any

from fama.episodes.records import LedgerRow
from fama.models.base import ChatReply, ChatRequest
from fama.models.ends import ReplyEnd
from fama.models.prefix import prompt_tokens
from fama.models.prices import Price
from fama.text.counts import token_count
from fama.text.tokens import estimate_tokens


def read_usage(tree: dict[str, Any], request: ChatRequest, name: str, seconds: float, price: Price | None) -> LedgerRow:
    """Return the ledger row of a response; counts that the server does not report, or that cannot be true, are None."""
    usage, timings = _object(tree.get("usage")), _object(tree.get("timings"))
    total = token_count(usage.get("total_tokens")) or None
    output = token_count(_first(usage, "completion_tokens", "output_tokens"))
    spent = _spent(usage, total, output) or None  # no prompt has no token
    if total is not None and spent is None and output is not None and total > output:
        spent = total - output
    if total is not None and spent is not None and total >= spent + (output or 0):
        output = total - spent  # with the thoughts, which some servers count in the total only
    details = _object(_first(usage, "prompt_tokens_details", "input_tokens_details"))
    cached = token_count(_first(details, "cached_tokens"))
    if cached is None:
        names = ("cache_n", "prompt_cache_hit_tokens", "cache_read_input_tokens", "cached_tokens")
        cached = token_count(_first(timings | usage, *names))
    more = _object(_first(usage, "completion_tokens_details", "output_tokens_details"))
    cached = _part_of(cached, spent)
    return LedgerRow(
        role=request.role,
        model=name,
        input_tokens=spent,
        cached_input_tokens=cached,
        output_tokens=output,
        reasoning_tokens=_part_of(token_count(_first(more, "reasoning_tokens")), output),
        estimated_tokens=total if spent is None and output is None else None,
        seconds=seconds,
        price=None if price is None or spent is None or output is None else price.cost(spent, cached or 0, output),
    )


def _spent(usage: dict[str, Any], total: int | None, output: int | None) -> int | None:
    """Return all tokens that were read; Anthropic's counts leave out those read from the cache or written to it."""
    spent = token_count(_first(usage, "prompt_tokens", "input_tokens"))
    cache = sum(token_count(usage.get(f"cache_{kind}_input_tokens")) or 0 for kind in ("read", "creation"))
    if spent is None or not cache:
        return spent
    own_form = usage.get("prompt_tokens") is None and usage.get("input_tokens_details") is None
    added_up = total is not None and output is not None and total == spent + cache + output
    return spent + cache if own_form or added_up or cache > spent else spent


def believable(row: LedgerRow, empty: bool) -> LedgerRow:
    """Return the row of a reply; an output of 0 tokens is unknown unless the reply is ``empty``."""
    if row.output_tokens != 0 or empty:
        return row
    return row.model_copy(update={"output_tokens": None, "reasoning_tokens": None, "price": None})


def with_estimate(reply: ChatReply, request: ChatRequest) -> LedgerRow:
    """Return the reply's row; where its counts are unknown, with what budgets count instead.

    That is the total, where the server reports nothing else, or an upper estimate.
    """
    row = reply.usage
    if row.total_tokens is not None or row.estimated_tokens is not None:
        return row
    read = prompt_tokens(request) if row.input_tokens is None else row.input_tokens
    return row.model_copy(update={"estimated_tokens": read + _output(row, reply, request)})


def one_row(rows: Sequence[LedgerRow], last: LedgerRow | None = None) -> LedgerRow | None:
    """Return one row for a call of several tries; the bills of failed tries are added to the last one's counts."""
    known = [row for row in rows if row.total_tokens is not None]
    if last is None:
        if not known:
            return None
        *known, last = known
        last = last.model_copy(update={"parsed": False})
    for row in known:
        last = last.model_copy(
            update={
                **{field: _sum(getattr(last, field), getattr(row, field)) for field in _COUNTS},
                "seconds": last.seconds + row.seconds,
                "estimated_tokens": None
                if last.estimated_tokens is None
                else last.estimated_tokens + (row.total_tokens or 0),
            }
        )
    return last


_COUNTS = ("input_tokens", "cached_input_tokens", "output_tokens", "reasoning_tokens", "price")


def _sum(one: float | None, other: float | None) -> float | None:
    return None if one is None or other is None else one + other


def _output(row: LedgerRow, reply: ChatReply, request: ChatRequest) -> int:
    if row.output_tokens is not None:
        return row.output_tokens
    if reply.end is ReplyEnd.LENGTH:
        return request.sampling.max_tokens
    calls = [f"{call.function.name} {call.function.arguments}" for call in reply.tool_calls]
    return sum(map(estimate_tokens, (reply.text, reply.reasoning, *calls)))


def _part_of(part: int | None, whole: int | None) -> int | None:
    """Return a count that is part of another; unknown where it is larger."""
    return None if part is not None and whole is not None and part > whole else part


def _first(tree: dict[str, Any], *keys: str) -> Any:
    return next((tree[key] for key in keys if tree.get(key) is not None), None)


def _object(value: Any) -> dict[str, Any]:
    return value if isinstance(value, dict) else {}
