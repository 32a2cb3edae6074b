"""The chat client against a small server on loopback: retries, prefill, usage, schemas, bad bodies."""

import time
from pathlib import Path
from typing import Any

import pytest

from fama.errors import BadInput, FamaError, ModelError
from fama.models.base import ChatRequest, Sampling
from fama.models.client import ContextOverflow, Flavour, OpenAIChat
from fama.models.connect import connect, probe
from fama.models.prices import Price, price_at, price_table
from fama.settings import ModelSettings
from tests.support.fake_endpoint import Answer, Endpoint, chat_client, chat_request, said


async def test_request_and_usage(endpoint: Endpoint) -> None:
    usage = {
        "prompt_tokens": 100,
        "completion_tokens": 10,
        "prompt_tokens_details": {"cached_tokens": 60},
        "completion_tokens_details": {"reasoning_tokens": 4},
    }
    endpoint.answers = [said("yes", usage=usage, message={"reasoning_content": "because"})]
    sampling = Sampling(temperature=0.5, top_p=0.9, max_tokens=7, stop=("\n",))
    async with chat_client(endpoint, price=Price(input=1.0, cached_input=0.5, output=10.0)) as model:
        reply = await model.complete(chat_request(sampling=sampling, seed=2**31 + 5))
    assert (reply.text, reply.reasoning, reply.finish_reason) == ("yes", "because", "stop")
    row = reply.usage
    assert (row.role, row.model) == ("helper:TSA", "m")
    assert (row.input_tokens, row.cached_input_tokens, row.output_tokens, row.reasoning_tokens) == (100, 60, 10, 4)
    assert row.price == pytest.approx((40 * 1.0 + 60 * 0.5 + 10 * 10.0) / 1e6)
    assert row.seconds > 0 and not row.cache_hit
    sent = endpoint.asked[0]
    assert (sent["temperature"], sent["top_p"], sent["max_tokens"], sent["stop"], sent["seed"]) == (
        0.5,
        0.9,
        7,
        ["\n"],
        5,
    )
    assert sent["cache_prompt"] is True and "tools" not in sent and "response_format" not in sent


async def test_unknown_price_is_none_and_llama_timings_count_as_cached(endpoint: Endpoint) -> None:
    endpoint.answers = [said("yes", usage={"prompt_tokens": 9, "completion_tokens": 1}, timings={"cache_n": 8})]
    async with chat_client(endpoint) as model:
        row = (await model.complete(chat_request())).usage
    assert row.price is None and row.cached_input_tokens == 8


@pytest.mark.parametrize(
    "first", [(500, {"error": {"message": "boom"}}), (429, {}), (200, b"{torn"), (200, {"choices": []})]
)
async def test_passing_faults_are_tried_again(endpoint: Endpoint, first: Answer) -> None:
    endpoint.answers = [first, said("fine")]
    async with chat_client(endpoint) as model:
        assert (await model.complete(chat_request())).text == "fine"
    assert len(endpoint.asked) == 2


@pytest.mark.parametrize(
    ("answer", "words", "tries"),
    [
        ((500, {"error": {"message": "boom"}}), "boom", 3),
        ((200, {"choices": []}), "no choices", 3),
        ((200, b"<html>"), "not JSON", 3),
        ((200, {"choices": [{"message": 3}]}), "unknown form", 3),
        ((400, {"error": {"message": "bad\nfield"}}), "bad field", 1),
        ((404, {"error": {"message": "no such model"}}), "no such model", 1),
    ],
)
async def test_lasting_faults_end_as_one_line(endpoint: Endpoint, answer: Answer, words: str, tries: int) -> None:
    endpoint.answers = [answer]
    async with chat_client(endpoint) as model:
        with pytest.raises(ModelError, match=words) as caught:
            await model.complete(chat_request())
    assert caught.value.boundary == "model" and "\n" not in str(caught.value)
    assert len(endpoint.asked) == tries


async def test_context_overflow_is_told_apart_and_not_tried_again(endpoint: Endpoint) -> None:
    message = "request (9030 tokens) exceeds the available context size (4096 tokens), try increasing it"
    endpoint.answers = [(400, {"error": {"code": 400, "message": message, "type": "exceed_context_size_error"}})]
    async with chat_client(endpoint) as model:
        with pytest.raises(ContextOverflow, match="9030 tokens.*model.context_tokens"):
            await model.complete(chat_request())
    assert len(endpoint.asked) == 1


async def test_the_time_limit_holds_for_the_whole_call(endpoint: Endpoint) -> None:
    endpoint.delay, endpoint.answers = 1.0, [said("late")]
    start = time.perf_counter()
    async with chat_client(endpoint, timeout=0.2) as model:
        with pytest.raises(ModelError, match="no answer within 0.2 s"):
            await model.complete(chat_request())
    assert time.perf_counter() - start < 0.9


async def test_a_dead_server_is_an_error_not_a_hang(endpoint: Endpoint) -> None:
    async with OpenAIChat("m", "http://127.0.0.1:9/v1", retries=1, backoff=0.01, trust_env=False) as model:
        with pytest.raises(ModelError, match="cannot reach http://127.0.0.1:9/v1"):
            await model.complete(chat_request())


@pytest.mark.parametrize("content", ['{"tool": "close"}', 'close"}', ' {"tool": "close"}'])
@pytest.mark.parametrize("flavour", ["llama.cpp", "vllm"])
async def test_a_prefill_starts_the_text_exactly_once(endpoint: Endpoint, flavour: Flavour, content: str) -> None:
    endpoint.answers = [said(content)]
    async with chat_client(endpoint, flavour) as model:
        reply = await model.complete(chat_request(prefill='{"tool": "'))
    assert reply.text == '{"tool": "close"}'
    sent = endpoint.asked[0]
    assert sent["messages"][-1] == {"role": "assistant", "content": '{"tool": "'}
    told = (sent.get("continue_final_message"), sent.get("add_generation_prompt"))
    assert told == ((True, False) if flavour == "vllm" else (None, None))


async def test_a_plain_endpoint_is_asked_for_the_opening_and_its_text_stays(endpoint: Endpoint) -> None:
    endpoint.answers = [said('```json\n{"tool": "close"}\n```')]
    async with chat_client(endpoint, "openai") as model:
        reply = await model.complete(chat_request(prefill='Note.\n{"tool": "'))
    assert reply.text.startswith("```json")
    last = endpoint.asked[0]["messages"][-1]
    assert last["role"] == "user" and last["content"].endswith('Note.\n{"tool": "')
    assert "cache_prompt" not in endpoint.asked[0]


async def test_tools_and_schema(endpoint: Endpoint) -> None:
    call = {"id": "c1", "type": "function", "function": {"name": "get_order", "arguments": '{"id": 1}'}}
    loose = {"function": {"name": "close", "arguments": {"outcome": "solved"}}}
    endpoint.answers = [said(None, message={"tool_calls": [call, loose]})]
    tool = {"type": "function", "function": {"name": "get_order", "parameters": {"type": "object"}}}
    schema = {"type": "object", "properties": {"a": {"type": "integer"}}}
    async with chat_client(endpoint) as model:
        reply = await model.complete(chat_request(tools=(tool,), json_schema=schema, prefill="Note. "))
    assert reply.text == ""
    assert [c.function.name for c in reply.tool_calls] == ["get_order", "close"]
    assert [c.function.parsed() for c in reply.tool_calls] == [{"id": 1}, {"outcome": "solved"}]
    assert [c.id for c in reply.tool_calls] == ["c1", "call_1"]
    sent = endpoint.asked[0]
    assert sent["tools"] == [tool] and sent["response_format"]["json_schema"]["schema"] == schema


@pytest.mark.parametrize(("owner", "flavour"), [("llamacpp", "llama.cpp"), ("vllm", "vllm"), ("acme", "openai")])
async def test_probe_tells_the_dialect(endpoint: Endpoint, owner: str, flavour: Flavour) -> None:
    endpoint.owner = owner
    assert await probe(endpoint.base_url, "served", "none", "K") == flavour


async def test_probe_refuses_with_a_mend(endpoint: Endpoint) -> None:
    endpoint.owner = "vllm"
    with pytest.raises(BadInput, match="set model.name to one of: served"):
        await probe(endpoint.base_url, "other", "none", "K")
    endpoint.owner = "locked"
    with pytest.raises(BadInput, match="environment variable MY_KEY"):
        await probe(endpoint.base_url, "served", "none", "MY_KEY")
    with pytest.raises(FamaError, match="fama models serve"):
        await probe("http://127.0.0.1:9/v1", "served", "none", "K")


async def test_certificates_that_cannot_be_read_are_named(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    (tmp_path / "torn.pem").write_text("-----BEGIN")
    for name, why in (("none.pem", "No such file"), ("torn.pem", "")):
        monkeypatch.setenv("SSL_CERT_FILE", str(tmp_path / name))
        with pytest.raises(BadInput, match=rf"^http://192.0.2.1/v1: the certificates of SSL_CERT_FILE .*{why}"):
            await probe("http://192.0.2.1/v1", "served", "none", "K")


async def test_a_server_that_is_starting_is_asked_again_and_never_taken_for_another(
    endpoint: Endpoint, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("fama.models.connect._PROBE_PAUSES", (0.01, 0.01))
    endpoint.owner, endpoint.not_ready = "vllm", [503, 502]
    assert await probe(endpoint.base_url, "served", "none", "K") == "vllm"
    endpoint.not_ready = [503] * 3
    with pytest.raises(FamaError, match=r"not ready \(HTTP 503: Loading model\); run again"):
        await probe(endpoint.base_url, "served", "none", "K")
    endpoint.not_ready = [404]
    assert await probe(endpoint.base_url, "served", "none", "K") == "openai"


async def test_a_key_is_sent_without_its_line_end_and_one_that_cannot_be_sent_is_told(
    endpoint: Endpoint, monkeypatch: pytest.MonkeyPatch
) -> None:
    endpoint.answers = [said("hello")]
    settings = ModelSettings(name="served", base_url=endpoint.base_url, api_key_env="MY_KEY")
    monkeypatch.setenv("MY_KEY", "s3cret\r\n")
    async with connect(settings) as model:
        await model.complete(chat_request())
    assert endpoint.headers[0]["authorization"] == "Bearer s3cret"
    monkeypatch.setenv("MY_KEY", "s3cr\u00e9t")
    with pytest.raises(BadInput, match="^MY_KEY: holds no key"):
        async with connect(settings):
            pass


@pytest.mark.parametrize("prefill", ["", "Note. "])
async def test_a_server_that_takes_no_opening_is_told_with_the_setting(endpoint: Endpoint, prefill: str) -> None:
    refused = {"code": 400, "message": "Assistant response prefill is incompatible with enable_thinking."}
    endpoint.answers = [(400, {"error": refused})]
    async with chat_client(endpoint) as model:
        with pytest.raises(ModelError, match="enable_thinking") as caught:
            await model.complete(chat_request(prefill=prefill))
    assert str(caught.value).endswith("; set model.prefill=words") == bool(prefill)


async def test_what_goes_on_from_an_opening_is_no_thought(endpoint: Endpoint) -> None:
    message = {"reasoning_content": 'get_order", "arguments": {}}'}
    opening = '{"tool": "'
    endpoint.answers = [said(None, message=message)]
    async with chat_client(endpoint, "vllm") as model:
        reply = await model.complete(chat_request(prefill=opening))
        thought = await model.complete(chat_request())
    assert (reply.text, reply.reasoning) == (opening + message["reasoning_content"], "")
    assert (thought.text, thought.reasoning) == ("", message["reasoning_content"])
    async with chat_client(endpoint, "openai") as model:  # asked for the opening in words, it may think before it
        assert (await model.complete(chat_request(prefill=opening))).text == ""
    for more in ({"tool_calls": [{"function": {"name": "f", "arguments": "{}"}}]}, {"content": "Hello"}):
        endpoint.answers = [said(None, message={**message, **more})]
        async with chat_client(endpoint, "vllm") as model:
            assert (await model.complete(chat_request(prefill=opening))).reasoning == message["reasoning_content"]


async def test_further_fields_of_requests_go_with_each_and_part_the_cache(endpoint: Endpoint, tmp_path: Path) -> None:
    off = {"chat_template_kwargs": {"enable_thinking": False}}
    endpoint.answers = [said("quick"), said("thought through")]
    texts = []
    for extra in (off, {}, off):
        settings = ModelSettings(name="m", base_url=endpoint.base_url, extra_body=extra, cache=str(tmp_path))
        async with connect(settings) as model:
            texts.append((await model.complete(chat_request())).text)
    assert texts == ["quick", "thought through", "quick"]
    first, second = endpoint.asked
    assert first == {**second, **off} and "chat_template_kwargs" not in second
    assert "extra_body" not in ModelSettings().model_dump()  # configs of before keep their hashes


@pytest.mark.parametrize("extra", [{"messages": []}, {"seed": 1}, {"n": 2}])
def test_fields_that_the_loop_writes_are_no_further_ones(extra: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match=f"{next(iter(extra))} is set by FAMA"):
        ModelSettings(extra_body=extra)


async def test_ids_of_our_calls_are_nine_letters_and_digits_on_the_wire(endpoint: Endpoint) -> None:
    call = {"type": "function", "function": {"name": "get_order", "arguments": "{}"}}
    messages: list[dict[str, Any]] = []
    for id_ in ("call_0", "call_12", "call_AbCdEf", "a1B2c3D4e"):
        messages += [{"role": "assistant", "content": "", "tool_calls": [{"id": id_, **call}]}]
        messages += [{"role": "tool", "tool_call_id": id_, "content": "{}"}]
    endpoint.answers = [said("hello")]
    async with chat_client(endpoint) as model:
        await model.complete(ChatRequest(messages=tuple(messages), role="agent"))
    sent = endpoint.asked[0]["messages"]
    wanted = ["call00000", "call00012", "call_AbCdEf", "a1B2c3D4e"]
    assert [message["tool_calls"][0]["id"] for message in sent[::2]] == wanted
    assert [message["tool_call_id"] for message in sent[1::2]] == wanted
    assert messages[0]["tool_calls"][0]["id"] == "call_0"


async def test_connect_sends_the_key_of_the_named_variable(endpoint: Endpoint, monkeypatch: pytest.MonkeyPatch) -> None:
    from fama.settings import ModelSettings

    endpoint.answers = [said("hello")]
    settings = ModelSettings(name="served", base_url=endpoint.base_url, api_key_env="MY_KEY")
    monkeypatch.setenv("MY_KEY", "s3cret")
    async with connect(settings) as model:
        assert (await model.complete(chat_request())).text == "hello"
    monkeypatch.delenv("MY_KEY")
    async with connect(settings) as model:
        await model.complete(chat_request())
    assert [header["authorization"] for header in endpoint.headers] == ["Bearer s3cret", "Bearer none"]


async def test_list_prices_are_of_the_makers_own_endpoint(endpoint: Endpoint) -> None:
    """A local server that serves another model under a hosted one's name costs no dollars."""
    endpoint.answers = [said("yes", usage={"prompt_tokens": 9, "completion_tokens": 1})]
    async with connect(ModelSettings(name="gpt-4o", base_url=endpoint.base_url)) as model:
        assert (await model.complete(chat_request())).usage.price is None
    for url in ("https://api.openai.com/v1", "https://eu.api.openai.com/v1"):
        assert price_at(url, "gpt-4o") == price_table()["gpt-4o"] and price_at(url, "gpt-5") is None
    for url in ("https://openrouter.ai/api/v1", "https://api.openai.com.example.org/v1", "https://notapi.openai.com"):
        assert price_at(url, "gpt-4o") is None


def test_the_price_table_loads() -> None:
    assert price_table()["gpt-4o"].cost(1_000_000, 0, 0) == pytest.approx(2.5)
    assert "qwen2.5-coder-1.5b" not in price_table()
