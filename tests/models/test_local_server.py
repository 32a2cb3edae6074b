"""The in-process server, with the smallest real model."""

import os
from pathlib import Path

import pytest

from fama.errors import BadInput, FamaError, ModelError
from fama.models.base import ChatRequest, Sampling
from fama.models.client import OpenAIChat
from fama.models.connect import connect
from fama.models.servers import llama_cpp as local
from fama.models.weights.catalogue import find_model
from fama.models.weights.storage import is_present, pull
from fama.settings import ModelSettings

NAME = "smollm2-135m"
MESSAGES = ({"role": "user", "content": "Look up order 12. Answer with one JSON object."},)


@pytest.fixture(scope="module")
def weights() -> None:
    if not is_present(find_model(NAME)):
        if not os.environ.get("FAMA_PULL"):
            pytest.skip(f"the weights of {NAME} are not here; run `fama models pull {NAME}` or set FAMA_PULL=1")
        pull(NAME)


async def test_one_real_server_for_all_its_users(weights: None, capfd: pytest.CaptureFixture[str]) -> None:
    settings = ModelSettings(name=NAME, context_tokens=1024)
    ask = ChatRequest(messages=MESSAGES, role="agent", prefill='{"tool": "', sampling=Sampling(max_tokens=5))
    async with connect(settings) as model:
        async with connect(settings.model_copy(update={"temperature": 1.0})) as other:
            assert isinstance(model, OpenAIChat) and isinstance(other, OpenAIChat)
            assert model.base_url == other.base_url and "127.0.0.1" in model.base_url
        first, second = await model.complete(ask), await model.complete(ask)
        for reply in (first, second):
            assert reply.text.startswith('{"tool": "') and reply.text.count('{"tool": "') == 1
        assert (first.usage.model, first.usage.price) == (NAME, None)
        assert first.usage.output_tokens and first.usage.input_tokens
        assert (second.usage.cached_input_tokens or 0) >= first.usage.input_tokens - 2
        schema = {"type": "object", "properties": {"a": {"type": "integer"}}, "required": ["a"]}
        typed = await model.complete(
            ChatRequest(messages=MESSAGES, role="agent", json_schema=schema, sampling=Sampling(max_tokens=10))
        )
        assert typed.text.split()[0].startswith("{") and '"a"' in typed.text
        with pytest.raises(ModelError, match="model.context_tokens"):
            long = ({"role": "user", "content": "word " * 2000},)
            await model.complete(ChatRequest(messages=long, role="agent"))
        stranger = OpenAIChat(NAME, model.base_url, api_key="guess", retries=0, trust_env=False)
        async with stranger:
            with pytest.raises(ModelError, match="HTTP 401"):
                await stranger.complete(ask)
        next(iter(local._running.values())).server = None  # it dies
        with pytest.raises(ModelError, match="cannot reach"):
            await model.complete(ask)
    assert not local._running
    assert capfd.readouterr() == ("", ""), "llama.cpp keeps quiet"


async def test_a_file_that_is_no_model_is_one_line(tmp_path: Path) -> None:
    file = tmp_path / "junk.gguf"
    file.write_bytes(b"GGUF but not really")
    with pytest.raises(FamaError, match="junk.gguf: llama.cpp cannot serve it") as caught:
        async with connect(ModelSettings(name=str(file))):
            pass
    assert "\n" not in str(caught.value) and not local._running


async def test_missing_weights_name_the_command(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FAMA_CACHE", str(tmp_path))
    with pytest.raises(BadInput, match=f"fama models pull {NAME}"):
        async with connect(ModelSettings(name=NAME)):
            pass
