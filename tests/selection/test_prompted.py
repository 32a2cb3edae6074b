"""Prompted selection with scripted models, nonsense included, on both tracks."""

from dataclasses import replace
from pathlib import Path
from random import Random

import pytest

from fama.agents.preparation import Preparation
from fama.episodes.keys import TaskKey
from fama.episodes.records import Failure, LedgerRow
from fama.episodes.store import write_failures
from fama.errors import BadInput
from fama.models.base import CallFailed, ChatRequest
from fama.models.prefix import AgentRequest
from fama.models.scripted import ScriptedModel
from fama.selection.asking import room_for
from fama.selection.base import SELECTORS, Allowance, AnySelector, Selection, SelectorContext
from fama.selection.budget import Budget, RunBudget
from fama.selection.helper_choice import default_reply_tokens
from fama.selection.selectors.prompted import build
from fama.settings import BudgetSettings
from fama.text.tokens import estimate_tokens
from tests.support.asking import choose
from tests.support.prompted_states import HELPERS, KEY, STATE


def context(model: ScriptedModel | None, failures: dict[str, Failure] | None = None) -> SelectorContext:
    return SelectorContext(helpers=HELPERS, model=model, failures=failures)


async def select(selector_context: SelectorContext, tokens: int | None = None, **options: object) -> Selection:
    selector = build(selector_context, **options)
    return await choose(selector, STATE, tokens, KEY)


async def test_one_call_chooses_in_pool_order() -> None:
    sent: list[ChatRequest] = []

    def answer(request: ChatRequest) -> str:
        sent.append(request)
        return '{"helpers": ["Memory", "DCE", "DCE"]}'

    chosen = await select(context(ScriptedModel("m", answer)))
    assert chosen.subset == ("DCE", "Memory") and chosen.propensity == 1.0
    assert chosen.probabilities == {"DCE": 0.9, "TSA": 0.1, "Memory": 0.9}
    assert [(row.role, row.parsed, row.turn) for row in chosen.ledger] == [("selector", True, 3)]
    (request,) = sent
    text = str(request.messages[-1]["content"])
    assert request.sampling.max_tokens == default_reply_tokens(tuple(HELPERS)) and request.json_schema is not None
    assert "get_order" in text and "cancel the other {{ 7 * 7 }}" in text and "old words" not in text
    assert estimate_tokens(text) < 700


@pytest.mark.parametrize("reply", ["", "I would ask DCE.", '{"helpers": ["Nobody"]}', '{"DCE": false}', "{}"])
@pytest.mark.parametrize("repairs", [0, 1, 3])
async def test_nonsense_is_asked_again_then_selects_nothing_and_is_billed(reply: str, repairs: int) -> None:
    chosen = await select(context(ScriptedModel("m", lambda _: reply)), repairs=repairs)
    assert chosen.subset == ()
    assert [row.parsed for row in chosen.ledger] == [False] * (repairs + 1)
    assert all((row.input_tokens or 0) > 100 and row.truncated is False for row in chosen.ledger)
    names = ("Nobody",) if "Nobody" in reply else ()
    assert {row.unknown_names for row in chosen.ledger} == {names}


async def test_one_repair_is_the_default_and_repeats_the_reply() -> None:
    sent: list[ChatRequest] = []

    def answer(request: ChatRequest) -> str:
        sent.append(request)
        return "I would ask DCE." if len(sent) == 1 else '{"helpers": ["DCE"]}'

    chosen = await select(context(ScriptedModel("m", answer)))
    assert chosen.subset == ("DCE",) and [row.parsed for row in chosen.ledger] == [False, True]
    assert [message["role"] for message in sent[1].messages] == ["user", "assistant", "user"]
    assert sent[1].messages[1]["content"] == "I would ask DCE." and sent[1].messages[0] == sent[0].messages[0]


@pytest.mark.parametrize("role", ["selector", "mitigation"])
async def test_a_repair_that_fails_tells_what_the_call_before_it_took(role: str) -> None:
    label = Failure(episode_id="e", task_id="t1", primary=("IFU",), labeller="x", taxonomy_version="t")
    sent: list[ChatRequest] = []

    def answer(request: ChatRequest) -> str:
        sent.append(request)
        if len(sent) == 1:
            return "I would ask DCE."
        raise CallFailed("gone", (LedgerRow(role=role, model="m", input_tokens=7, parsed=False),))

    with pytest.raises(CallFailed, match="gone") as failed:
        await select(context(ScriptedModel("m", answer), {"t1": label} if role == "mitigation" else None))
    first, second = failed.value.billed
    assert (first.role, second.role, second.input_tokens) == (role, role, 7)
    assert (first.input_tokens or 0) > 50 and not first.parsed


@pytest.mark.parametrize(("spare", "calls"), [(-1, 0), (0, 1), (150, 2)])
async def test_a_repair_needs_room_of_its_own(spare: int, calls: int) -> None:
    """The first call takes ``most_tokens``; a repair is made only where what is left holds it, too."""
    model = context(ScriptedModel("m", lambda _: "I would ask DCE."))
    selector = build(model, reply_tokens=30)
    first, more = (getattr(selector, name)(STATE) for name in ("most_tokens", "repair_tokens"))
    room = first + more if spare > 0 else first + spare
    chosen = await choose(selector, STATE, room, KEY)
    assert len(chosen.ledger) == calls and sum(row.budget_tokens for row in chosen.ledger) <= max(room, 0)
    assert more > first


async def test_reply_tokens_and_repairs_of_the_mitigation_agent() -> None:
    label = Failure(episode_id="e", task_id="t1", primary=("IFU",), labeller="x", taxonomy_version="t")
    limits: list[int] = []

    def answer(request: ChatRequest) -> str:
        limits.append(request.sampling.max_tokens)
        return "no"

    labelled = context(ScriptedModel("m", answer), {"t1": label})
    chosen = await select(labelled, reply_tokens=70, repairs=2)
    assert limits == [70, 70, 70] and chosen.subset == ("TSA",)  # the set cover stands in
    assert [row.parsed for row in chosen.ledger] == [False] * 3
    limits.clear()
    assert (await select(labelled, tokens=200)).subset == ("TSA",) and not limits  # no room to ask


async def test_the_mitigation_agents_call_is_reserved() -> None:
    """While it is under way its tokens are taken from the run's limit, so that episodes side by side keep it."""
    label = Failure(episode_id="e", task_id="t1", primary=("IFU",), labeller="x", taxonomy_version="t")
    run = RunBudget(BudgetSettings(run=5000))
    reserved: list[int] = []

    def answer(request: ChatRequest) -> str:
        reserved.append(run.reserved)
        return '{"helpers": ["Memory", "TSA"]}'

    selector = build(context(ScriptedModel("m", answer), {"t1": label}))
    most = room_for(KEY.task, selector, STATE, Allowance(10**6))
    assert most is not None and most > 500
    assert room_for(KEY.task, selector, STATE, Allowance(most)) == most
    assert room_for(KEY.task, selector, STATE, Allowance(most - 1)) == 0  # the set cover chooses for nothing
    assert room_for(KEY.task, selector, STATE, Allowance()) == 0
    assert room_for(TaskKey("helpdesk", "shop", "t2"), selector, STATE, Allowance(most)) == 0
    assert room_for(KEY.task, build(context(None, {"t1": label})), STATE, Allowance(most)) == 0

    one = preparation(selector, run.episode())
    await one.prepare(STATE, 1)
    assert reserved == [most] and run.reserved == 0 and 0 < run.spent < most


def preparation(selector: AnySelector, budget: Budget) -> Preparation:
    return Preparation(
        key=KEY,
        selector=selector,
        helpers=HELPERS,
        helper_model=None,
        request=lambda state: AgentRequest(()),
        budget=budget,
        ledger=[],
        cadence="turn",
        seed=0,
        rng=Random(0),
        concurrency=1,
    )


async def test_no_call_that_the_budget_has_no_room_for() -> None:
    def never(request: ChatRequest) -> str:
        raise AssertionError("called")

    chosen = await select(context(ScriptedModel("m", never)), tokens=50)
    assert chosen.subset == () and chosen.ledger == ()


async def test_retrospective_uses_the_tasks_diagnosis() -> None:
    failure = Failure(episode_id="e", task_id="t1", primary=("IFU",), labeller="x", taxonomy_version="t")
    chosen = await select(context(None, {"t1": failure}))
    assert chosen.subset == ("TSA",) and chosen.ledger == ()
    model = ScriptedModel("m", lambda _: '{"helpers": ["TSA"]}')
    chosen = await select(context(model, {"t1": failure}), form="diagnosis")
    assert chosen.subset == ("TSA",) and [row.role for row in chosen.ledger] == ["mitigation"]
    assert (await select(context(model, {"other": failure.model_copy(update={"task_id": "other"})}))).subset == ()


def test_tracks() -> None:
    model = ScriptedModel("m", lambda _: "{}")
    assert build(context(model)).track == "prospective"
    assert build(context(model, {})).track == "retrospective"
    assert build(context(model, {}), form="one_call").track == "prospective"
    assert SELECTORS.load("prompted") is build


@pytest.mark.parametrize(
    ("options", "part"),
    [
        ({"form": "magic"}, "unknown form 'magic'"),
        ({"form": "diagnosis"}, "needs failures"),
        ({"colour": 1}, "unknown option 'colour'"),
        ({"messages": "many"}, "messages is 'many'"),
        ({"reply_tokens": 0}, "reply_tokens is 0; give a whole number from 1"),
        ({"repairs": -1}, "repairs is -1; give a whole number from 0"),
        ({"repairs": True}, "repairs is True"),
        ({"form": "on_prefix", "messages": 3}, "form on_prefix has: reply_tokens, repairs"),
    ],
)
def test_bad_options(options: dict[str, object], part: str) -> None:
    with pytest.raises(BadInput, match=part):
        build(context(ScriptedModel("m", lambda _: "{}")), **options)


def test_one_call_needs_a_model() -> None:
    with pytest.raises(BadInput, match="needs a model"):
        build(context(None))


async def test_the_shipped_pool_covers_every_category_and_keeps_the_prompt_short() -> None:
    from fama.diagnosis.mitigation import minimal_cover
    from fama.diagnosis.taxonomy import load_taxonomy
    from fama.helpers.pool import build_pool
    from fama.settings import HelperSettings

    pool = build_pool(HelperSettings())
    for code in load_taxonomy().codes:
        assert len(minimal_cover([code], pool)) == 1
    asked: list[int] = []

    def answer(request: ChatRequest) -> str:
        asked.append(estimate_tokens(str(request.messages[-1]["content"])))
        return '{"helpers": []}'

    selector = build(SelectorContext(helpers=pool, model=ScriptedModel("m", answer)))
    assert (await choose(selector, STATE, None, KEY)).subset == ()
    assert asked[0] < 700


async def chosen(context: SelectorContext, task: str = "t1", **options: object) -> Selection:
    return await choose(build(context, **options), STATE, None, replace(KEY, task_id=task))


def failure(task: str, *primary: str) -> Failure:
    return Failure(episode_id=f"e-{task}", task_id=task, primary=primary, labeller="x", taxonomy_version="1")


async def test_the_static_form_covers_what_fails_often_elsewhere(tmp_path: Path) -> None:
    """Of six failures of other tasks CM is primary in five, IFU and DCV in one each."""
    found = [*(failure(f"o{i}", "CM") for i in range(4)), failure("o4", "CM", "IFU"), failure("o5", "DCV")]
    write_failures(tmp_path / "f.jsonl", found)
    context, path = SelectorContext(HELPERS), str(tmp_path / "f.jsonl")
    assert build(context, form="static", failures=path).track == "prospective"
    narrow = await chosen(context, form="static", failures=path)
    assert narrow.subset == ("Memory",) and narrow.ledger == ()
    assert (await chosen(context, form="static", failures=path, share=0.1)).subset == ("DCE", "TSA", "Memory")
    with pytest.raises(BadInput, match="built from a failure of o1 itself"):
        await chosen(context, "o1", form="static", failures=path)
    for options, expected in (({}, "needs labelled failures"), ({"failures": path, "share": 2}, "from 0 to 1")):
        with pytest.raises(BadInput, match=expected):
            build(context, form="static", **options)


async def test_failures_under_a_taxonomy_of_ones_own_need_its_file(tmp_path: Path) -> None:
    write_failures(tmp_path / "f.jsonl", [failure(f"o{i}", "ROW") for i in range(4)])
    mine = tmp_path / "mine.yaml"
    mine.write_text(
        "version: hotel/1\ncategories:\n  - {code: ROW, name: row, definition: another row, helpers: [TSA]}\n"
    )
    plain, path = SelectorContext(HELPERS), str(tmp_path / "f.jsonl")
    with pytest.raises(BadInput, match=r"name the category 'ROW', which fama-4/1 lacks; .* as options.taxonomy"):
        build(plain, form="static", failures=path)
    assert (await chosen(plain, form="static", failures=path, taxonomy=str(mine))).subset == ("TSA",)
    shown: list[str] = []

    def answer(request: ChatRequest) -> str:
        shown.append(str(request.messages[-1]["content"]))
        return '{"helpers": ["TSA"]}'

    known = context(ScriptedModel("m", answer), {"t1": failure("t1", "ROW")})
    with pytest.raises(BadInput, match="options.taxonomy"):
        build(known)
    assert (await select(known, taxonomy=str(mine))).subset == ("TSA",) and "ROW" in shown[0]


async def test_a_failure_of_another_domain_is_another_tasks(tmp_path: Path) -> None:
    elsewhere = failure("t1", "CM").model_copy(update={"domain": "elsewhere"})
    here = failure("t1", "DCV").model_copy(update={"domain": KEY.domain})
    write_failures(tmp_path / "both.jsonl", [elsewhere, here])
    write_failures(tmp_path / "other.jsonl", [elsewhere])
    context = SelectorContext(HELPERS, failures={})
    assert (await chosen(context, failures=str(tmp_path / "both.jsonl"))).subset == ("DCE",)
    assert (await chosen(context, failures=str(tmp_path / "other.jsonl"))).subset == ()
    static = {"form": "static", "failures": str(tmp_path / "other.jsonl")}
    assert (await chosen(SelectorContext(HELPERS), **static)).subset == ("Memory",)
    with pytest.raises(BadInput, match="built from a failure of t1 itself"):
        await chosen(SelectorContext(HELPERS), **{**static, "failures": str(tmp_path / "both.jsonl")})


async def test_a_failure_of_another_benchmark_is_another_tasks(tmp_path: Path) -> None:
    elsewhere = failure("t1", "CM").model_copy(update={"benchmark": "elsewhere", "domain": KEY.domain})
    write_failures(tmp_path / "f.jsonl", [elsewhere])
    path = str(tmp_path / "f.jsonl")
    assert (await chosen(SelectorContext(HELPERS, failures={}), failures=path)).subset == ()
    assert (await chosen(SelectorContext(HELPERS), form="static", failures=path)).subset == ("Memory",)


async def test_a_task_with_another_user_is_the_labelled_one_too(tmp_path: Path) -> None:
    """Those of τ-trait are labelled in logs by the plain domain, and run as the domain with a trait."""
    label = failure("t1", "CM").model_copy(update={"benchmark": "tau-trait", "domain": "telecom"})
    write_failures(tmp_path / "f.jsonl", [label])
    static = build(SelectorContext(HELPERS), form="static", failures=str(tmp_path / "f.jsonl"))
    key = replace(KEY, benchmark="tau_trait", domain="telecom-skeptical", task_id="t1")
    with pytest.raises(BadInput, match="built from a failure of t1 itself"):
        await choose(static, STATE, None, key)
    assert (await choose(static, STATE, None, replace(key, domain="telehealth"))).subset == ("Memory",)


async def test_arms_of_the_diagnosis_form_may_have_labels_of_their_own(tmp_path: Path) -> None:
    write_failures(tmp_path / "own.jsonl", [failure("t1", "CM")])
    context = SelectorContext(HELPERS, failures={"t1": failure("t1", "DCV")})
    assert (await chosen(context)).subset == ("DCE",)
    assert (await chosen(context, failures=str(tmp_path / "own.jsonl"))).subset == ("Memory",)
