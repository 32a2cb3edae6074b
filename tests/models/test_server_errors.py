"""Error bodies of real servers: their words, whether trying again helps, and how long they ask to wait."""

import email.utils
import json
import logging
import time
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fama.models.base import CallFailed, ChatRequest, Sampling
from fama.models.client import ContextOverflow, OpenAIChat
from fama.models.server_errors import error_words, is_final, is_overflow, parse_error_body, wait_hint
from tests.support.fake_endpoint import Answer, Endpoint, said

ASK = ChatRequest(messages=({"role": "user", "content": "hi"},), role="agent", sampling=Sampling(max_tokens=9))
NESTED = json.dumps({"error": {"message": "the GPU fell off"}})

WORDS: dict[str, tuple[Any, str]] = {
    "vllm, old": (
        {"object": "error", "message": "no such model", "type": "NotFoundError", "code": 404},
        "no such model",
    ),
    "vllm, new": ({"error": {"message": "no such model", "type": "NotFoundError", "code": 404}}, "no such model"),
    "sglang": ({"object": "error", "message": "too busy", "param": None, "code": 503}, "too busy"),
    "tgi": ({"error": "Model is overloaded", "error_type": "overloaded"}, "Model is overloaded"),
    "llama.cpp": ({"error": {"code": 503, "message": "Loading model", "type": "unavailable_error"}}, "Loading model"),
    "ollama": ({"error": "model 'x' not found"}, "model 'x' not found"),
    "litellm": ({"error": {"message": "litellm.APIError: down", "code": "500"}}, "litellm.APIError: down"),
    "openrouter": (
        {"error": {"message": "Provider returned error", "code": 502, "metadata": {"raw": NESTED}}},
        "Provider returned error; the GPU fell off",
    ),
    "azure": ({"error": {"code": "content_filter", "message": "filtered", "innererror": {"code": "x"}}}, "filtered"),
    "fastapi": ({"detail": "Not authenticated"}, "Not authenticated"),
    "fastapi, list": ({"detail": [{"loc": ["body", "messages"], "msg": "required"}]}, "body.messages: required"),
    "gemini": ([{"error": {"code": 400, "message": "API key not valid"}}], "API key not valid"),
    "a list of errors": ({"errors": [{"message": "one"}, {"message": "two"}]}, "one; two"),
    "upper case": ({"Message": "no"}, "no"),
    "a flag beside it": ({"error": True, "message": "no"}, "no"),
    "wenxin": ({"error_code": 17, "error_msg": "daily limit"}, "daily limit"),
    "errmsg": ({"errcode": 3, "errmsg": "no"}, "no"),
    "oauth": ({"error": "invalid_client", "error_description": "no such key"}, "invalid_client; no such key"),
    "lists of words": ({"error": {"message": ["one", "two"]}}, "one; two"),
    "exception": ({"exception": "the GPU fell off", "traceback": "..."}, "the GPU fell off"),
    "text": ("upstream connect error", "upstream connect error"),
    "no words": ({"error": {"code": 7}}, '{"error": {"code": 7}}'),
    "nothing": ({}, ""),
}


@pytest.mark.parametrize("server", WORDS)
def test_the_servers_own_words(server: str) -> None:
    body, words = WORDS[server]
    assert error_words(body) == words


def test_bodies_that_are_no_json() -> None:
    page = "<html><style>p {}</style><h1>502</h1>\n<p>Bad gateway</p></html>"
    assert error_words(parse_error_body(page)) == "502 Bad gateway" and parse_error_body('{"a": 1}') == {"a": 1}
    assert len(error_words("x" * 5000)) == 300


@pytest.mark.parametrize(
    "words",
    [
        "This model's maximum context length is 4096 tokens. However, you requested 5000 tokens",
        "max_tokens must be at least 1, got -12.",
        "The decoder prompt (length 5000) is longer than the maximum model length of 4096.",
        "Input prompt (9 tokens) is too long and exceeds limit of 4",
        "The input (9000 tokens) is longer than the model's context length (8192 tokens).",
        "Input length (5000 tokens) exceeds the maximum allowed length (4096 tokens).",
        "Input validation error: `inputs` tokens + `max_new_tokens` must be <= 4096. Given: 9",
        "Input validation error: `inputs` must have less than 1024 tokens. Given: 9000",
        "request (9 tokens) exceeds the available context size (4 tokens)",
        "prompt too long; exceeded max context length by 5 tokens",
        "The input token count (9) exceeds the maximum number of tokens allowed (4).",
        "prompt is too long: 9 tokens > 4 maximum",
        "Input is too long for requested model.",
        "too many tokens: total number of tokens in the prompt cannot exceed 4081",
        "Please reduce the length of the messages or completion.",
        "This model's maximum prompt length is 4 but the request contains 9 tokens.",
        "Your request exceeded model token limit: 131072",
        "Range of input length should be [1, 6000]",
        "context shift is disabled",
        "failed to find free space in the KV cache, retrying with smaller batch size",
        "default_max_tokens (-9) must be greater than 0, (-9) = max_seq_len (4) - splited_prompt_len (13)",
        "The input length is greater than the session length",
        "Prompt length 9 is greater than max_seq_len 4",
        "the input token count is 9 but model only supports up to 4.",
        "invalid params, context window exceeds limit",
        "Prompt \u8d85\u957f",
    ],
)
def test_a_full_context_is_recognised(words: str) -> None:
    assert is_overflow(400, f"HTTP 400: {words}")


@pytest.mark.parametrize(
    ("status", "words"),
    [
        (429, "Rate limit: too many tokens per minute"),
        (401, "no key for the context window service"),
        (400, "max_tokens must be at least 1, got 5.5"),
        (400, "temperature is too long a word"),
        (400, "max_tokens must be at most 4096"),
        (400, "function name too long: max length 64"),
        (429, "Too many tokens, please wait before trying again."),
        (413, "Request too large for model x on tokens per minute (TPM): Limit 6000, Requested 7000"),
    ],
)
def test_other_limits_are_no_full_context(status: int, words: str) -> None:
    assert not is_overflow(status, words)


@pytest.mark.parametrize(
    ("status", "body", "final"),
    [
        (400, {}, True),
        (401, {}, True),
        (402, {}, True),
        (403, {}, True),
        (404, {}, True),
        (408, {}, False),
        (429, {}, False),
        (500, {}, False),
        (529, {}, False),
        (429, {"error": {"code": "insufficient_quota"}}, True),
        (429, {"error": {"type": "insufficient_quota", "code": None}}, True),
        (502, {"error": {"code": "invalid_api_key"}}, True),
        (429, {"error": {"status": "RESOURCE_EXHAUSTED", "message": "You exceeded your current quota"}}, False),
        (429, {"error": {"type": "invalid_request_error", "code": "rate_limit_exceeded"}}, False),
        (429, {"error": {"type": "invalid_request_error", "code": "insufficient_quota"}}, True),
        (429, {"error": {"type": "billing_error"}}, True),
        (429, {"error": {"message": "Budget has been exceeded!", "type": "budget_exceeded", "code": "429"}}, True),
        (502, {"error": {"type": "invalid_request_error", "code": "rate_limit_exceeded"}}, False),
        (502, {"error": {"type": "invalid_request_error", "code": "TooManyRequests"}}, False),
        (502, {"error": {"type": "invalid_request_error", "code": None}}, True),
        (400, {"error": {"type": "invalid_request_error", "code": "rate_limit_exceeded"}}, True),
    ],
)
def test_what_trying_again_cannot_help(status: int, body: Any, final: bool) -> None:
    assert is_final(status, body) is final


@pytest.mark.parametrize(
    ("code", "final"), [("invalid_request_error", False), ("not_found", False), ("insufficient_quota", True)]
)
def test_a_wait_of_the_headers_wins_over_a_type_that_refuses(code: str, final: bool) -> None:
    assert is_final(503, {"error": {"type": code}}, wait=1.0) is final


@pytest.mark.parametrize(
    ("headers", "body", "seconds"),
    [
        ({"retry-after": "3"}, {}, 3.0),
        ({"retry-after": "0.5"}, {}, 0.5),
        ({"retry-after-ms": "250"}, {}, 0.25),
        ({"retry-after-ms": "250", "retry-after": "9"}, {}, 0.25),
        ({"retry-after": "soon"}, {}, None),
        ({"retry-after": "-3"}, {}, None),
        ({"retry-after": "inf"}, {}, None),
        ({"retry-after": "Thu, 01 Jan 1970 00:00:00 GMT"}, {}, 0.0),
        ({"x-ms-retry-after-ms": "250"}, {}, 0.25),
        ({"retry-after": "2s"}, {}, 2.0),
        ({"retry-after": "1m30s"}, {}, 90.0),
        ({"retry-after": "1970-01-01T00:00:00+00:00"}, {}, 0.0),
        ({"retry-after": "nan"}, {}, None),
        ({}, [{"error": {"details": [{"retryDelay": "6s"}]}}], 6.0),
        ({}, {"error": {"details": [{"retryDelay": {"seconds": "7"}}]}}, 7.0),
        ({}, {"retryAfterSeconds": 3}, 3.0),
        ({}, {"error": "Model is currently loading", "estimated_time": 20.0}, 20.0),
        ({}, {"error": {"metadata": {"headers": {"X-RateLimit-Reset": "1000000000000"}}}}, 0.0),
        ({}, {"error": {"metadata": {"headers": {"X-RateLimit-Reset": "9"}}}}, 9.0),
        ({}, {"error": {"message": "Please wait 5 seconds"}}, 5.0),
        ({}, {"error": {"message": "Expected available in 20 seconds."}}, 20.0),
        ({}, {"retryDelay": "1.5s"}, 1.5),
        ({}, {"retry_after": 7}, 7.0),
        ({}, {"error": {"metadata": {"retry_after_ms": 1500}}}, 1.5),
        ({}, {"error": {"message": "Rate limit reached. Please try again in 20s."}}, 20.0),
        ({}, {"error": {"message": "Please try again in 1m30s"}}, 90.0),
        ({}, {"error": {"message": "try again in 250ms."}}, 0.25),
        ({}, {"error": {"message": "Please retry in 6.2s."}}, 6.2),
        ({}, {"error": {"message": "try again later"}}, None),
        ({}, {"error": {"message": "slow down", "retry_after": True}}, None),
    ],
)
def test_how_long_to_wait(headers: dict[str, str], body: Any, seconds: float | None) -> None:
    assert wait_hint(headers, body) == seconds


def test_a_date_to_wait_for() -> None:
    hint = wait_hint({"retry-after": email.utils.formatdate(time.time() + 60, usegmt=True)}, {})
    assert hint is not None and 50 < hint <= 60


values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=20),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(
            st.sampled_from(
                ["error", "message", "detail", "code", "retryDelay", "metadata", "raw", "loc", "msg", "type"]
            ),
            inner,
            max_size=4,
        )
    ),
)


@given(values, st.integers(400, 599))
def test_any_body_has_one_line(body: Any, status: int) -> None:
    words = error_words(body)
    assert "\n" not in words and len(words) <= 300 and words.encode("utf-8") is not None
    is_overflow(status, words, body)
    is_final(status, body)
    hint = wait_hint({}, body)
    assert hint is None or hint >= 0


def client(endpoint: Endpoint, **more: Any) -> OpenAIChat:
    options: dict[str, Any] = {"retries": 2, "backoff": 0.01, "timeout": 10.0, "trust_env": False, **more}
    return OpenAIChat("m", endpoint.base_url, **options)


async def test_a_wait_that_the_server_asks_for_is_kept(endpoint: Endpoint) -> None:
    endpoint.answers = [(429, [{"error": {"message": "slow", "details": [{"retryDelay": "0.4s"}]}}]), said("fine")]
    start = time.perf_counter()
    async with client(endpoint) as model:
        assert (await model.complete(ASK)).text == "fine"
    assert time.perf_counter() - start >= 0.4


async def test_a_wait_beyond_the_timeout_ends_the_call_at_once(endpoint: Endpoint) -> None:
    endpoint.answers, endpoint.more_headers = [(429, {"error": {"message": "slow"}})], {"retry-after": "3600"}
    start = time.perf_counter()
    async with client(endpoint) as model:
        with pytest.raises(CallFailed, match="slow; the server asks to wait 3600 s, more than model.timeout allows"):
            await model.complete(ASK)
    assert time.perf_counter() - start < 5 and len(endpoint.asked) == 1


@pytest.mark.parametrize("status", [429, 503, 200])
async def test_a_rate_limit_of_the_type_of_a_wrong_request_is_tried_again(endpoint: Endpoint, status: int) -> None:
    error = {"message": "Rate limit reached", "type": "invalid_request_error", "code": "rate_limit_exceeded"}
    endpoint.answers = [(status, {"error": error}), said("fine")]
    endpoint.more_headers = {"retry-after": "0.01"}
    async with client(endpoint) as model:
        assert (await model.complete(ASK)).text == "fine"
    assert len(endpoint.asked) == 2


@pytest.mark.parametrize(
    "answer",
    [
        (429, {"error": {"message": "You exceeded your current quota", "code": "insufficient_quota"}}),
        (200, {"error": {"message": "No auth credentials found", "code": 401}}),
        (200, {"error": {"message": "bad key", "code": "invalid_api_key"}}),
    ],
)
async def test_a_refused_key_is_asked_once(endpoint: Endpoint, answer: Answer) -> None:
    endpoint.answers = [answer]
    async with client(endpoint) as model:
        with pytest.raises(CallFailed, match="quota|auth|key"):
            await model.complete(ASK)
    assert len(endpoint.asked) == 1


async def test_a_full_context_inside_a_200(endpoint: Endpoint) -> None:
    endpoint.answers = [(200, {"error": {"message": "maximum context length is 4096 tokens", "code": 400}})]
    async with client(endpoint) as model:
        with pytest.raises(ContextOverflow, match="raise model.context_tokens, or at a base_url the server's own"):
            await model.complete(ASK)
    assert len(endpoint.asked) == 1


def failed(usage: Any) -> Answer:
    choice = {"finish_reason": "error", "message": {"content": ""}, "error": {"code": 502, "message": "Upstream died"}}
    return 200, {"choices": [choice], "usage": usage}


async def test_failed_tries_that_were_billed_stay_in_the_bill(endpoint: Endpoint) -> None:
    usage = {"prompt_tokens": 10, "completion_tokens": 2}
    endpoint.answers = [failed(usage), failed(None), said("fine", usage=usage)]
    async with client(endpoint) as model:
        row = (await model.complete(ASK)).usage
        assert (row.input_tokens, row.output_tokens, row.parsed) == (20, 4, True)
        endpoint.answers = [failed(usage)]
        with pytest.raises(CallFailed, match="Upstream died; gave up after 3 tries") as caught:
            await model.complete(ASK)
    (billed,) = caught.value.billed
    assert (billed.input_tokens, billed.output_tokens, billed.parsed, billed.role) == (30, 6, False, "agent")


async def test_unknown_counts_are_estimated_for_budgets_and_told_once(
    endpoint: Endpoint, caplog: pytest.LogCaptureFixture
) -> None:
    endpoint.answers = [said("Hello there.")]
    with caplog.at_level(logging.WARNING):
        async with client(endpoint) as model:
            rows = [(await model.complete(ASK)).usage for _ in range(2)]
            endpoint.answers = [(200, {"choices": [{"finish_reason": "length", "message": {"content": "Hel"}}]})]
            cut = (await model.complete(ASK)).usage
    assert all(row.total_tokens is None and (row.estimated_tokens or 0) >= 10 for row in rows)
    assert cut.budget_tokens >= ASK.sampling.max_tokens
    assert caplog.text.count("reports no token counts") == 1
