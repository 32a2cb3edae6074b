"""Structured answers of a model: ask for JSON of a pydantic form, with one repair round."""

import json
import re
from collections.abc import Sequence
from typing import Any, Generic, NamedTuple, TypeVar

from pydantic import BaseModel, ConfigDict, ValidationError

from fama.episodes.records import LedgerRow
from fama.models.base import ChatModel, ChatReply, ChatRequest, Sampling, billed_after
from fama.models.ends import ReplyEnd
from fama.models.prefix import shown

_FENCE = re.compile(r"```(?:json)?(.*?)```", re.DOTALL)
REPAIR = "That was no JSON of the wanted form. Answer again with the JSON object only."
#: Keys of the schema that a server gets, in this order; pydantic's titles cost it tokens and tell it nothing.
_SCHEMA_KEYS = ("type", "properties", "items", "enum", "minimum", "maximum", "minItems", "maxItems", "required")


class JudgeForm(BaseModel):
    """Base of the forms that models fill in.

    Types are strict: ``"3"`` is no integer. A key that the form does not name is ignored, although the server is
    asked for none.
    """

    model_config = ConfigDict(frozen=True, strict=True, extra="ignore")


F = TypeVar("F", bound=JudgeForm)


class JudgeAnswer(NamedTuple, Generic[F]):
    """The filled-in form, or None, and a ledger row for every call, parsed or not."""

    value: F | None
    ledger: tuple[LedgerRow, ...]


async def ask_json(
    model: ChatModel,
    messages: Sequence[dict[str, Any]],
    role: str,
    form: type[F],
    *,
    max_tokens: int,
    seed: int = 0,
    repairs: int = 1,
    turn: int | None = None,
) -> JudgeAnswer[F]:
    """Ask until an answer fits the form or the repair rounds are used up.

    Raises:
        ModelError: the endpoint failed after all retries; ``billed`` of a ``CallFailed`` holds the calls before, too.
    """
    history = list(messages)
    ledger: list[LedgerRow] = []
    schema = response_schema(form)
    for _ in range(repairs + 1):
        request = ChatRequest(
            messages=tuple(history),
            role=role,
            sampling=Sampling(temperature=0.0, max_tokens=max_tokens),
            seed=seed,
            json_schema=schema,
        )
        with billed_after(ledger):
            reply: ChatReply = await model.complete(request)
        value = parse(reply.words, form)
        about = {"parsed": value is not None, "truncated": reply.end is ReplyEnd.LENGTH, "role": role, "turn": turn}
        ledger.append(reply.usage.model_copy(update=about))
        if value is not None:
            return JudgeAnswer(value, tuple(ledger))
        history += [{"role": "assistant", "content": shown(reply.text)}, {"role": "user", "content": REPAIR}]
    return JudgeAnswer(None, tuple(ledger))


def parse(text: str, form: type[F]) -> F | None:
    """Read the first JSON object of a reply, bare or fenced; None if there is none or it does not fit the form."""
    fenced = _FENCE.search(text)
    body = fenced[1] if fenced else text
    start = body.find("{")
    if start < 0:
        return None
    try:
        value, _ = json.JSONDecoder().raw_decode(body[start:])
        return form.model_validate(value)
    except (ValidationError, ValueError, RecursionError):
        return None


def response_schema(form: type[JudgeForm]) -> dict[str, Any]:
    """Return the JSON schema of a form as a server gets it: no titles, no other keys."""
    return {**_plain(form.model_json_schema()), "additionalProperties": False}


def _plain(schema: dict[str, Any]) -> dict[str, Any]:
    if "const" in schema:  # pydantic's word for a choice of one
        schema = {**schema, "enum": [schema["const"]]}
    plain = {key: schema[key] for key in _SCHEMA_KEYS if key in schema}
    if "properties" in plain:
        plain["properties"] = {name: _plain(inner) for name, inner in plain["properties"].items()}
    if "items" in plain:
        plain["items"] = _plain(plain["items"])
    return plain
