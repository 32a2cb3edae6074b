"""A chat model behind any OpenAI-compatible endpoint.

Retries are ours, not the library's (its ``max_retries`` is 0): broken bodies are retried like
broken connections, and ``timeout`` bounds the whole call with all its retries.
"""

import asyncio
import time
from types import TracebackType
from typing import TYPE_CHECKING, Any, Literal

from fama.errors import ModelError
from fama.models.base import ChatReply, ChatRequest
from fama.models.prices import Price
from fama.models.wire import Malformed, build_body, read_reply

if TYPE_CHECKING:
    from openai import APIStatusError

Flavour = Literal["llama.cpp", "vllm", "openai"]

_RETRIED = frozenset({408, 409, 425, 429})
#: Keys that local servers are given are words such as ``none``; those are no secrets.
_SECRET_LENGTH = 8
_OVERFLOW = ("context size", "context length", "context_length", "context window", "maximum model length")


class ContextOverflow(ModelError):
    """The prompt is longer than the model's context; trying again cannot help."""


class OpenAIChat:
    """Calls ``/chat/completions`` of an endpoint.

    A prefill opens the reply's text on llama.cpp and vLLM. Plain OpenAI endpoints are asked for it in words, and
    their text may lack it.

    Args:
        name: the model's name in ledgers.
        base_url: the endpoint, usually ending in ``/v1``.
        api_key: sent as a bearer token; local servers take anything.
        model: the model's name on the wire; ``name`` when None.
        flavour: the server's dialect, which decides how a prefill is asked for (see ``wire``).
        timeout: seconds that a call may take, retries and pauses included.
        retries: further tries after the first one fails.
        backoff: seconds before the first retry; doubled each time, at most 8.
        price: what the model costs; None is unknown.
        trust_env: whether proxies of the environment are used; never for servers on this machine.
    """

    def __init__(
        self,
        name: str,
        base_url: str,
        *,
        api_key: str = "none",
        model: str | None = None,
        flavour: Flavour = "openai",
        timeout: float = 300.0,
        retries: int = 3,
        backoff: float = 0.5,
        price: Price | None = None,
        trust_env: bool = True,
    ) -> None:
        from openai import AsyncOpenAI, DefaultAsyncHttpxClient

        self._name = name
        self._model = model or name
        self._base_url = base_url
        self._flavour: Flavour = flavour
        self._timeout = timeout
        self._retries = retries
        self._backoff = backoff
        self._secret = api_key if len(api_key) >= _SECRET_LENGTH else ""
        self._price = price
        self._client = AsyncOpenAI(
            api_key=api_key,
            base_url=base_url,
            max_retries=0,
            timeout=timeout,
            http_client=DefaultAsyncHttpxClient(trust_env=trust_env),
        )

    @property
    def name(self) -> str:
        """The model's name in ledgers."""
        return self._name

    @property
    def base_url(self) -> str:
        """The endpoint."""
        return self._base_url

    @property
    def flavour(self) -> Flavour:
        """The server's dialect."""
        return self._flavour

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
        """Answer a request.

        Raises:
            ContextOverflow: the prompt does not fit the model's context.
            ModelError: refused, not reachable, not readable or too slow, after all retries.
        """
        body = build_body(request, self._model, self._flavour, self._base_url)
        try:
            async with asyncio.timeout(self._timeout):
                return await self._with_retries(request, body)
        except TimeoutError:
            raise ModelError(f"{self._name}: no answer within {self._timeout:g} s; raise model.timeout") from None
        except ModelError as error:
            if self._secret and self._secret in str(error):  # a server's message that repeats what it was sent
                raise type(error)(str(error).replace(self._secret, "***")) from None
            raise

    async def _with_retries(self, request: ChatRequest, body: dict[str, Any]) -> ChatReply:
        from openai import APIConnectionError, APIError, APIStatusError, APITimeoutError

        pause = self._backoff
        for tries_left in range(self._retries, -1, -1):
            wait = pause
            try:
                return await self._once(request, body)
            except APITimeoutError as error:
                raise TimeoutError from error
            except APIStatusError as error:
                reason = f"HTTP {error.status_code}: {_detail(error)}"
                if _is_overflow(error):
                    raise ContextOverflow(f"{self._name}: {reason}; raise model.context_tokens") from error
                if error.status_code < 500 and error.status_code not in _RETRIED:
                    raise ModelError(f"{self._name}: {reason}") from error
                wait = max(pause, _retry_after(error))
            except APIConnectionError as error:
                reason = f"cannot reach {self._base_url} ({error.__cause__ or error})"
            except Malformed as error:
                reason = str(error)
            except (APIError, ValueError) as error:
                reason = f"unreadable reply ({_one_line(str(error))})"
            if tries_left:
                await asyncio.sleep(wait)
                pause = min(8.0, 2 * pause)
        raise ModelError(f"{self._name}: {_one_line(reason)}; gave up after {self._retries + 1} tries")

    async def _once(self, request: ChatRequest, body: dict[str, Any]) -> ChatReply:
        start = time.perf_counter()
        raw = await self._client.chat.completions.with_raw_response.create(**body)
        text = raw.text
        seconds = time.perf_counter() - start
        return read_reply(text, request, self._name, seconds, self._price, continues=self._flavour != "openai")


def _retry_after(error: "APIStatusError") -> float:
    try:
        return min(60.0, float(error.response.headers.get("retry-after", 0)))
    except ValueError:
        return 0.0


def _is_overflow(error: "APIStatusError") -> bool:
    return error.status_code in (400, 413, 422, 500) and any(word in str(error).lower() for word in _OVERFLOW)


def _detail(error: "APIStatusError") -> str:
    body: Any = error.body
    message = body.get("message") if isinstance(body, dict) else None
    return _one_line(str(message or error.message))


def _one_line(text: str, limit: int = 300) -> str:
    line = " ".join(text.split())
    return line if len(line) <= limit else line[: limit - 1] + "…"
