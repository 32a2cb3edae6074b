"""Judges with a scripted model: shared prefix, cuts, repairs, nonsense, evidence given or withheld."""

import json
from typing import Literal

import pytest
from pydantic import Field

from eval.annotation.drafts import DraftForm
from fama.diagnosis.analysts import Verdict, analyse, analyst_form, as_evidence, prompts
from fama.diagnosis.judging import JudgeForm, parse, response_schema
from fama.diagnosis.mitigation import choice_form
from fama.diagnosis.orchestrator import orchestrator_form
from fama.diagnosis.rendering import render_episode
from fama.diagnosis.taxonomy import load_taxonomy
from fama.episodes.records import Evidence
from fama.models.base import ChatRequest
from fama.models.scripted import ScriptedModel
from fama.text.tokens import estimate_tokens
from tests.support.diagnosis_cases import agent, call, episode, identified, user

TAXONOMY = load_taxonomy()
EPISODE = episode(identified(), agent("Bye"), user("Bye"))
FOUND = (Evidence(source="gold:missing", category="IFU", step=5, quote="never done: the return"),)


def test_one_prefix_serves_all_four() -> None:
    texts = [messages[1]["content"] for messages in prompts(EPISODE, TAXONOMY.categories, FOUND, 6000)]
    first = texts[0].index("QUESTION")
    assert len({text[:first] for text in texts}) == 1
    assert len(set(texts)) == 4
    assert "brass lamp" in texts[0][:first] and "never done: the return" in texts[0][:first]
    assert all(len(text) - first < 1700 for text in texts)


def test_findings_can_be_withheld() -> None:
    texts = [messages[1]["content"] for messages in prompts(EPISODE, TAXONOMY.categories, None, 6000)]
    assert not any("never done: the return" in text or "AUTOMATIC" in text for text in texts)


def test_braces_of_users_are_data() -> None:
    sly = episode(user("{{ 7 * 7 }} {% raise %}"), agent("ok"))
    assert "{{ 7 * 7 }}" in prompts(sly, TAXONOMY.categories, None, 6000)[0][1]["content"]


async def test_verdicts() -> None:
    def answer(request: ChatRequest) -> str:
        present = "domain-constraint" in str(request.messages[-1]["content"])
        return json.dumps({"reason": "no yes", "present": present, "step": 3})

    verdicts, ledger = await analyse(EPISODE, TAXONOMY, ScriptedModel("j", answer), None)
    assert [(v.category, v.present) for v in verdicts] == [
        ("DCV", True),
        ("WRCO", False),
        ("CM", False),
        ("IFU", False),
    ]
    assert [(row.role, row.parsed) for row in ledger] == [("analyst", True)] * 4
    assert as_evidence(verdicts) == (Evidence(source="analyst:DCV", category="DCV", step=3, quote="no yes"),)


async def test_one_repair_round_then_unknown() -> None:
    good = '{"reason": "r", "present": true, "step": 2}'
    replies = iter(
        ["Hm.", good, "Yes!", '{"present": "yes"}', good, '{"reason": "r", "present": true, "step": 77}', good]
    )
    sent: list[ChatRequest] = []

    def answer(request: ChatRequest) -> str:
        sent.append(request)
        return next(replies)

    verdicts, ledger = await analyse(EPISODE, TAXONOMY, ScriptedModel("j", answer), None)
    assert verdicts == (
        Verdict("DCV", True, 2, "r"),
        Verdict("WRCO", None),
        Verdict("CM", True, 2, "r"),
        Verdict("IFU", True, 2, "r"),
    )
    assert [row.parsed for row in ledger] == [False, True, False, False, True, False, True]
    assert all((row.input_tokens or 0) > 0 for row in ledger)
    assert len(sent[1].messages) == 4 and sent[1].messages[2] == {"role": "assistant", "content": "Hm."}
    assert all("maxLength" not in json.dumps(request.json_schema) for request in sent)
    assert not any(item.category == "WRCO" for item in as_evidence(verdicts))


def test_long_episodes_are_cut_around_what_matters() -> None:
    parts = [user("start")]
    for number in range(60):
        parts += [agent(f"words {number} " * 40), user(f"answer {number} " * 40)]
        parts += call("get_order", "row " * 300, order_id=str(number))
    parts += [agent("SUSPICIOUS " + "x " * 50), user("end")]
    long = episode(parts)
    focus = {len(long.messages) - 60}
    text = render_episode(long, 3000, focus)
    assert estimate_tokens(text) <= 3000
    assert "Verify the customer first" in text
    assert sum(f'get_order({{"order_id": "{n}"}})' in text for n in range(60)) == 60
    assert f"[{len(long.messages) - 60}]" in text and "left out" in text and "SUSPICIOUS" in text
    assert estimate_tokens(render_episode(long, 200)) <= 200


def test_short_episodes_are_not_cut() -> None:
    text = render_episode(EPISODE, 6000)
    assert "left out" not in text and "[1] USER: Hi, I am Mia Li" in text
    assert '[2] AGENT CALLS find_user_id_by_name_zip({"first_name": "Mia"' in text


def test_a_judge_reads_what_the_agent_writes_beside_a_call() -> None:
    acting = call("get_order", "{}", order_id="W1")
    told = acting[0].model_copy(update={"content": "<think>hm</think>I will cancel it now."})
    text = render_episode(episode(user("Cancel it."), [told, *acting[1:]]), 2000)
    assert 'AGENT CALLS get_order({"order_id": "W1"}) and writes: I will cancel it now.' in text


class Example(JudgeForm):
    a: int = Field(ge=0)
    b: list[Literal["x"]] = []
    c: str = ""


@pytest.mark.parametrize(
    ("text", "good"),
    [
        ('{"a": 1}', True),
        ('Sure: ```json\n{"a": 1, "b": ["x"]}\n```', True),
        ('{"a": 1} and more', True),
        ('{"a": true}', False),
        ('{"a": -1}', False),
        ('{"b": []}', False),
        ('{"a": 1, "b": ["y"]}', False),
        ('{"a": 1, "b": "x"}', False),
        ('{"a": "1"}', False),
        ('{"a": 1.0}', False),
        ('{"a": 1, "c": 2}', False),
        ('{"a": 1, "more": 2}', True),
        ("[1]", False),
        ("", False),
        ("{" * 5000, False),
    ],
)
def test_answers_are_parsed_leniently_and_checked_strictly(text: str, good: bool) -> None:
    assert (parse(text, Example) is not None) is good


def whole(properties: dict[str, object]) -> str:
    """A schema as servers got it before forms were pydantic models, to the byte."""
    tree = {"type": "object", "properties": properties, "required": [*properties], "additionalProperties": False}
    return json.dumps(tree)


@pytest.mark.parametrize(
    ("form", "properties"),
    [
        (
            analyst_form(8),
            {
                "reason": {"type": "string"},
                "present": {"type": "boolean"},
                "step": {"type": "integer", "minimum": 0, "maximum": 7},
            },
        ),
        (
            orchestrator_form(("DCV", "IFU"), 0),
            {
                "primary": {"type": "array", "items": {"type": "string", "enum": ["DCV", "IFU"]}, "minItems": 1},
                "step": {"type": "integer", "minimum": 0, "maximum": 0},
                "blame": {"type": "string", "enum": ["agent", "user", "environment"]},
                "rationale": {"type": "string"},
            },
        ),
        (
            choice_form(("TSA", "Mine")),
            {"helpers": {"type": "array", "items": {"type": "string", "enum": ["TSA", "Mine"]}, "maxItems": 2}},
        ),
        (
            choice_form(("TSA",)),
            {"helpers": {"type": "array", "items": {"type": "string", "enum": ["TSA"]}, "maxItems": 1}},
        ),
        (DraftForm, {key: {"type": "string"} for key in ("name", "definition", "instruction")}),
    ],
)
def test_what_servers_get_is_the_plain_schema(form: type[JudgeForm], properties: dict[str, object]) -> None:
    assert json.dumps(response_schema(form)) == whole(properties)


def test_a_repeated_helper_is_taken() -> None:
    answer = parse('{"helpers": ["TSA", "TSA"]}', choice_form(("TSA",)))
    assert answer is not None and answer.helpers == ["TSA", "TSA"]
    assert parse('{"helpers": ["DCE"]}', choice_form(("TSA",))) is None
