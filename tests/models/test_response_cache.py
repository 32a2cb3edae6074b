"""The response cache: what makes a call the same, what a hit looks like."""

from pathlib import Path

import pytest

from fama.episodes.records import FunctionCall, LedgerRow, ToolCall
from fama.errors import BadInput
from fama.models.base import ChatReply, ChatRequest, Sampling
from fama.models.cache import CachedChat
from fama.models.connect import cached_name, connect, recorded_name
from fama.models.scripted import ScriptedModel
from fama.settings import ModelSettings

ASK = ChatRequest(messages=({"role": "user", "content": "hi \ud800"},), role="agent")


class Counting:
    """Answers with a number that rises call by call."""

    def __init__(self) -> None:
        self.calls = 0

    def __call__(self, request: ChatRequest) -> ChatReply:
        self.calls += 1
        call = ToolCall(id="c", function=FunctionCall(name="f", arguments="{}"))
        row = LedgerRow(role=request.role, model="m", input_tokens=5, output_tokens=2, seconds=1.5, price=0.25)
        return ChatReply(text=f"answer {self.calls}", usage=row, tool_calls=(call,), raw={"id": "x"})


async def test_a_hit_is_the_same_reply_and_is_marked(tmp_path: Path) -> None:
    source = Counting()
    first = await CachedChat(ScriptedModel("m", source), tmp_path).complete(ASK)
    again = await CachedChat(ScriptedModel("m", source), tmp_path).complete(ASK)
    assert source.calls == 1
    assert not first.usage.cache_hit and again.usage.cache_hit
    assert again.usage == first.usage.model_copy(update={"cache_hit": True})
    assert (again.text, again.tool_calls, again.raw) == (first.text, first.tool_calls, first.raw)


async def test_role_is_billed_as_asked_but_is_not_part_of_the_key(tmp_path: Path) -> None:
    source = Counting()
    model = CachedChat(ScriptedModel("m", source), tmp_path)
    await model.complete(ASK)
    other = await model.complete(ChatRequest(messages=ASK.messages, role="judge"))
    assert source.calls == 1 and other.usage.role == "judge"


@pytest.mark.parametrize(
    "change",
    [
        {"trial": 1},
        {"seed": 1},
        {"prefill": "{"},
        {"sampling": Sampling(temperature=0.1)},
        {"json_schema": {"type": "object"}},
        {"tools": ({"type": "function"},)},
        {"messages": ({"role": "user", "content": "ho"},)},
    ],
)
async def test_anything_that_matters_makes_another_call(tmp_path: Path, change: dict[str, object]) -> None:
    source = Counting()
    model = CachedChat(ScriptedModel("m", source), tmp_path)
    await model.complete(ASK)
    fields = {"messages": ASK.messages, "role": "agent", **change}
    await model.complete(ChatRequest(**fields))  # type: ignore[arg-type]
    await CachedChat(ScriptedModel("other", source), tmp_path).complete(ASK)
    assert source.calls == 3


def test_two_files_of_one_name_share_no_replies(tmp_path: Path) -> None:
    base, tuned = (ModelSettings(name=str(tmp_path / folder / "model-q4_k_m.gguf")) for folder in ("base", "tuned"))
    assert recorded_name(base) == recorded_name(tuned) == "model-q4_k_m"
    assert cached_name(base) != cached_name(tuned)
    beside = ModelSettings(name=f"{tmp_path}/tuned/../base/model-q4_k_m.gguf")
    assert cached_name(beside) == cached_name(base)
    for name in ("qwen2.5-coder-1.5b", "scripted:echo", "vllm:some/model"):
        assert cached_name(ModelSettings(name=name)) == recorded_name(ModelSettings(name=name))
    served = ModelSettings(name="some.gguf", base_url="http://127.0.0.1:1/v1")
    assert cached_name(served) == recorded_name(served) == "some.gguf"


def test_engines_of_other_settings_share_no_replies() -> None:
    names = [f"vllm:some/model{settings}" for settings in ("", "?quantization=fp8", "?quantization=awq")]
    assert [cached_name(ModelSettings(name=name)) for name in names] == names
    assert {recorded_name(ModelSettings(name=name)) for name in names} == {"vllm:some/model"}


async def test_a_cache_keeps_replies_under_the_given_name(tmp_path: Path) -> None:
    names = ("/a/model.gguf", "/b/model.gguf", "/a/model.gguf")
    replies = [CachedChat(ScriptedModel("model", Counting()), tmp_path, name) for name in names]
    hits = [(await model.complete(ASK)).usage.cache_hit for model in replies]
    assert hits == [False, False, True]


async def test_a_torn_entry_is_asked_for_anew(tmp_path: Path) -> None:
    source = Counting()
    model = CachedChat(ScriptedModel("m", source), tmp_path)
    await model.complete(ASK)
    (entry,) = tmp_path.rglob("*.json")
    entry.write_text(entry.read_text()[:20])
    assert not (await model.complete(ASK)).usage.cache_hit
    assert (await model.complete(ASK)).usage.cache_hit and source.calls == 2


async def test_connect_wraps_the_model_and_refuses_a_file_as_folder(tmp_path: Path) -> None:
    async with connect(ModelSettings(name="scripted:echo", cache=str(tmp_path / "kept"))) as model:
        assert model.name == "scripted:echo"
        assert not (await model.complete(ASK)).usage.cache_hit
        assert (await model.complete(ASK)).usage.cache_hit
    (tmp_path / "file").write_text("x")
    with pytest.raises(BadInput, match="model.cache"):
        async with connect(ModelSettings(name="scripted:echo", cache=str(tmp_path / "file"))):
            pass
