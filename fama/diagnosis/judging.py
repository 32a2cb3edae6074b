"""Asking a model for JSON of a schema, with one repair round; what cannot be parsed stays unknown."""

import json
import re
from collections.abc import Sequence
from typing import Any, NamedTuple

from fama.episodes.records import LedgerRow
from fama.models.base import ChatModel, ChatReply, ChatRequest, Sampling

_FENCE = re.compile(r"```(?:json)?(.*?)```", re.DOTALL)
REPAIR = "That was no JSON of the wanted form. Answer again with the JSON object only."


class Answer(NamedTuple):
    """The parsed object, or None, and a ledger row for every call, parsed or not."""

    value: dict[str, Any] | None
    ledger: tuple[LedgerRow, ...]


async def ask_json(
    model: ChatModel,
    messages: Sequence[dict[str, Any]],
    role: str,
    schema: dict[str, Any],
    seed: int = 0,
    max_tokens: int = 160,
    repairs: int = 1,
    turn: int | None = None,
) -> Answer:
    """One object that fits the schema.

    Raises:
        ModelError: the endpoint failed after all retries.
    """
    history = list(messages)
    ledger: list[LedgerRow] = []
    for _ in range(repairs + 1):
        request = ChatRequest(
            messages=tuple(history),
            role=role,
            sampling=Sampling(temperature=0.0, max_tokens=max_tokens),
            seed=seed,
            json_schema=schema,
        )
        reply: ChatReply = await model.complete(request)
        value = parse(reply.words, schema)
        ledger.append(reply.usage.model_copy(update={"parsed": value is not None, "role": role, "turn": turn}))
        if value is not None:
            return Answer(value, tuple(ledger))
        history += [{"role": "assistant", "content": reply.text}, {"role": "user", "content": REPAIR}]
    return Answer(None, tuple(ledger))


def parse(text: str, schema: dict[str, Any]) -> dict[str, Any] | None:
    """The first JSON object in a reply, bare or fenced, if it fits the schema; else None."""
    fenced = _FENCE.search(text)
    body = fenced[1] if fenced else text
    start = body.find("{")
    if start < 0:
        return None
    try:
        value, _ = json.JSONDecoder().raw_decode(body[start:])
    except (ValueError, RecursionError):
        return None
    return value if fits(value, schema) else None


def fits(value: Any, schema: dict[str, Any]) -> bool:
    """Whether a value has the types, enums, bounds and required keys of the small schemas used here."""
    kind = schema.get("type")
    if "enum" in schema and value not in schema["enum"]:
        return False
    if kind == "object":
        properties = schema.get("properties", {})
        return (
            isinstance(value, dict)
            and all(key in value for key in schema.get("required", ()))
            and all(fits(inner, properties[key]) for key, inner in value.items() if key in properties)
        )
    if kind == "array":
        enough = isinstance(value, list) and len(value) >= schema.get("minItems", 0)
        return enough and all(fits(inner, schema.get("items", {})) for inner in value)
    if kind == "integer":
        whole = isinstance(value, int) and not isinstance(value, bool)
        return whole and schema.get("minimum", value) <= value <= schema.get("maximum", value)
    if kind == "boolean":
        return isinstance(value, bool)
    return isinstance(value, str) if kind == "string" else True
