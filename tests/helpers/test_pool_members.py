"""A pool with several forms of a helper: names, forms, options, what is billed to whom, and what is refused."""

import asyncio
from pathlib import Path
from typing import Any

import pytest

from fama.agents.injection import collect_notes
from fama.agents.runs.run_config import run_prompts
from fama.config import load_settings
from fama.diagnosis.taxonomy import Category, Taxonomy
from fama.episodes.records import LedgerRow, Note
from fama.errors import BadInput
from fama.helpers.base import HELPERS, Helper, HelperContext, HelperReply, form_of, on_prefix, reads_notes
from fama.helpers.member import FormMember
from fama.helpers.pool import build_pool, declared_pool
from fama.models.base import CallFailed
from fama.models.prefix import AgentRequest
from fama.models.scripted import ScriptedModel
from fama.settings import Form, HelperSettings, RunSettings
from tests.support.note_states import Chat

POOL = ("TSA", "TSA:template", "Verifier")


def pool_of(*names: str, **changes: Any) -> dict[str, Helper]:
    return build_pool(HelperSettings(pool=names, **changes))


def forms(pool: dict[str, Helper]) -> dict[str, str | None]:
    return {name: form_of(helper) for name, helper in pool.items()}


def test_a_name_takes_the_pools_form_and_a_suffix_states_it() -> None:
    assert forms(pool_of(*POOL, form="llm")) == {"TSA": "llm", "TSA:template": "template", "Verifier": "llm"}
    assert forms(pool_of(*POOL, forms={"TSA": "separate"})) == {
        "TSA": "separate",
        "TSA:template": "template",
        "Verifier": "template",
    }
    every = pool_of("DCE:template", "DCE:llm", "DCE:separate")
    assert forms(every) == {"DCE:template": "template", "DCE:llm": "llm", "DCE:separate": "separate"}
    assert [helper.name for helper in every.values()] == list(every)
    assert [on_prefix(helper) for helper in every.values()] == [False, True, False]
    assert [reads_notes(helper) for helper in every.values()] == [True, False, False]
    plain = pool_of("DCE", form="llm")["DCE"]
    stated = every["DCE:llm"]
    assert (stated.covers, stated.token_cap, stated.cost_cap) == (plain.covers, plain.token_cap, plain.cost_cap)


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        ({"Keeps": {"k": 1}}, [("llm", {"k": 1}), ("template", {"k": 1})]),
        ({"Keeps:template": {"k": 1}}, [("llm", {}), ("template", {"k": 1})]),
        ({"Keeps": {"k": 3}, "Keeps:template": {"k": 1}}, [("llm", {"k": 3}), ("template", {"k": 1})]),
    ],
)
def test_options_of_a_member_fall_back_on_its_helpers(
    options: dict[str, dict[str, int | str]], expected: list[tuple[str, dict[str, int]]]
) -> None:
    built: list[tuple[Form, dict[str, int | str]]] = []

    def build(form: Form = "template", **given: int | str) -> Helper:
        built.append((form, given))
        helper = Failing()
        helper.name = "Keeps"
        return helper

    HELPERS.add("Keeps", build)
    try:
        pool_of("Keeps:llm", "Keeps:template", options=options)
    finally:
        HELPERS.remove("Keeps")
    assert built == expected


def test_both_forms_are_asked_under_their_own_names() -> None:
    pool = pool_of("TSA:llm", "TSA:template", form="llm")
    chat = Chat().verified("I want to renew my loans.")
    model = ScriptedModel("m", lambda request: "list_loans")
    request = AgentRequest(({"role": "user", "content": "I want to renew my loans."},))
    ledger: list[LedgerRow] = []
    noted = asyncio.run(collect_notes(chat.state(), ("TSA:llm",), pool, model, 0, ledger, request=request))
    assert [row.role for row in ledger] == ["helper:TSA:llm"]
    assert [note.helper for note in noted.passed] == ["TSA:llm"] and not noted.rejected
    noted = asyncio.run(collect_notes(chat.state(), ("TSA:template",), pool, model, 0, ledger))
    assert len(ledger) == 1 and {note.helper for note in noted.passed} <= {"TSA:template"}


async def test_what_a_helper_said_in_one_form_it_does_not_say_again_in_another() -> None:
    pool = pool_of(*POOL, form="llm")
    chat = Chat().verified("I want to renew my loans.")
    text = (await pool["TSA:template"].note(chat.state(), HelperContext())).text
    assert text is not None
    for _ in range(9):
        chat.noted.append((0, Note(helper="TSA", text=text, tokens=0)))
    assert (await pool["TSA:template"].note(chat.state(), HelperContext())).text != text


class Failing:
    """A plug-in whose call fails after it was billed."""

    name = "Guide"
    covers = frozenset({"CM"})
    token_cap = cost_cap = 10

    async def note(self, state: Any, context: HelperContext) -> HelperReply:
        raise CallFailed("gone", (LedgerRow(role="helper:Guide", model="m"), LedgerRow(role="judge", model="m")))


async def test_a_failed_call_is_billed_to_the_member() -> None:
    member = FormMember(Failing(), "Guide:llm")
    with pytest.raises(CallFailed) as failed:
        await member.note(Chat().state(), HelperContext())
    assert [row.role for row in failed.value.billed] == ["helper:Guide:llm", "judge"]
    assert (form_of(member), member.does, reads_notes(member), on_prefix(member)) == (None, "", True, False)


@pytest.mark.parametrize(
    ("pool", "changes", "message"),
    [
        (["TSA:nonsense"], {}, "'TSA:nonsense': TSA has no form 'nonsense'; the forms are template, llm, separate"),
        (["Nobody:template"], {}, "unknown helper 'Nobody'; known: .*DCE"),
        (["TSA", "TSA"], {}, "'TSA' is listed twice"),
        (["TSA:llm", "TSA:llm"], {}, "'TSA:llm' is listed twice"),
        (["TSA", "TSA:template"], {}, "TSA and TSA:template are one helper in one form, template; leave one out"),
        (["TSA", "TSA:template"], {"forms": {"TSA:template": "llm"}}, "'TSA:template' states its form in its name"),
        (["TSA:template"], {"forms": {"TSA": "llm"}}, "'TSA' is not in the pool"),
        (["TSA:template"], {"options": {"Memory:llm": {"k": 2}}}, "'Memory:llm' is not in the pool"),
        (["TSA:template"], {"options": {"TSA": {"k": 2}}}, "no option 'k'"),
        (["mine.yaml:llm"], {}, "'mine.yaml:llm': a YAML helper has one form, llm; leave :llm out"),
    ],
)
def test_wrong_members_are_refused_in_one_line(pool: list[str], changes: dict[str, Any], message: str) -> None:
    with pytest.raises(BadInput, match=message) as refused:
        pool_of(*pool, **changes)
    assert "\n" not in str(refused.value)


@pytest.mark.parametrize("text", ["[TSA, 'TSA:template']", "[TSA, TSA:template]", '[TSA, "TSA:template"]'])
def test_yaml_reads_a_form_with_and_without_quotes(text: str, tmp_path: Path) -> None:
    expected = ("TSA", "TSA:template")
    assert load_settings(HelperSettings, overrides=[f"pool={text}"]).pool == expected
    file = tmp_path / "c.yaml"
    file.write_text(f"pool: {text}\noptions: {{TSA:template: {{}}}}\n")
    settings = load_settings(HelperSettings, file)
    assert (settings.pool, settings.options) == (expected, {"TSA:template": {}})
    file.write_text("pool:\n- TSA\n- TSA:template\n")
    assert load_settings(HelperSettings, file).pool == expected


def test_a_space_after_the_colon_is_another_thing_and_is_refused() -> None:
    with pytest.raises(BadInput, match="pool.1: Input should be a valid string; got {'TSA': 'template'}"):
        load_settings(HelperSettings, overrides=["pool=[TSA, TSA: template]"])


def test_a_pool_known_by_names_alone_declares_what_its_members_do() -> None:
    pool = declared_pool(POOL)
    assert forms(pool) == {"TSA": "llm", "TSA:template": "template", "Verifier": "template"}
    assert pool["TSA"].covers == pool["TSA:template"].covers
    assert forms(declared_pool(("TSA", "TSA:template", "TSA:llm"))) == {
        "TSA": "separate",
        "TSA:template": "template",
        "TSA:llm": "llm",
    }


def test_a_taxonomy_that_names_a_helper_means_each_of_its_forms() -> None:
    own = Taxonomy(version="1", categories=(Category(code="X", name="x", definition="x", helpers=("TSA",)),))
    assert own.covered_by("TSA:template", frozenset()) == own.covered_by("TSA", frozenset()) == {"X"}
    assert own.covered_by("DCE:template", frozenset()) == frozenset()


def test_a_run_records_the_questions_that_a_member_asks() -> None:
    def questions(*names: str, **changes: Any) -> bool:
        run = RunSettings(helpers=HelperSettings(pool=names, **changes))
        return any(name.startswith("questions/") for name in run_prompts(run))

    assert questions("TSA", "TSA:llm") and questions("TSA:template", form="llm")
    assert not questions("TSA", "Verifier") and not questions("TSA:separate", "TSA:template")
