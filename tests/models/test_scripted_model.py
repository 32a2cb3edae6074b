"""Scripted models: deterministic, billed, found by name."""

import pytest

from fama.errors import BadInput
from fama.models.base import ChatRequest
from fama.models.connect import connect, recorded_name
from fama.models.scripted import SCRIPTED, ScriptedModel
from fama.settings import ModelSettings
from fama.text.tokens import estimate_tokens

ASK = ChatRequest(
    messages=({"role": "system", "content": "be kind"}, {"role": "user", "content": "say it"}), role="agent"
)


async def test_echo_repeats_the_last_user_message_and_bills_estimates() -> None:
    async with connect(ModelSettings(name="scripted:echo")) as model:
        first, second = await model.complete(ASK), await model.complete(ASK)
    assert first == second and first.text == "say it"
    row = first.usage
    assert (row.role, row.model, row.seconds, row.price) == ("agent", "scripted:echo", 0.0, None)
    assert row.input_tokens == estimate_tokens("be kind") + estimate_tokens("say it")
    assert row.output_tokens == estimate_tokens("say it")


@pytest.mark.parametrize("text", ['close"}', '{"tool": "close"}'])
async def test_a_prefill_is_input_and_comes_once(text: str) -> None:
    reply = await ScriptedModel("s", lambda request: text).complete(
        ChatRequest(messages=(), role="agent", prefill='{"tool": "')
    )
    assert reply.text == '{"tool": "close"}'
    assert reply.usage.input_tokens == estimate_tokens('{"tool": "')
    assert reply.usage.output_tokens == estimate_tokens('close"}')


async def test_scripts_can_be_added_and_unknown_ones_are_listed() -> None:
    SCRIPTED.add("shout", ScriptedModel("scripted:shout", lambda request: "HO"))
    try:
        async with connect(ModelSettings(name="scripted:shout")) as model:
            assert (await model.complete(ASK)).text == "HO"
    finally:
        SCRIPTED.remove("shout")
    with pytest.raises(BadInput, match="unknown scripted model 'shout'"):
        async with connect(ModelSettings(name="scripted:shout")):
            pass


def test_the_name_in_records_is_told_without_connecting() -> None:
    names = {"scripted:echo": "scripted:echo", "vllm:a/b?gpus=2": "vllm:a/b", "w/tiny.gguf": "tiny", "qwen": "qwen"}
    assert {name: recorded_name(ModelSettings(name=name)) for name in names} == names
    with pytest.raises(BadInput, match="unknown scripted model 'nobody'"):
        recorded_name(ModelSettings(name="scripted:nobody"))
