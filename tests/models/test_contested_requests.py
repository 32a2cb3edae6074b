"""Requests that a server contests: put otherwise where that asks the same, told where it does not."""

from typing import Any

import pytest

from fama.errors import ModelError
from fama.models.base import ChatRequest, Sampling
from tests.support.fake_endpoint import Answer, Endpoint, chat_client, chat_request, said


async def test_a_parameter_that_a_server_does_not_know_is_put_otherwise_where_it_means_the_same(
    endpoint: Endpoint,
) -> None:
    def answer(body: dict[str, Any]) -> Answer:
        for name in ("max_tokens", "top_p"):
            if name in body:
                return 400, {"error": {"message": f"Unsupported parameter: '{name}' is not supported with this model."}}
        return said("yes")

    endpoint.answer = answer
    async with chat_client(endpoint, "openai", retries=0) as model:
        assert [(await model.complete(chat_request(seed=seed))).text for seed in range(2)] == ["yes", "yes"]
        assert len(endpoint.asked) == 4 and endpoint.asked[-1]["max_completion_tokens"] == 256
        with pytest.raises(ModelError, match="top_p"):  # another one would be another experiment
            await model.complete(chat_request(sampling=Sampling(top_p=0.9)))


_DETAIL = {"detail": [{"type": "extra_forbidden", "loc": ["body", "seed"], "msg": "Extra inputs are not permitted"}]}


@pytest.mark.parametrize(
    ("name", "status", "body"),
    [
        ("seed", 422, {"object": "error", "message": _DETAIL, "code": None}),
        ("seed", 422, _DETAIL),
        ("seed", 400, [{"error": {"code": 400, "message": 'Unknown name "seed": Cannot find field.'}}]),
        ("seed", 400, {"error": {"message": "anthropic does not support parameters: ['seed'], for model=m. To drop"}}),
        (
            "seed",
            500,
            {"error": {"message": "ollama does not support parameters: {'seed': 1}, for model=m"}},
        ),
        ("seed", 400, {"error": {"message": "Unrecognized request argument supplied: seed"}}),
        ("seed", 400, {"error": {"message": "property 'seed' is unsupported, did you mean 'stop'?"}}),
        ("stop", 400, {"code": "invalid-argument", "error": "Model m does not support parameter stop."}),
        ("stop", 400, {"code": "invalid", "error": "Argument not supported on this model: stop"}),
        ("stop", 400, {"error": {"message": "stop_sequences: each stop sequence must contain non-whitespace"}}),
        ("top_p", 400, {"error": {"message": "`temperature` and `top_p` cannot both be specified for this model."}}),
        ("top_p", 400, {"error": {"message": 'litellm: {"message":"`top_p` is deprecated for this model."}'}}),
    ],
)
async def test_servers_say_in_words_of_their_own_that_they_do_not_take_a_parameter(
    name: str, status: int, body: Any, endpoint: Endpoint, caplog: pytest.LogCaptureFixture
) -> None:
    endpoint.answer = lambda asked: (status, body) if name in asked else said("yes")
    request = chat_request(sampling=Sampling(stop=("\n",)), seed=7)
    async with chat_client(endpoint, "openai", retries=0) as model:
        assert [(await model.complete(request)).text for _ in range(2)] == ["yes", "yes"]
    assert [name in asked for asked in endpoint.asked] == [True, False, False]
    assert endpoint.asked[1] == {key: value for key, value in endpoint.asked[0].items() if key != name}
    assert len([one for one in caplog.records if "takes no seed" in one.message]) == (name == "seed")


@pytest.mark.parametrize(
    "words",
    [
        "This response_format type is unavailable now",
        "The provided JSON schema contains features not supported by xgrammar.",
        "invalid schema for response format: response_format/json_schema/reply: minItems is not supported",
        "failed to parse grammar",
    ],
)
async def test_a_server_that_takes_no_schema_is_asked_without_it_from_then_on(
    words: str, endpoint: Endpoint, caplog: pytest.LogCaptureFixture
) -> None:
    """As DeepSeek; a judge's every call failed there."""
    told = (400, {"error": {"message": words}})
    endpoint.answer = lambda asked: told if "response_format" in asked else said("{}")
    request = chat_request(json_schema={"type": "object"})
    async with chat_client(endpoint, "openai", retries=0) as model:
        assert [(await model.complete(request)).text for _ in range(2)] == ["{}", "{}"]
        assert ["response_format" in asked for asked in endpoint.asked] == [True, False, False]
        endpoint.answer = lambda asked: told
        with pytest.raises(ModelError, match="schema|format|grammar"):
            await model.complete(request)
    assert [message for message in caplog.messages if "takes no such JSON schema" in message] == caplog.messages[:1]


async def test_a_temperature_that_a_server_samples_at_anyway_is_left_out(endpoint: Endpoint) -> None:
    """Another one is the caller's to change: it would be another experiment."""
    told = (400, {"error": {"message": "`temperature` is deprecated for this model."}})
    endpoint.answer = lambda asked: told if "temperature" in asked else said("yes")
    async with chat_client(endpoint, "openai", retries=0) as model:
        for _ in range(2):
            assert (await model.complete(chat_request(sampling=Sampling(temperature=1.0)))).text == "yes"
        assert len(endpoint.asked) == 3
        with pytest.raises(ModelError, match="`temperature` is deprecated"):
            await model.complete(chat_request(sampling=Sampling(temperature=0.0)))


async def test_a_server_without_stop_words_is_cut_at_them_here(endpoint: Endpoint) -> None:
    def answer(body: dict[str, Any]) -> Answer:
        if "stop" in body:
            return 400, {"error": {"message": "Unsupported parameter: 'stop' is not supported with this model."}}
        return said("Action: look\nObservation: found\nAction: sell")

    endpoint.answer = answer
    stopping = Sampling(stop=("\nObservation:", "\nAction:"))
    async with chat_client(endpoint, "openai", retries=0) as model:
        assert [(await model.complete(chat_request(sampling=stopping, seed=seed))).text for seed in range(2)] == [
            "Action: look"
        ] * 2
        assert (await model.complete(chat_request())).text.endswith("sell")
    assert len(endpoint.asked) == 4


@pytest.mark.parametrize(
    ("words", "fields"),
    [
        (
            "Function call is missing a thought_signature in functionCall parts. This is required for tools to work.",
            ({}, {"extra_content": {"google": {"thought_signature": "skip_thought_signature_validator"}}}),
        ),
        (
            "Missing `reasoning_content` field in the assistant message at message index 2.",
            ({"reasoning_content": ""}, {}),
        ),
        (
            "The `reasoning_content` in the thinking mode must be passed back to the API.",
            ({"reasoning_content": ""}, {}),
        ),
    ],
)
async def test_a_server_that_wants_thoughts_back_is_told_that_there_are_none(
    words: str, fields: tuple[dict[str, Any], dict[str, Any]], endpoint: Endpoint
) -> None:
    call = {"id": "abc", "type": "function", "function": {"name": "get_order", "arguments": "{}"}}
    turn = {"role": "assistant", "content": "", "tool_calls": [call]}
    history: list[dict[str, Any]] = [{"role": "user", "content": "hi"}, turn]
    history.append({"role": "tool", "tool_call_id": "abc", "content": "{}"})
    wanted = {**turn, **fields[0], "tool_calls": [{**call, **fields[1]}]}
    endpoint.answer = lambda asked: (
        said("yes") if asked["messages"][1] == wanted else (400, {"error": {"message": words}})
    )
    async with chat_client(endpoint, "openai", retries=0) as model:
        for _ in range(2):
            assert (await model.complete(ChatRequest(messages=tuple(history), role="agent"))).text == "yes"
    assert len(endpoint.asked) == 3 and "reasoning_content" not in turn and "extra_content" not in call
    assert [asked["messages"][::2] for asked in endpoint.asked] == [[history[0], history[2]]] * 3
    endpoint.answer = lambda asked: (400, {"error": {"message": words}})
    async with chat_client(endpoint, "openai", retries=0) as model:
        with pytest.raises(ModelError, match="thought_signature|reasoning_content"):
            await model.complete(ChatRequest(messages=tuple(history), role="agent"))


@pytest.mark.parametrize(
    "words",
    [
        "messages: text content blocks must be non-empty",
        "messages: text content blocks must contain non-whitespace text",
        "messages.2: all messages must have non-empty content except for the optional final assistant message",
        "The text field in the ContentBlock object at messages.1.content.0 is blank. Add text to the text field.",
    ],
)
async def test_a_server_that_takes_no_message_without_words_gets_none(words: str, endpoint: Endpoint) -> None:
    """Claude behind gateways; a call stands without words beside it, and a tool may say nothing."""
    call = {"id": "abc", "type": "function", "function": {"name": "get_order", "arguments": "{}"}}
    turn = {"role": "assistant", "content": "", "tool_calls": [call]}
    user = {"role": "user", "content": "hi"}
    history = (user, turn, {"role": "tool", "tool_call_id": "abc", "content": " "})
    wanted = [user, {**turn, "content": None}, {**history[2], "content": "(empty)"}]
    endpoint.answer = lambda asked: said("yes") if asked["messages"] == wanted else (400, {"error": {"message": words}})
    async with chat_client(endpoint, "openai", retries=0) as model:
        for _ in range(2):
            assert (await model.complete(ChatRequest(messages=history, role="agent"))).text == "yes"
        assert len(endpoint.asked) == 3 and endpoint.asked[0]["messages"] == list(history)
        with pytest.raises(ModelError, match="content|Content"):
            await model.complete(ChatRequest(messages=history[:1], role="agent"))


@pytest.mark.parametrize(
    "words",
    [
        "Conversation roles must alternate user/assistant/user/assistant/...",
        "After the optional system message, conversation roles must alternate user and assistant roles except for",
        "Unexpected role 'user' after role 'tool'",
    ],
)
async def test_a_server_that_wants_roles_to_alternate_gets_them_so(words: str, endpoint: Endpoint) -> None:
    """A helper's question follows the user's turn, or a tool's result, as one more turn of the user."""
    part = {"type": "text", "text": "c"}
    roles = ("system", "user", "user", "assistant", "tool", "user", "user")
    contents = ("s", "a", "b", "x", "{}", [part], "d")
    history = tuple({"role": role, "content": said} for role, said in zip(roles, contents, strict=True))
    wanted = [
        *({"role": "system", "content": "s"}, {"role": "user", "content": "a\n\nb"}, history[3], history[4]),
        {"role": "assistant", "content": "Understood."},
        {"role": "user", "content": [part, {"type": "text", "text": "d"}]},
    ]
    endpoint.answer = lambda asked: said("yes") if asked["messages"] == wanted else (400, {"error": {"message": words}})
    async with chat_client(endpoint, "openai", retries=0) as model:
        for _ in range(2):
            assert (await model.complete(ChatRequest(messages=history, role="helper:TSA"))).text == "yes"
        assert len(endpoint.asked) == 3 and endpoint.asked[0]["messages"] == list(history)
        with pytest.raises(ModelError, match="[Rr]ole"):
            await model.complete(ChatRequest(messages=history[:2], role="helper:TSA"))


async def test_an_agent_that_speaks_first_is_greeted_where_roles_are_to_alternate(endpoint: Endpoint) -> None:
    """As in tau2's episodes."""
    roles = ("system", "assistant", "user")
    history = tuple({"role": role, "content": f"{role} speaks"} for role in roles)
    wanted = [history[0], {"role": "user", "content": "Hello."}, *history[1:]]
    refused = (400, {"error": {"message": "Conversation roles must alternate user/assistant/user/assistant/..."}})
    endpoint.answer = lambda asked: said("yes") if asked["messages"] == wanted else refused
    async with chat_client(endpoint, "openai", retries=0) as model:
        assert (await model.complete(ChatRequest(messages=history, role="agent"))).text == "yes"


async def test_what_a_server_contests_is_put_otherwise_in_the_order_of_its_words(endpoint: Endpoint) -> None:
    """Of a system message and an agent that speaks first the other order makes another prompt."""
    history = tuple({"role": role, "content": role[0]} for role in ("system", "assistant", "user"))
    words = ["Conversation roles must alternate", "System role not supported", ""]
    endpoint.answer = lambda asked: (400, {"error": {"message": words.pop(0)}}) if words[0] else said("yes")
    async with chat_client(endpoint, "openai", retries=0) as model:
        for _ in range(2):
            await model.complete(ChatRequest(messages=history, role="agent"))
    first = {"role": "user", "content": "s\n\nHello."}
    assert [asked["messages"] for asked in endpoint.asked[2:]] == [[first, *history[1:]]] * 2


@pytest.mark.parametrize(
    ("second", "wanted"),
    [
        ({"role": "user", "content": "a"}, [{"role": "user", "content": "s\n\na"}]),
        (
            {"role": "assistant", "content": "a"},
            [{"role": "user", "content": "s"}, {"role": "assistant", "content": "a"}],
        ),
    ],
)
async def test_a_server_without_a_role_of_the_system_reads_it_in_the_users_turn(
    second: dict[str, Any], wanted: list[dict[str, Any]], endpoint: Endpoint
) -> None:
    refused = (400, {"error": {"message": "System role not supported"}})
    endpoint.answer = lambda asked: said("yes") if asked["messages"] == wanted else refused
    async with chat_client(endpoint, "openai", retries=0) as model:
        for _ in range(2):
            messages = ({"role": "system", "content": "s"}, second)
            assert (await model.complete(ChatRequest(messages=messages, role="agent"))).text == "yes"
        assert len(endpoint.asked) == 3
        with pytest.raises(ModelError, match="System role not supported"):
            await model.complete(ChatRequest(messages=(second, second), role="agent"))
