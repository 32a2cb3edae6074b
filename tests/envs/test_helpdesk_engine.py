"""The environment: tools, errors, the busy tool, the end of an episode, and a user played by a model."""

import json
from typing import Any

import pytest

from fama.envs.base import Action, UserModel
from fama.envs.helpdesk.benchmark import Helpdesk
from fama.envs.helpdesk.engine import BUSY, HelpdeskEnvironment
from fama.envs.helpdesk.gold import gold_actions, play
from fama.envs.helpdesk.task_records import call, say
from fama.envs.helpdesk.tasks import analysis_of, build_task, generator_of
from fama.envs.helpdesk.user.llm import MAX_TURNS
from fama.envs.helpdesk.user.recognition import refuses, understand
from fama.episodes.records import LedgerRow
from fama.errors import EnvironmentFault, ModelError, UserFault
from fama.models.base import ChatReply, ChatRequest


def first(domain: str, family: str, level: int = 1, refused: bool = False, corrected: bool = False) -> str:
    for number in range(2000):
        task_id = f"{domain}-dev-{number:04d}"
        a = analysis_of(task_id)
        if (a.family, a.level, a.refused, a.corrected) == (family, level, refused, corrected):
            return task_id
    raise AssertionError("no such task")


async def environment(task_id: str, seed: int = 0) -> HelpdeskEnvironment:
    domain = task_id.split("-")[0]
    made = HelpdeskEnvironment(generator_of(domain).domain, build_task(domain, task_id))
    await made.reset(seed)
    return made


async def answer(world: HelpdeskEnvironment, name: str, **arguments: Any) -> dict[str, Any]:
    """The tool's answer; once more if it is busy."""
    observation = await world.step(call(name, **arguments))
    if BUSY in (observation.content or ""):
        observation = await world.step(call(name, **arguments))
    assert observation.role == "tool"
    value: dict[str, Any] = json.loads(observation.content or "")
    return value


@pytest.mark.parametrize(
    ("name", "arguments", "error"),
    [
        ("no_tool", {}, "there is no tool 'no_tool'; tools: find_customer"),
        ("find_customer", {}, "find_customer needs email"),
        ("find_customer", {"email": ""}, "find_customer needs email"),
        ("find_customer", {"email": ["a@b"]}, "email must be plain text"),
        ("find_customer", {"mail": "a@b"}, "it has no argument 'mail'"),
        ("find_customer", {"email": "nobody@mail.example"}, "no customer with e-mail nobody@mail.example"),
        ("verify_customer", {"customer_id": "C0", "postcode": "X"}, "no customer C0"),
        ("get_order", {"order_id": "W1"}, "no order W1"),
        ("get_order", {"order_id": None}, "get_order needs order_id"),
        ("list_variants", {"product": "spaceship"}, "no product spaceship"),
        ("close_case", {"outcome": "done"}, "outcome must be one of: resolved, refused"),
    ],
)
async def test_wrong_calls_are_errors_in_plain_words(name: str, arguments: dict[str, Any], error: str) -> None:
    world = await environment(first("shop", "cancel"))
    value = await answer(world, name, **arguments)
    assert list(value) == ["error"]
    assert error in value["error"]


async def test_wrong_calls_of_the_other_domain() -> None:
    world = await environment(first("saas", "seats"))
    assert "whole number" in (await answer(world, "change_seats", account_id="A1", seats="many"))["error"]
    assert "no account A1" in (await answer(world, "change_seats", account_id="A1", seats="7"))["error"]
    assert (
        "plan must be one of" in (await answer(world, "change_plan", account_id=account(world), plan="gold"))["error"]
    )
    assert "no invoice" in (await answer(world, "refund_invoice", invoice_id="INV-1"))["error"]


def account(world: HelpdeskEnvironment) -> str:
    gold = next(g for g in world.outcome().gold_actions or () if g.name == "get_account")
    return str(json.loads(gold.arguments)["account_id"])


async def test_arguments_are_taken_in_any_case_and_type() -> None:
    task_id = first("shop", "cancel")
    world = await environment(task_id)
    task = build_task("shop", task_id)
    found = await answer(world, "find_customer", email=task.identity["email"].upper())
    postcode = task.identity["postcode"].lower().replace(" ", "")
    assert (await answer(world, "verify_customer", customer_id=found["customer_id"].lower(), postcode=postcode)) == {
        "verified": True
    }
    order = task.goals[0].wish["order"]
    assert (await answer(world, "get_order", order_id=f" #{order.lower()} "))["order_id"] == order


async def test_a_wrong_postcode_does_not_verify() -> None:
    task_id = first("shop", "cancel")
    world = await environment(task_id)
    found = await answer(world, "find_customer", email=build_task("shop", task_id).identity["email"])
    value = await answer(world, "verify_customer", customer_id=found["customer_id"], postcode="XX1 1XX")
    assert value == {"error": "the postcode does not match"}


async def test_tools_do_not_enforce_the_policy_but_the_verdict_does() -> None:
    task_id = first("shop", "cancel", refused=True)
    task = build_task("shop", task_id)
    world = await environment(task_id)
    found = await answer(world, "find_customer", email=task.identity["email"])
    await answer(world, "verify_customer", customer_id=found["customer_id"], postcode=task.identity["postcode"])
    order = task.goals[0].wish["order"]
    await answer(world, "get_order", order_id=order)
    yes = await world.step(say(f"Shall I cancel order {order}?"))
    assert yes.role == "user"
    done = await answer(world, "cancel_order", order_id=order, reason=task.goals[0].wish["reason"])
    assert done["status"] == "cancelled"
    await answer(world, "close_case", outcome="resolved")
    assert world.outcome().detail["state"] == 0
    assert not world.outcome().success


async def test_a_change_before_verification_does_not_count() -> None:
    task_id = first("shop", "cancel")
    gold = gold_actions("shop", task_id)
    verify = next(i for i, a in enumerate(gold) if a.tool == "verify_customer")
    late = [a for i, a in enumerate(gold) if i != verify]
    late.insert(-1, gold[verify])
    played = await play(await environment(task_id), late, 0)
    assert played.reward.detail["state"] == 0
    assert played.reward.detail["closing"] == 1


@pytest.mark.parametrize("domain", ["shop", "saas"])
async def test_busy_errors_are_transient_and_fixed_by_task_and_seed(domain: str) -> None:
    busy = []
    for number in range(60):
        task_id = f"{domain}-dev-{number:04d}"
        runs = []
        for _ in range(2):
            played = await play(Helpdesk().environment(domain, task_id), gold_actions(domain, task_id), seed=1)
            assert played.reward.success
            runs.append([m.name for m in played.messages if m.role == "tool" and BUSY in (m.content or "")])
        assert runs[0] == runs[1]
        assert len(runs[0]) <= 1
        busy += runs[0]
    assert 5 <= len(busy) <= 30
    assert "close_case" not in busy
    assert len(set(busy)) >= 3


async def test_a_busy_look_up_is_no_evidence() -> None:
    task_id = first("shop", "cancel", refused=True)
    gold = gold_actions("shop", task_id)
    for seed in range(2000):
        world = await environment(task_id, seed)
        answers = [await world.step(action) for action in gold]
        busy = [a.tool for a, o in zip(gold, answers, strict=True) if BUSY in (o.content or "")]
        assert world.outcome().detail["closing"] == float(busy != ["get_order"])
        if busy == ["get_order"]:
            return
    raise AssertionError("the look-up was never busy")


async def test_the_closing_tool_ends_the_episode() -> None:
    world = await environment(first("shop", "cancel"))
    end = await world.step(call("close_case", outcome="Refused"))
    assert (end.done, end.reason, end.content) == (True, "closed", '{"closed": "refused"}')
    with pytest.raises(EnvironmentFault, match="over"):
        await world.step(say("Hello?"))
    await world.reset(0)
    assert not (await world.step(say("Hello?"))).done


async def test_a_user_that_gets_nowhere_leaves() -> None:
    world = await environment(first("shop", "cancel"))
    for _ in range(20):
        last = await world.step(say("bla bla"))
        if last.done:
            break
    assert (last.done, last.reason, last.role) == (True, "user_left", "user")
    assert last.content
    assert not world.outcome().success


async def test_gold_actions_are_the_tool_calls() -> None:
    task_id = first("saas", "plan")
    reward = (await environment(task_id)).outcome()
    names = [g.name for g in reward.gold_actions or ()]
    assert names[:2] == ["find_user", "verify_user"]
    assert names[-1] == "close_case"
    assert [a.tool for a in gold_actions("saas", task_id) if a.tool] == names


async def test_worlds_are_apart() -> None:
    task_id = first("shop", "cancel")
    one, two = await environment(task_id), await environment(task_id)
    await play(one, gold_actions("shop", task_id), 0)
    assert one.outcome().success
    assert not two.outcome().success


class Voice:
    """A chat model that says what it is given."""

    name = "voice"

    def __init__(self, *words: str, fails: bool = False) -> None:
        self.words = list(words)
        self.fails = fails
        self.requests: list[ChatRequest] = []

    async def complete(self, request: ChatRequest) -> ChatReply:
        self.requests.append(request)
        if self.fails:
            raise ModelError("endpoint is down")
        text = self.words.pop(0) if len(self.words) > 1 else self.words[0]
        return ChatReply(
            text=text, usage=LedgerRow(role=request.role, model=self.name, input_tokens=5, output_tokens=2)
        )


async def test_a_model_can_play_the_user_and_is_billed() -> None:
    task_id = first("shop", "cancel", corrected=False)
    task = build_task("shop", task_id)
    gold = [a for a in task.gold if a.tool is not None]
    talk = say("Shall I cancel it?")
    voice = Voice("Yes, please.")
    world = Helpdesk().environment("shop", task_id, UserModel(voice))
    start = await world.reset(0)
    assert start.ledger == ()
    actions: list[Action] = [
        *gold[:3],
        talk,
        *gold[3:-1],
        say(f"You get {task.goals[0].facts[0].value} back."),
        gold[-1],
    ]
    played = await play(world, actions, 0)
    assert played.reward.success
    prompt = voice.requests[0].messages[0]["content"]
    assert task.identity["email"] in prompt
    assert {request.role for request in voice.requests} == {"user"}
    assert "family" not in prompt


@pytest.mark.parametrize("phrases", ["second", None])
async def test_a_user_that_a_model_plays_is_told_its_task_in_the_phrase_set_of_the_episode(phrases: str | None) -> None:
    task_id = first("shop", "cancel")
    benchmark = Helpdesk(phrases)
    voice = Voice("Hm.")
    for seed in range(4):
        told = await benchmark.environment("shop", task_id, UserModel(voice)).reset(seed)
        assert told.content == (await benchmark.environment("shop", task_id).reset(seed)).content


async def test_a_model_that_says_no_has_not_agreed() -> None:
    task_id = first("shop", "cancel")
    world = Helpdesk().environment("shop", task_id, UserModel(Voice("No, that's not the right one.")))
    assert (await play(world, gold_actions("shop", task_id), 0)).reward.detail["state"] == 0
    observation = await world.reset(0)
    observation = await world.step(say("Hello?")) if not observation.done else observation
    assert [row.role for row in observation.ledger] == ["user"]


@pytest.mark.parametrize(
    ("asked", "said", "agreed"),
    [
        ("Shall I cancel it?", "Yes, please go ahead. No other changes.", True),
        ("Shall I go ahead?", "Sure. I don’t need anything else.", True),
        ("Shall I cancel it?", "Please don’t go ahead.", False),
        ("Shall I cancel it?", "Yes, but not that one.", False),
        ("To cancel it, what is your e-mail?", "Sure, it is {email}.", False),
        ("Is {email} your e-mail?", "Yes, that is correct.", False),
        ("Is your postcode {postcode}, is that right?", "Yes.", False),
    ],
)
async def test_a_model_agrees_to_a_change_and_to_nothing_else(asked: str, said: str, agreed: bool) -> None:
    task_id = first("shop", "cancel")
    task = build_task("shop", task_id)
    voice = Voice(said.format(**task.identity))
    gold = [a for a in task.gold if a.tool is not None]
    report = say(f"You get {task.goals[0].facts[0].value} back.")
    world = Helpdesk().environment("shop", task_id, UserModel(voice))
    played = await play(world, [*gold[:3], say(asked.format(**task.identity)), *gold[3:-1], report, gold[-1]], 0)
    assert played.reward.success is agreed


async def test_a_refusal_with_a_typographic_apostrophe_is_one() -> None:
    assert refuses("I’m sorry, that isn’t allowed.") and refuses("I can’t do that.")
    assert not refuses("I can’t find it.")
    heard = understand("I’ll cancel it now.", {}, (), frozenset())
    assert heard == understand("I'll cancel it now.", {}, (), frozenset()) and heard.proposal


async def test_faults_of_the_user_model_are_the_users() -> None:
    task_id = first("saas", "access", corrected=True)
    for voice in (Voice("", ""), Voice("x", fails=True)):
        world = Helpdesk().environment("saas", task_id, UserModel(voice))
        await world.reset(0)
        with pytest.raises(UserFault):
            await world.step(say("Hello?"))


async def test_a_model_user_does_not_talk_for_ever() -> None:
    world = Helpdesk().environment("shop", first("shop", "cancel"), UserModel(Voice("Hm.")))
    await world.reset(0)
    turns = 0
    while not (await world.step(say("Hello?"))).done:
        turns += 1
    assert turns <= MAX_TURNS
