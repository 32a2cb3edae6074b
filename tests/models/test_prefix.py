"""Questions at the end of the agent's request: how they are put to servers that continue a prefill and to others."""

from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fama.models.base import ChatReply
from fama.models.cache import CachedChat
from fama.models.client import Flavour, OpenAIChat
from fama.models.connect import connect
from fama.models.prefill import Prefill
from fama.models.prefix import AgentRequest, Question, continues_prefill
from fama.models.scripted import ECHO, scripted_usage
from fama.models.wire import build_body
from fama.settings import ModelSettings
from tests.support.fake_endpoint import Endpoint, said

OWN = AgentRequest(
    ({"role": "system", "content": "Be kind."}, {"role": "user", "content": "Customer: hi"}),
    ({"type": "function", "function": {"name": "close", "parameters": {}}},),
)
QUESTION = Question.parse("Which rule?\n\nAnswer none if none.\nRule:\n", 60)

TEXTS = st.lists(st.sampled_from(["\n", "You", '"', "\\", "1.", " ", "n", "é"]), max_size=30).map("".join) | st.text(
    max_size=80
)


def client(flavour: Flavour, prefill: Prefill | None = None, url: str = "http://127.0.0.1:9/v1") -> OpenAIChat:
    return OpenAIChat("m", url, flavour=flavour, prefill=prefill, trust_env=False)


def test_the_last_line_of_a_template_is_the_opening() -> None:
    assert QUESTION == Question("Which rule?\n\nAnswer none if none.", "Rule:", 60)


@pytest.mark.parametrize(
    ("flavour", "prefill", "kind"),
    [
        ("llama.cpp", None, "message"),
        ("vllm", None, "flag"),
        ("openai", None, "words"),
        ("openai", "message", "message"),
        ("openai", "flag", "flag"),
        ("llama.cpp", "words", "words"),
    ],
)
def test_an_opening_is_a_prefill_where_the_server_continues_one(
    flavour: Flavour, prefill: Prefill | None, kind: str
) -> None:
    model = client(flavour, prefill)
    request = QUESTION.put_to(model, OWN, "helper:DCE", seed=3, trial=1)
    assert (request.role, request.seed, request.trial, request.tools) == ("helper:DCE", 3, 1, OWN.tools)
    body = build_body(request, "m", flavour, "", prefill)
    turns: list[dict[str, Any]] = body["messages"]
    assert turns[:2] == list(OWN.messages) and body["tools"] == list(OWN.tools)
    if kind == "words":
        (turn,) = turns[2:]
        assert turn["role"] == "user" and turn["content"].endswith("exactly this: Rule:")
    else:
        question, opening = turns[2:]
        assert question == {"role": "user", "content": QUESTION.text}
        assert opening == {"role": "assistant", "content": "Rule:"}
    told = body.get("extra_body", {}).get("continue_final_message")
    assert told is (True if kind == "flag" else None)


@pytest.mark.parametrize(("prefill", "text"), [("words", " ask first"), ("message", "Rule: ask first")])
async def test_the_setting_reaches_the_connection(
    endpoint: Endpoint, prefill: Prefill, text: str, tmp_path: Path
) -> None:
    endpoint.answers = [said(" ask first")]
    settings = ModelSettings(name="served", base_url=endpoint.base_url, prefill=prefill, cache=str(tmp_path))
    async with connect(settings) as model:
        assert continues_prefill(model) is (prefill == "message")
        reply = await model.complete(QUESTION.put_to(model, OWN, "helper:DCE"))
    assert reply.text == text and QUESTION.answer(reply) == "ask first"
    assert len(endpoint.asked[0]["messages"]) == (3 if prefill == "words" else 4)


def test_models_that_do_not_say_continue_a_prefill_and_a_cache_says_what_its_model_does(tmp_path: Path) -> None:
    assert continues_prefill(ECHO)
    assert not continues_prefill(CachedChat(client("openai"), tmp_path))
    assert continues_prefill(CachedChat(client("vllm"), tmp_path))


@given(
    contents=st.lists(TEXTS, max_size=5),
    text=TEXTS,
    tools=st.booleans(),
    words=st.booleans(),
)
def test_the_estimate_is_not_below_the_cost(contents: list[str], text: str, tools: bool, words: bool) -> None:
    own = AgentRequest(tuple({"role": "user", "content": content} for content in contents), OWN.tools if tools else ())
    question = Question(text, "Rule:", 9)
    request = question.put_to(client("openai" if words else "vllm"), own, "selector")
    usage = scripted_usage("m", request, request.prefill + " a" * 9)
    assert (usage.total_tokens or 0) <= own.most_tokens() + question.most_tokens()


def test_an_answer_is_read_without_thought_and_opening() -> None:
    usage = scripted_usage("m", QUESTION.put_to(ECHO, OWN, "x"), "")
    assert QUESTION.answer(ChatReply("Rule: <think>hm</think> rule: ask first ", usage)) == "ask first"


def test_encoded_media_are_not_counted_as_words() -> None:
    image = "A" * 200_000

    def tokens(*parts: dict[str, Any]) -> int:
        return AgentRequest(({"role": "user", "content": [{"type": "text", "text": "See."}, *parts]},)).most_tokens()

    plain = tokens()
    shown = {"type": "image_url", "image_url": {"url": f"data:image/png;base64,{image}", "detail": "high"}}
    other = {"type": "image", "source": {"type": "base64", "media_type": "image/png", "data": image}}
    sound = {"type": "input_audio", "input_audio": {"data": image, "format": "wav"}}
    assert 1_600 < tokens(shown) - plain < 1_700
    assert all(3_100 < tokens(part) - plain < 3_200 for part in (other, sound))
    assert tokens(shown, shown) - tokens(shown) == tokens(shown) - plain
    assert tokens({"type": "text", "text": image}) - plain > 50_000, "words, if strange ones"
    small = {"type": "image_url", "image_url": {"url": "https://example.org/a.png"}}
    assert tokens(small) - plain < 60
