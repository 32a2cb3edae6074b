"""vLLM in this process, without a server: requests that wait at the same time are answered as one batch.

For large logs: ``fama diagnose LOGS --judge vllm:Qwen/Qwen3-4B --concurrency 256 --out DIR``. Settings of the engine
follow a question mark: ``vllm:Qwen/Qwen3-4B?gpu_memory_utilization=0.5&max_num_seqs=64``.
"""

import asyncio
import json
import os
import time
from collections import deque
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager, suppress
from dataclasses import replace
from importlib.util import find_spec
from pathlib import Path
from typing import Any
from urllib.parse import parse_qsl

from fama.episodes.records import LedgerRow
from fama.errors import BadInput, FamaError, ModelError
from fama.models.base import ChatReply, ChatRequest
from fama.models.client import ContextOverflow
from fama.models.prefill import with_prefill
from fama.models.server_errors import is_overflow
from fama.models.usage import with_estimate
from fama.models.wire import SEED_RANGE, ContestedFields, plain_call_ids
from fama.redaction import shortened
from fama.text.clean import clean_value

PREFIX = "vllm:"
BATCH = 256
_PAUSE = 0.02


@asynccontextmanager
async def offline_model(name: str, context_tokens: int) -> AsyncIterator["VllmBatch"]:
    """Yield the model of a hub repository or folder in Hugging Face format for the length of the block.

    Raises:
        BadInput: vLLM is not installed, or ``name`` is one file.
        FamaError: vLLM cannot load the model.
    """
    model, _, query = name.removeprefix(PREFIX).partition("?")
    options = dict(parse_qsl(query, keep_blank_values=True))
    if find_spec("vllm") is None:
        raise BadInput(f"{name}: vLLM is not installed; install it with: pip install 'fama-router[vllm]'")
    if not model or model.endswith(".gguf") or Path(model).is_file():
        raise BadInput(f"{name}: vLLM loads a hub repository or a folder with safetensors; give vllm:REPOSITORY")
    os.environ.setdefault("VLLM_LOGGING_LEVEL", "WARNING")

    def start() -> Any:
        import vllm

        wanted = {"max_model_len": context_tokens, "enable_prefix_caching": True}
        return vllm.LLM(model=model, **wanted | {key: _value(text) for key, text in options.items()})

    try:
        engine = await asyncio.to_thread(start)
    except (OSError, RuntimeError, TypeError, ValueError) as error:
        message = shortened(error, 300)
        raise FamaError(f"{name}: vLLM cannot load it ({message}); its own messages above say why") from error
    batch = VllmBatch(f"{PREFIX}{model}", engine)
    try:
        yield batch
    finally:
        await batch.close()
        del batch, engine  # the engine ends its own process when no reference is left


class VllmBatch:
    """A chat model over a ``vllm.LLM``. A request's seconds are its share of its batch's."""

    def __init__(self, name: str, engine: Any) -> None:
        self._name = name
        self._engine = engine
        self._contested = ContestedFields(name)
        self._waiting: deque[tuple[ChatRequest, asyncio.Future[ChatReply]]] = deque()
        self._worker: asyncio.Task[None] | None = None

    @property
    def name(self) -> str:
        """Return the model's name in ledgers."""
        return self._name

    async def complete(self, request: ChatRequest) -> ChatReply:
        """Answer a request, in a batch with all that wait.

        Raises:
            ContextOverflow: the prompt does not fit the model's context.
            ModelError: vLLM refuses the request or fails.
        """
        reply: asyncio.Future[ChatReply] = asyncio.get_running_loop().create_future()
        self._waiting.append((request, reply))
        if self._worker is None or self._worker.done():
            self._worker = asyncio.create_task(self._work())
        return await reply

    async def close(self) -> None:
        """Stop answering."""
        if self._worker is not None:
            self._worker.cancel()
            with suppress(asyncio.CancelledError):
                await self._worker

    async def _work(self) -> None:
        while self._waiting:
            await asyncio.sleep(_PAUSE)  # whoever got an answer may ask again
            kind = _kind(self._waiting[0][0])
            taken = [pair for pair in self._waiting if _kind(pair[0]) == kind][:BATCH]
            self._waiting = deque(pair for pair in self._waiting if not any(pair is one for one in taken))
            await self._settle([pair for pair in taken if not pair[1].done()])

    async def _settle(self, pairs: Sequence[tuple[ChatRequest, "asyncio.Future[ChatReply]"]]) -> None:
        if not pairs:
            return
        try:
            replies = await asyncio.to_thread(self._answer, [request for request, _ in pairs])
        except Exception as error:  # noqa: BLE001 every error of the engine has to reach the waiting calls
            known, bodies = len(self._contested), [self._body(request) for request, _ in pairs]
            if self._contested.learn(str(error), *bodies) and len(self._contested) > known:
                await self._settle(pairs)
                return
            if len(pairs) > 1:  # one bad request fails its whole batch: each for itself
                for pair in pairs:
                    await self._settle([pair])
                return
            message = shortened(error, 300)
            long = is_overflow(400, message)
            failure = ContextOverflow if long else ModelError
            _set(pairs[0][1], failure(f"{self._name}: {message}" + ("; raise --context" if long else "")))
            return
        except asyncio.CancelledError:
            for _, future in pairs:
                future.cancel()
            raise
        for (_, future), reply in zip(pairs, replies, strict=True):
            if not future.done():
                future.set_result(reply)

    def _answer(self, requests: Sequence[ChatRequest]) -> list[ChatReply]:
        start = time.perf_counter()
        opened = bool(requests[0].prefill)
        outputs = self._engine.chat(
            [self._body(request)["messages"] for request in requests],
            [_sampling(request) for request in requests],
            use_tqdm=False,
            add_generation_prompt=not opened,
            continue_final_message=opened,
            tools=list(requests[0].tools) or None,
        )
        seconds = (time.perf_counter() - start) / len(requests)
        return [self._reply(*pair, seconds) for pair in zip(requests, outputs, strict=True)]

    def _body(self, request: ChatRequest) -> dict[str, Any]:
        """Return the messages as the model's chat template takes them."""
        opening = [{"role": "assistant", "content": request.prefill}] if request.prefill else []
        body = {"messages": plain_call_ids(clean_value([*request.messages, *opening]))}
        self._contested.put(body)
        return body

    def _reply(self, request: ChatRequest, output: Any, seconds: float) -> ChatReply:
        written = output.outputs[0]
        usage = LedgerRow(
            role=request.role,
            model=self._name,
            input_tokens=None if output.prompt_token_ids is None else len(output.prompt_token_ids),
            cached_input_tokens=output.num_cached_tokens,
            output_tokens=len(written.token_ids),
            seconds=seconds,
        )
        text = with_prefill(written.text, request.prefill)
        reply = ChatReply(text=text, usage=usage, finish_reason=str(written.finish_reason or "stop"))
        return replace(reply, usage=with_estimate(reply, request))


def _value(text: str) -> Any:
    try:
        return json.loads(text)
    except ValueError:
        return text


def _kind(request: ChatRequest) -> tuple[bool, str]:
    """Return the part of a request that vLLM takes once per batch."""
    return bool(request.prefill), json.dumps(request.tools, sort_keys=True)


def _sampling(request: ChatRequest) -> Any:
    from vllm import SamplingParams
    from vllm.sampling_params import StructuredOutputsParams

    sampling, schema = request.sampling, request.json_schema
    return SamplingParams(
        temperature=sampling.temperature,
        top_p=sampling.top_p,
        max_tokens=sampling.max_tokens,
        stop=list(sampling.stop) or None,
        seed=request.seed % SEED_RANGE,
        structured_outputs=None if schema is None else StructuredOutputsParams(json=schema),
    )


def _set(future: "asyncio.Future[ChatReply]", error: ModelError) -> None:
    if not future.done():
        future.set_exception(error)
