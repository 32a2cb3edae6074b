"""A chat model behind any OpenAI-compatible endpoint.

Retries are ours, not the library's (its ``max_retries`` is 0): broken bodies are retried like
broken connections, and ``timeout`` bounds the whole call with all its retries.
"""

import asyncio
import logging
import re
import time
from collections.abc import Mapping
from dataclasses import replace
from types import TracebackType
from typing import Any, Literal

from fama.episodes.records import LedgerRow
from fama.models.base import CallFailed, ChatReply, ChatRequest
from fama.models.prefill import PREFILL_OF, Prefill, cut_at_stop
from fama.models.prices import Price
from fama.models.server_errors import (
    error_status,
    error_words,
    is_final,
    is_overflow,
    one_line,
    parse_error_body,
    wait_hint,
)
from fama.models.usage import one_row, with_estimate
from fama.models.wire import ContestedFields, Malformed, ServerFailure, build_body, read_reply
from fama.redaction import redact
from fama.redaction.api_keys import know_value

log = logging.getLogger(__name__)

Flavour = Literal["llama.cpp", "vllm", "openai"]

#: What a server says that does not go on from the beginning of a reply, such as llama.cpp where the model thinks.
_PREFILL = re.compile(
    r"prefill|continue_final_message|final message|last (?:message|role) .{0,60}assistant", re.IGNORECASE
)
#: The fix of a full context, which a server that is not this process's has by itself.
_MORE_CONTEXT = "raise model.context_tokens, or at a base_url the server's own (vLLM: --max-model-len)"
#: The status that stands for no answer, or one that cannot be read: tried again like a bad gateway.
_UNREACHABLE = 502


class ContextOverflow(CallFailed):
    """The prompt is longer than the model's context; trying again cannot help."""


class OpenAIChat:
    """Calls ``/chat/completions`` of an endpoint.

    A prefill opens the reply's text where the server continues it. Others, such as plain OpenAI endpoints, are asked
    for it in words, and their text may lack it.

    Args:
        name: the model's name in ledgers.
        base_url: the endpoint, usually ending in ``/v1``.
        api_key: sent as a bearer token; local servers take anything.
        model: the model's name on the wire; ``name`` when None.
        flavour: the server's dialect.
        prefill: how a prefill is asked for (see ``wire``); None as the dialect does.
        timeout: seconds that a call may take, retries and pauses included.
        retries: further tries after the first one fails.
        backoff: seconds before the first retry; doubled each time, at most 8.
        price: what the model costs; None is unknown.
        trust_env: whether proxies of the environment are used; never for servers on this machine.
        extra_body: further fields of every request's body.
    """

    def __init__(
        self,
        name: str,
        base_url: str,
        *,
        api_key: str = "none",
        model: str | None = None,
        flavour: Flavour = "openai",
        prefill: Prefill | None = None,
        timeout: float = 300.0,
        retries: int = 3,
        backoff: float = 0.5,
        price: Price | None = None,
        trust_env: bool = True,
        extra_body: Mapping[str, Any] | None = None,
    ) -> None:
        from openai import AsyncOpenAI, DefaultAsyncHttpxClient

        self._name = name
        self._model = model or name
        self._base_url = base_url
        self._flavour: Flavour = flavour
        self._prefill = prefill or PREFILL_OF[flavour]
        self._timeout = timeout
        self._retries = retries
        self._backoff = backoff
        know_value(api_key)
        self._price = price
        self._extra_body = dict(extra_body or {})
        self._told = False
        self._contested = ContestedFields(name)
        self._client = AsyncOpenAI(
            api_key=api_key,
            base_url=base_url,
            max_retries=0,
            timeout=timeout,
            http_client=DefaultAsyncHttpxClient(trust_env=trust_env),
        )

    @property
    def name(self) -> str:
        """Return the model's name in ledgers."""
        return self._name

    @property
    def base_url(self) -> str:
        """Return the endpoint."""
        return self._base_url

    @property
    def flavour(self) -> Flavour:
        """Return the server's dialect."""
        return self._flavour

    @property
    def continues_prefill(self) -> bool:
        """Return whether the server goes on from a prefill; else it is asked for the opening in words."""
        return self._prefill != "words"

    async def __aenter__(self) -> "OpenAIChat":
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.close()

    async def close(self) -> None:
        """Close the connections."""
        await self._client.close()

    async def complete(self, request: ChatRequest) -> ChatReply:
        """Answer a request. What failed tries were billed is part of the reply's usage, or of the error's.

        Raises:
            ContextOverflow: the prompt does not fit the model's context.
            CallFailed: refused, not reachable, not readable or too slow, after all retries.
        """
        body = build_body(request, self._model, self._flavour, self._base_url, self._prefill, self._extra_body)
        self._contested.put(body)
        billed: list[LedgerRow] = []
        try:
            async with asyncio.timeout(self._timeout):
                reply = await self._with_retries(request, body, billed)
        except TimeoutError:
            message = f"{self._name}: no answer within {self._timeout:g} s; raise model.timeout"
            raise CallFailed(message, _bill(billed)) from None
        except CallFailed as error:
            raise type(error)(redact(str(error)), _bill(billed)) from None
        if "stop" in self._contested or (request.prefill and not self.continues_prefill):
            reply = cut_at_stop(reply, request)
        row = with_estimate(reply, request)
        if row.estimated_tokens is not None and not self._told:
            self._told = True
            log.warning(
                "%s: the server reports no token counts; tables show them as unknown, budgets count an upper estimate",
                self._name,
            )
        return replace(reply, usage=one_row(billed, row) or row)

    async def _with_retries(self, request: ChatRequest, body: dict[str, Any], billed: list[LedgerRow]) -> ChatReply:
        pause = self._backoff
        deadline = time.monotonic() + self._timeout
        for tries_left in range(self._retries, -1, -1):
            try:
                return await self._once(request, body)
            except _Failed as failed:
                if failed.usage is not None:
                    billed.append(failed.usage)
                if is_overflow(failed.status, failed.reason, failed.body):
                    raise ContextOverflow(f"{self._name}: {failed.reason}; {_MORE_CONTEXT}") from failed
                if self._contested.learn(failed.reason, body):
                    return await self._with_retries(request, body, billed)
                if is_final(failed.status, failed.body, failed.wait):
                    mend = "; set model.prefill=words" if request.prefill and _PREFILL.search(failed.reason) else ""
                    raise CallFailed(f"{self._name}: {failed.reason}{mend}") from failed
                reason, hint = failed.reason, failed.wait
            if tries_left:
                if hint is not None and time.monotonic() + hint >= deadline:
                    raise CallFailed(
                        f"{self._name}: {reason}; the server asks to wait {hint:.0f} s, more than model.timeout allows"
                    )
                await asyncio.sleep(max(pause, hint or 0.0))
                pause = min(8.0, 2 * pause)
        raise CallFailed(f"{self._name}: {reason}; gave up after {self._retries + 1} tries")

    async def _once(self, request: ChatRequest, body: dict[str, Any]) -> ChatReply:
        from openai import APIConnectionError, APIError, APIStatusError, APITimeoutError

        start = time.perf_counter()
        try:
            raw = await self._client.chat.completions.with_raw_response.create(**body)
            text = raw.text
            seconds = time.perf_counter() - start
            return read_reply(text, request, self._name, seconds, self._price, continues=self.continues_prefill)
        except APITimeoutError as error:
            raise TimeoutError from error
        except APIStatusError as error:
            tree = parse_error_body(error.response.text)
            reason = f"HTTP {error.status_code}: {error_words(tree) or error.response.reason_phrase}"
            status = error.status_code
            raise _Failed(one_line(reason), status, tree, wait_hint(error.response.headers, tree)) from error
        except APIConnectionError as error:
            reason = f"cannot reach {self._base_url} ({error.__cause__ or error})"
            raise _Failed(one_line(reason), _UNREACHABLE) from error
        except ServerFailure as error:
            status = error_status(error.error, _UNREACHABLE)
            reason = f"the server failed: {error}"
            raise _Failed(reason, status, error.error, wait_hint({}, error.error), error.usage) from error
        except Malformed as error:
            raise _Failed(one_line(str(error)), _UNREACHABLE, usage=error.usage) from error
        except (APIError, ValueError) as error:
            raise _Failed(f"unreadable reply ({one_line(str(error))})", _UNREACHABLE) from error


class _Failed(Exception):
    """One try that failed: why, as which status, what the body said, how long to wait, what it was billed."""

    def __init__(
        self, reason: str, status: int, body: Any = None, wait: float | None = None, usage: LedgerRow | None = None
    ) -> None:
        super().__init__(reason)
        self.reason, self.status, self.body, self.wait, self.usage = reason, status, body, wait, usage


def _bill(rows: list[LedgerRow]) -> tuple[LedgerRow, ...]:
    row = one_row(rows)
    return () if row is None else (row,)
