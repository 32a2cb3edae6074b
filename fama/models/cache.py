"""A response cache on disk: the same call of the same trial is answered once."""

import json
from dataclasses import asdict
from pathlib import Path
from typing import Any

from fama.episodes.records import LedgerRow, ToolCall
from fama.errors import BadInput
from fama.files import write_atomically
from fama.hashing import content_hash
from fama.models.base import ChatModel, ChatReply, ChatRequest
from fama.models.wrapper import ModelWrapper


class ReplyCache:
    """Replies of one model in a folder.

    The key holds the model's name, the whole prompt, the sampling, the seed and the trial, so that repeated
    trials stay independent draws; the ledger role is not part of it.
    """

    def __init__(self, folder: Path, model: str) -> None:
        self._folder, self._model = folder, model
        try:
            folder.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise BadInput(
                f"{folder}: cannot hold the response cache ({error.strerror}); give another folder (model.cache)"
            ) from error

    def get(self, request: ChatRequest) -> ChatReply | None:
        """Return the kept reply with the request's role and ``cache_hit``; None where none can be read."""
        return _read(self._path(request), request.role)

    def keep(self, request: ChatRequest, reply: ChatReply) -> None:
        """Keep a reply in place of an earlier one."""
        _write(self._path(request), reply)

    def _path(self, request: ChatRequest) -> Path:
        asked = asdict(request)
        del asked["role"]
        key = content_hash({"model": self._model, **asked}, length=40)
        return self._folder / key[:2] / f"{key}.json"


class CachedChat(ModelWrapper):
    """Answers from ``folder`` what ``model`` has been asked before, under ``name`` or its own, and asks it the rest.

    A hit's ledger row carries the tokens, seconds and price of the call it stands for, with ``cache_hit`` set. Errors
    are not kept.
    """

    def __init__(self, model: ChatModel, folder: Path, name: str | None = None) -> None:
        super().__init__(model)
        self._replies = ReplyCache(folder, name or self.name)

    async def complete(self, request: ChatRequest) -> ChatReply:
        """Return the kept reply, or a new one, which is then kept.

        Raises:
            ModelError: as the model behind it.
        """
        kept = self._replies.get(request)
        if kept is not None:
            return kept
        reply = await self._model.complete(request)
        self._replies.keep(request, reply)
        return reply


def _read(path: Path, role: str) -> ChatReply | None:
    """Return a kept reply; None when there is none or it cannot be read, which is then asked for anew."""
    try:
        tree = json.loads(path.read_text(encoding="utf-8"))
        row = LedgerRow.model_validate(tree["usage"])
        return ChatReply(
            text=tree["text"],
            usage=row.model_copy(update={"role": role, "cache_hit": True}),
            tool_calls=tuple(ToolCall.model_validate(call) for call in tree["tool_calls"]),
            finish_reason=tree["finish_reason"],
            reasoning=tree["reasoning"],
            raw=tree["raw"],
            refused=tree.get("refused", False),
            unread=tuple(tree.get("unread", ())),
        )
    except (OSError, ValueError, KeyError, TypeError):
        return None


def _write(path: Path, reply: ChatReply) -> None:
    tree: dict[str, Any] = {
        "text": reply.text,
        "usage": reply.usage.model_dump(),
        "tool_calls": [call.model_dump() for call in reply.tool_calls],
        "finish_reason": reply.finish_reason,
        "reasoning": reply.reasoning,
        "raw": reply.raw,
        "refused": reply.refused,
        "unread": list(reply.unread),
    }
    write_atomically(path, json.dumps(tree))
