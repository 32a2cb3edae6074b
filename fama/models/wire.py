"""Requests to ``/chat/completions`` and the reading of its responses."""

import json
import logging
import re
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from fama.episodes.foreign.logged_calls import entries_in
from fama.episodes.records import LedgerRow
from fama.models.base import ChatReply, ChatRequest
from fama.models.content import read_content, read_refusal, read_thought, reply_calls
from fama.models.ends import ReplyEnd, finish_word, is_known_end, read_end
from fama.models.prefill import PREFILL_OF, Prefill, place_prefill, stop_words_sent, with_prefill
from fama.models.prices import Price
from fama.models.server_errors import SCHEMA_WORDS, contested_fields, error_words, find_error
from fama.models.usage import believable, read_usage
from fama.text.clean import clean, clean_value

log = logging.getLogger(__name__)

SEED_RANGE = 2**31
_OWN_ID = re.compile(r"call_(\d{1,5})")
#: The word by which Gemini takes a call without the signature of its thought.
_NO_SIGNATURE = "skip_thought_signature_validator"
#: The agent's words between a result and a turn of the user, and the user's before an agent that speaks first, for
#: servers that want some.
_BETWEEN, _BEFORE = "Understood.", "Hello."
#: What a message says that has no words, for servers that want some.
_NO_WORDS = "(empty)"

#: Fields of a message that hold a reasoning model's thought, in the order of the servers' habits.
_THOUGHT_KEYS = ("reasoning_content", "reasoning", "thinking", "reasoning_details", "thought")


class Malformed(ValueError):
    """A reply that is not a chat completion; ``usage`` is what it was billed, where it says so."""

    def __init__(self, message: str, usage: LedgerRow | None = None) -> None:
        super().__init__(message)
        self.usage = usage


class ServerFailure(Malformed):
    """An answer of 200 that says the server failed; ``error`` is its error object, if there is one."""

    def __init__(self, message: str, error: Any, usage: LedgerRow | None) -> None:
        super().__init__(message, usage)
        self.error = error


def build_body(
    request: ChatRequest,
    model: str,
    flavour: str,
    base_url: str = "",
    prefill: Prefill | None = None,
    more: Mapping[str, Any] | None = None,
) -> dict[str, Any]:
    """Build the keyword arguments for the library's ``chat.completions.create``.

    ``prefill`` None is the dialect's; ``more`` are further fields of the body.
    """
    prefill = prefill or PREFILL_OF[flavour]
    sampling = request.sampling
    # OpenAI's own endpoint renamed the limit and rejects the old name for newer models.
    limit = "max_completion_tokens" if "api.openai.com" in base_url else "max_tokens"
    body: dict[str, Any] = {
        "model": model,
        "messages": plain_call_ids(clean_value(request.messages)),
        "temperature": sampling.temperature,
        "top_p": sampling.top_p,
        "seed": request.seed % SEED_RANGE,
        limit: sampling.max_tokens,
    }
    if stop := stop_words_sent(request, prefill):
        body["stop"] = stop
    if request.tools:
        body["tools"] = list(request.tools)
    if request.json_schema is not None:
        schema = {"name": "reply", "schema": request.json_schema, "strict": True}
        body["response_format"] = {"type": "json_schema", "json_schema": schema}
    extra: dict[str, Any] = dict(more or {})
    if flavour == "llama.cpp":
        extra["cache_prompt"] = True
    if request.prefill:
        extra |= place_prefill(body["messages"], request.prefill, prefill)
    if extra:
        body["extra_body"] = extra
    return body


def put_otherwise(body: dict[str, Any], field: str) -> bool:
    """Change a body, in place, for a server that contests a field; return whether it now asks the same otherwise.

    OpenAI's reasoning models, also behind other addresses, know the limit under its new name only, and neither
    ``top_p`` nor ``stop``; ``cut_at_stop`` then ends the reply. Claude takes one of ``temperature`` and ``top_p``, or
    none; both are 1 where they are left out. xAI takes no ``stop``. Mistral, Gemini and Claude take no ``seed``, which
    asks for the same reply again and changes none. Gemini and DeepSeek want the thoughts of their calls back, which no
    history holds. Templates of Gemma and Mistral want roles to alternate, some of them none of the system. Claude takes
    no message without words, such as a call without any beside it or the result of a tool that says nothing. DeepSeek
    takes no JSON schema, vLLM and Groq not every one: who asked for one reads what comes.
    """
    if field == "role":
        return _alternate(body["messages"])
    if field == "system":
        return _without_system(body["messages"])
    if field == "content":
        return any([_with_words(message) for message in body["messages"]])
    if field in ("thought_signature", "reasoning_content"):
        return any([_without_thought(message, field) for message in body["messages"]])
    if field in SCHEMA_WORDS:
        return body.pop("response_format", None) is not None
    if field in ("stop", "seed") and field in body:
        del body[field]
        return True
    if field == "max_tokens" and field in body:
        body["max_completion_tokens"] = body.pop(field)
        return True
    if field in ("top_p", "temperature") and body.get(field) == 1.0:
        del body[field]
        return True
    return False


class ContestedFields:
    """Fields that a server, or a model's chat template, does not take as they are, and how requests put them from then.

    They keep the order in which they were contested: what is put otherwise in one may read otherwise in another.
    """

    def __init__(self, name: str) -> None:
        self._name = name
        self._fields: dict[str, None] = {}

    def __contains__(self, field: str) -> bool:
        return field in self._fields

    def __len__(self) -> int:
        return len(self._fields)

    def put(self, body: dict[str, Any]) -> None:
        """Put a request, in place, as it is taken."""
        for field in self._fields:
            put_otherwise(body, field)

    def learn(self, words: str, *bodies: dict[str, Any]) -> bool:
        """Put requests that failed, in place, as the words of the failure ask; return whether one is another now."""
        changed = [field for field in contested_fields(words) if any([put_otherwise(body, field) for body in bodies])]
        self._tell([field for field in changed if field not in self._fields])
        self._fields |= dict.fromkeys(changed)
        return bool(changed)

    def _tell(self, fields: list[str]) -> None:
        """Tell once what changes by fields."""
        if "seed" in fields:
            log.warning("%s: the server takes no seed; above temperature 0, no reply can be drawn again", self._name)
        if set(SCHEMA_WORDS) & set(fields):
            log.warning("%s: the server takes no such JSON schema; answers are read as they come", self._name)
        if thoughts := sorted({"thought_signature", "reasoning_content"} & set(fields)):
            log.warning("%s: the server wants %s back with calls; it gets none", self._name, thoughts[0])
        if "role" in fields:
            log.warning("%s: the server wants roles to alternate; turns of the user become one", self._name)
        if "system" in fields:
            log.warning("%s: the server takes no system message; the user's first turn says it", self._name)


def _without_thought(message: dict[str, Any], field: str) -> bool:
    """Say, in place, that a message of the agent comes without its thought; return whether that was not said yet."""
    told: dict[str, Any] = {field: ""}
    holders = [message] if message.get("role") == "assistant" else []
    if field == "thought_signature":
        told = {"extra_content": {"google": {field: _NO_SIGNATURE}}}
        holders = message.get("tool_calls") or []
    changed = [holder for holder in holders if not told.keys() <= holder.keys()]
    for holder in changed:
        holder.update(told)
    return bool(changed)


def _with_words(message: dict[str, Any]) -> bool:
    """Say, in place, that a message without words has none; return whether it had none."""
    content = message.get("content")
    if not isinstance(content, str) or content.strip():
        return False
    message["content"] = None if message.get("tool_calls") else _NO_WORDS
    return True


def _alternate(messages: list[dict[str, Any]]) -> bool:
    """Join, in place, turns of the user that follow each other, and let the agent speak between a result and the user.

    The user speaks before an agent's greeting. Return whether there was any of these.
    """
    found: list[dict[str, Any]] = []
    changed = False
    for message in messages:
        if message.get("role") == "assistant" and all(one.get("role") == "system" for one in found):
            found.append({"role": "user", "content": _BEFORE})
            changed = True
        before = found[-1] if found and message.get("role") == "user" else {}
        changed |= before.get("role") in ("user", "tool")
        if before.get("role") == "user":
            found[-1] = {**before, "content": _joined(before.get("content"), message.get("content"))}
            continue
        if before.get("role") == "tool":
            found.append({"role": "assistant", "content": _BETWEEN})
        found.append(message)
    messages[:] = found
    return changed


def _without_system(messages: list[dict[str, Any]]) -> bool:
    """Let the user say, in place, what the system says first; return whether it says something."""
    if not messages or messages[0].get("role") != "system":
        return False
    messages[0] = {**messages[0], "role": "user"}
    if len(messages) > 1 and messages[1].get("role") == "user":
        content = _joined(messages[0].get("content"), messages[1].get("content"))
        messages[:2] = [{**messages[1], "content": content}]
    return True


def _joined(first: Any, second: Any) -> Any:
    """Return two contents as one: texts as paragraphs, anything else as parts."""
    if isinstance(first, str) and isinstance(second, str):
        return f"{first}\n\n{second}"
    texts = [[{"type": "text", "text": one}] if isinstance(one, str) else one or [] for one in (first, second)]
    return [*texts[0], *texts[1]]


def plain_call_ids(messages: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Return messages in which the ids of our own calls, ``call_7``, are nine letters and digits: ``call00007``.

    Mistral's templates and API refuse all others; to any other server an id is a name. Ids of others stay.
    """
    plain = []
    for message in messages:
        changed = dict(message)
        if calls := message.get("tool_calls"):
            changed["tool_calls"] = [{**call, "id": _plain_id(call.get("id"))} for call in calls]
        if "tool_call_id" in message:
            changed["tool_call_id"] = _plain_id(message["tool_call_id"])
        plain.append(changed)
    return plain


def _plain_id(id_: Any) -> Any:
    own = _OWN_ID.fullmatch(id_) if isinstance(id_, str) else None
    return f"call{int(own[1]):05d}" if own else id_


def read_reply(
    text: str, request: ChatRequest, name: str, seconds: float, price: Price | None, continues: bool = True
) -> ChatReply:
    """Return the reply in a response body.

    With ``continues`` the server continued the prefill, and the reply's text gets it at its start; without, the
    text stays as the model wrote it.

    Raises:
        Malformed: no JSON object, no choice, or a choice without a message; it may have been billed.
        ServerFailure: the body says that the server failed, or that its content filter left nothing.
    """
    try:
        tree = json.loads(text.lstrip("\ufeff"))
    except (ValueError, RecursionError):
        raise Malformed("the reply is not JSON") from None
    if isinstance(tree, list) and len(tree) == 1:
        tree = tree[0]
    if not isinstance(tree, dict):
        raise Malformed("the reply holds no choices")
    usage = read_usage(tree, request, name, seconds, price)
    choices = tree.get("choices")
    choice = _one_choice(choices) if isinstance(choices, list) and choices else None
    for holder in (tree, choice):
        error = find_error(holder)
        if error is not None:
            raise ServerFailure(error_words(error), error, usage)
    if choice is None and "choices" not in tree and tree:
        raise ServerFailure(error_words(tree), tree, usage)
    if choice is None:
        raise Malformed("the reply holds no choices", usage)
    reply = _reply(choice, request, usage, continues)
    if reply.end is ReplyEnd.ERROR:
        raise ServerFailure(f"the reply ended with {reply.finish_reason!r}", None, usage)
    if (
        reply.end in (ReplyEnd.CONTENT_FILTER, ReplyEnd.REFUSAL)
        and not reply.text.removeprefix(request.prefill).strip()
    ):
        raise ServerFailure(f"the reply was withheld ({reply.finish_reason})", None, usage)
    if _says_nothing(reply, request):
        if not is_known_end(reply.finish_reason):
            raise ServerFailure(f"the reply ended with {reply.finish_reason!r} and holds nothing", None, usage)
        if usage.input_tokens is None and usage.output_tokens == 0:
            raise ServerFailure("the reply is empty, and the server counted no token", None, usage)
    about = {key: clean_value(tree[key]) for key in ("id", "model", "timings") if key in tree}
    return replace(reply, raw=about, usage=believable(usage, empty=_says_nothing(reply, request)))


def _says_nothing(reply: ChatReply, request: ChatRequest) -> bool:
    words = reply.text.removeprefix(request.prefill)
    return not (words.strip() or reply.tool_calls or reply.reasoning.strip() or reply.unread)


def _one_choice(choices: list[Any]) -> Any:
    """Return the one choice that was asked for; some servers give words and calls as two."""
    first = choices[0]
    messages = [choice["message"] for choice in choices if isinstance(choice, dict) and "message" in choice]
    if len(choices) == 1 or not all(isinstance(message, dict) for message in messages) or len(messages) < len(choices):
        return first
    merged: dict[str, Any] = dict(messages[0])
    for message in messages[1:]:
        merged["content"] = merged.get("content") or message.get("content")
        for key in ("tool_calls", "function_call"):
            merged[key] = entries_in(merged.get(key)) or entries_in(message.get(key))
    return {**first, "message": merged}


def _reply(choice: Any, request: ChatRequest, usage: LedgerRow, continues: bool) -> ChatReply:
    choice = choice if isinstance(choice, dict) else {}
    finish = finish_word(choice)
    message = choice.get("message", choice.get("delta", choice if "text" in choice else None))
    if not isinstance(message, dict):
        if read_end(finish) in (ReplyEnd.CONTENT_FILTER, ReplyEnd.REFUSAL, ReplyEnd.ERROR):
            raise ServerFailure(f"the reply was withheld ({finish})", None, usage)
        raise Malformed("the reply has an unknown form: its choice holds no message", usage)
    content = read_content(message.get("content", message.get("text")))
    words = "".join(content.text)
    refusals = [*content.refusals, *read_refusal(message.get("refusal"))]
    calls = reply_calls(message, content.calls)
    reasons = [read_thought(message.get(key)) for key in _THOUGHT_KEYS]
    reasoning = "\n".join(content.thoughts) or next(filter(None, reasons), "")
    whole = read_end(finish) in (ReplyEnd.STOP, ReplyEnd.TOOL_CALLS)
    if continues and request.prefill and whole and not (words.strip() or calls or refusals):
        words, reasoning = reasoning, ""  # vLLM's reasoning parsers take what goes on from an opening for a thought
    refused = bool("".join(refusals).strip()) or read_end(finish) is ReplyEnd.REFUSAL
    if refused:
        text = "\n".join(filter(str.strip, refusals)) or words
    else:
        text = with_prefill(words, request.prefill) if continues and (words or not calls) else words
    return ChatReply(
        text=text,
        usage=usage,
        tool_calls=() if refused else calls,
        finish_reason=clean(finish if isinstance(finish, str) else str(read_end(finish))),
        reasoning=reasoning,
        refused=refused,
        unread=tuple(content.unread),
    )
