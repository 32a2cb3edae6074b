"""The scripted user against hand-written words of many kinds."""

from collections.abc import Callable
from functools import lru_cache

import pytest

from fama.envs.helpdesk.task_records import Task
from fama.envs.helpdesk.tasks import analysis_of, build_task, generator_of
from fama.envs.helpdesk.user.phrase_sets import FIRST, load_phrase_set
from fama.envs.helpdesk.user.phrasing import pick
from fama.envs.helpdesk.user.scripted_user import PATIENCE, ScriptedUser, UserReply
from fama.randomness import generator


def anything(task: Task) -> bool:
    return True


@lru_cache(maxsize=64)
def find(
    domain: str,
    family: str,
    level: int,
    refused: bool = False,
    corrected: bool = False,
    where: Callable[[Task], bool] = anything,
) -> Task:
    """The first task of the dev split that is like this."""
    for number in range(5000):
        task_id = f"{domain}-dev-{number:04d}"
        a = analysis_of(task_id)
        if (a.family, a.level, a.refused, a.corrected) == (family, level, refused, corrected):
            task = build_task(domain, task_id)
            if where(task):
                return task
    raise AssertionError("no such task")


def user_of(task: Task, seed: int = 0) -> ScriptedUser:
    return ScriptedUser(generator_of(task.task_id.split("-")[0]).domain, task, seed)


async def hear(task: Task, words: str, seed: int = 0) -> UserReply:
    """Return the answer of a user who has just opened the conversation; names in braces are slots."""
    user = user_of(task, seed)
    await user.opening()
    return await user.reply(words.format(**{**task.identity, **task.goals[0].wish}))


def says(reply: UserReply, *values: str) -> bool:
    return all(value.casefold() in reply.text.casefold() for value in values)


IDENTITY = [
    "Please provide your email address and postcode so I can verify your identity.",
    "To help you I need to verify your identity.",
    "What's your e-mail and postal code?",
    "Can I have your e mail and your zip code please",
    "Email and postcode?",
    "For security, please tell me the email and the post code on the account.",
    "Please provide the following information: 1. Email 2. Postcode",
    "I need some details first:\n- email address\n- postcode",
    "I could not find an account with that email. Could you double-check?",
    "First I have to identify you.",
    "Before I can proceed, please share your email address as well as your postcode.",
]


@pytest.mark.parametrize("words", IDENTITY)
async def test_it_identifies_itself(words: str) -> None:
    task = find("shop", "cancel", 1)
    reply = await hear(task, words)
    assert says(reply, task.identity["email"], task.identity["postcode"])
    assert not reply.consents


ONE_SLOT = [
    ("May I have your email?", "email"),
    ("I cannot proceed without your postcode.", "postcode"),
    ("What is your post-code?", "postcode"),
    ("Could you please provide the order number?", "order"),
    ("Which order would you like to cancel?", "order"),
    ("I found your account, {name}. Which order is it about?", "order"),
    ("Customer verified. Please provide the order ID.", "order"),
    ("order number?", "order"),
    ("Thanks, {name}! Let me know the order id and I'll look into it.", "order"),
    ("What item did you order? Which product is it?", "item"),
    ("What's your full name?", "name"),
]


@pytest.mark.parametrize(("words", "slot"), ONE_SLOT)
async def test_it_answers_what_is_asked_and_nothing_else(words: str, slot: str) -> None:
    task = find("shop", "cancel", 1)
    slots = {**task.identity, **task.goals[0].wish}
    reply = await hear(task, words)
    assert says(reply, slots[slot])
    for other in {"email", "postcode", "order", "item"} - {slot}:
        assert not says(reply, slots[other])
    assert not reply.consents


@pytest.mark.parametrize(
    "words", ["What is the reason for cancelling?", "Why do you want to cancel it?", "Please state a reason."]
)
async def test_it_gives_its_reason(words: str) -> None:
    task = find("shop", "cancel", 1)
    reply = await hear(task, words, seed=1)  # seed 0 makes a typing slip in a short answer
    reasons = load_phrase_set(FIRST).domains["shop"][f"reason_{task.goals[0].wish['reason']}"]
    assert any(len(set(reason.split()) & set(reply.text.lower().strip(".").split())) >= 3 for reason in reasons)


YES = [
    "I will cancel order {order} for you. Is that okay?",
    "Order {order} will be cancelled. Do you confirm?",
    "Please confirm that you want to cancel order {order}.",
    "Are you sure you want to cancel order {order}?",
    "I can cancel order {order} with a refund of 20.50. Shall I proceed?",
    "The order {order} is eligible for cancellation. Would you like to proceed?",
    "Confirm cancellation of order {order} (yes/no)?",
    "I have verified your identity. Order {order} is still processing. Should I go ahead with the cancellation?",
    "I'll cancel it now.",
    "Do you want me to cancel order {order}?",
    "Can I go ahead and cancel the {item}?",
    "Okay to cancel?",
    "Before I cancel order {order}, I need your confirmation.",
    "The refund would be 20.50. Would you like to continue?",
    "Just to be clear: you want order {order} cancelled, correct?",
]


@pytest.mark.parametrize("words", YES)
async def test_it_agrees_to_what_it_wants(words: str) -> None:
    reply = await hear(find("shop", "cancel", 1), words)
    assert reply.consents == {0}


NO_CONSENT = [
    "Do you want me to cancel order W00000?",
    "Shall I cancel the order W99999?",
    "Your email is {email}. Is that correct?",
    "Your order has been cancelled.",
    "How can I help you today?",
    "Thank you for verifying. What would you like to do?",
    "Let me check that for you.",
    "Would you like to cancel or return it?",
    "Please confirm your email.",
    "What is your phone number?",
    "Please confirm the order number.",
]


@pytest.mark.parametrize("words", NO_CONSENT)
async def test_it_does_not_agree_to_anything_else(words: str) -> None:
    reply = await hear(find("shop", "cancel", 1), words)
    assert not reply.consents
    assert reply.text


REFUSALS = [
    "I'm sorry, but this order cannot be cancelled because it has already been shipped.",
    "Unfortunately, I am unable to cancel your order.",
    "The policy does not allow cancelling shipped orders.",
    "We can't cancel it, sorry.",
    "Cancelling this order is not possible.",
    "Order {order} is not eligible for cancellation.",
    "I have to decline your request.",
    "Your order is shipped and can no longer be cancelled. Is there anything else I can help you with?",
]


@pytest.mark.parametrize("words", REFUSALS)
async def test_it_accepts_a_refusal_and_then_wants_nothing_more(words: str) -> None:
    task = find("shop", "cancel", 1, True)
    user = user_of(task)
    await user.opening()
    reply = await user.reply(words.format(**task.goals[0].wish))
    assert not reply.consents
    after = await user.reply("Is there anything else I can help you with?")
    assert "cancel" not in after.text.lower()


@pytest.mark.parametrize(
    "words", ["I cannot find your account. Please tell me your email.", "I can't proceed without the order number."]
)
async def test_not_being_able_to_find_something_is_no_refusal(words: str) -> None:
    task = find("shop", "cancel", 1)
    reply = await hear(task, words)
    assert says(reply, task.identity["email"]) or says(reply, task.goals[0].wish["order"])


SAAS = [
    ("How many seats do you need?", "seats"),
    ("Please tell me the number of seats.", "seats"),
    ("Let me know how many seats you need and I'll update it.", "seats"),
    ("What is your PIN?", "pin"),
    ("Please enter your support code", "pin"),
    ("Which account is this for?", "account"),
    ("What is the account ID?", "account"),
]


@pytest.mark.parametrize(("words", "slot"), SAAS)
async def test_the_other_domain_understands_as_well(words: str, slot: str) -> None:
    task = find("saas", "seats", 1)
    assert says(await hear(task, words), {**task.identity, **task.goals[0].wish}[slot])


async def test_wrong_numbers_of_seats_are_turned_down() -> None:
    task = find("saas", "seats", 1)
    for words in ("I will change it to 99 seats. OK?", "Shall I set the seats to 98?"):
        reply = await hear(task, words)
        assert not reply.consents
        assert says(reply, task.goals[0].wish["seats"])
    assert (await hear(task, "I will change it to {seats} seats. OK?")).consents == {0}


async def test_a_number_of_seats_told_as_a_difference_is_agreed_to_as_one_and_as_a_total() -> None:
    def described(task: Task) -> bool:
        return (
            task.goals[0].phrase.endswith("_more") and task.goals[0].wish["difference"] != task.goals[0].wish["seats"]
        )

    task = find("saas", "seats", 1, where=described)
    assert says(await user_of(task).opening(), task.goals[0].wish["difference"])
    for words in ("I can add {difference} seats. Is that right?", "I can change it to {seats} seats. Is that right?"):
        assert (await hear(task, words)).consents == {0}
    wrong = await hear(task, "I can change it to {difference} seats. Is that right?")
    assert not wrong.consents and says(wrong, task.goals[0].wish["seats"])


async def test_a_plan_told_by_another_name_is_answered_by_its_own() -> None:
    task = find("saas", "plan", 1, where=lambda task: task.goals[0].phrase.endswith(("_standard", "_premium")))
    assert not says(await user_of(task).opening(), task.goals[0].wish["plan"])
    assert says(await hear(task, "Which plan would you like?"), task.goals[0].wish["plan"])


async def test_people_and_roles() -> None:
    task = find("saas", "access", 2)
    wish = task.goals[0].wish
    assert says(await hear(task, "Which user is it?"), wish["person"])
    assert says(await hear(task, "What is the user ID?"), wish["person"])
    assert says(await hear(task, "Which role should they have?"), wish["role"])
    assert says(await hear(task, "Please provide the user ID and the new role."), wish["person"], wish["role"])
    assert (await hear(task, "Shall I give {full_name} the role {role}?")).consents == {0}
    assert not (await hear(task, "Shall I make {full_name} an owner?")).consents


async def test_who_knows_no_number_describes_and_agrees_with_a_condition() -> None:
    task = find("shop", "return", 2)
    item = task.goals[0].wish["item"]
    assert "order" not in task.goals[0].wish
    reply = await hear(task, "What is the order number?")
    assert says(reply, item)
    conditional = await hear(task, "Shall I return item I0000 of order W00000?")
    assert conditional.consents == {0}
    assert says(conditional, "if" if "if" in conditional.text.lower() else item, item)
    plain = await hear(task, "Shall I return the {item}?")
    assert plain.consents == {0}
    assert item not in plain.text


async def test_colors_and_addresses() -> None:
    exchange = find("shop", "exchange", 2)
    for words in ("What color would you like?", "White, grey, brown are available. Which one do you want?"):
        assert says(await hear(exchange, words), exchange.goals[0].wish["variant"])
    address = find("shop", "address", 1)
    for words in ("What is the new address?", "Where should we send it?", "Please give me the new shipping address."):
        assert says(await hear(address, words), address.goals[0].wish["address"])
    assert not says(await hear(address, "What's your email address?"), address.goals[0].wish["address"])
    assert (await hear(address, "Shall I change the address to {address}?")).consents == {0}
    assert not (await hear(address, "Shall I change the address to 1 Oak Lane, Bath?")).consents


async def test_a_correction_comes_at_the_first_proposal() -> None:
    task = find("shop", "exchange", 3, False, True, lambda t: t.goals[0].fix_when == "proposal")
    goal = task.goals[0]
    user = user_of(task)
    await user.opening()
    first = await user.reply("Shall I go ahead with the exchange?")
    assert not first.consents
    assert says(first, goal.wish[goal.fix_slot], goal.first[goal.fix_slot])
    second = await user.reply("Shall I go ahead with the exchange?")
    assert second.consents == {0}


async def test_a_yes_is_given_again_until_it_is_told_that_the_change_is_made() -> None:
    user = user_of(find("shop", "exchange", 1))
    await user.opening()
    assert (await user.reply("Shall I exchange it for the {variant} one?".format(**user._task.goals[0].wish))).consents
    again = await user.reply("It is in stock. Would you like to exchange it?")
    assert again.consents == {0}
    assert not (await user.reply("The exchange is started and you get 3.50 back.")).consents
    assert not (await user.reply("Would you like anything else?")).consents


async def test_a_correction_can_come_with_the_identity() -> None:
    task = find("shop", "tracking", 3, False, True)
    goal = task.goals[0]
    user = user_of(task)
    opening = await user.opening()
    assert says(opening, goal.first["item"])
    reply = await user.reply("Please tell me your e-mail and postcode.")
    assert says(reply, task.identity["email"], goal.wish["item"])
    again = await user.reply("Please tell me your e-mail and postcode.")
    assert not says(again, goal.wish["item"])


async def test_it_asks_for_an_exception_once() -> None:
    task = find("shop", "cancel", 3, True, False, lambda t: t.goals[0].pushes)
    user = user_of(task)
    await user.opening()
    first = await user.reply("I am sorry, this order cannot be cancelled.")
    second = await user.reply("I am sorry, I cannot make an exception.")
    assert first.text != second.text
    third = await user.reply("Anything else?")
    assert "cancel" not in third.text.lower()


async def test_two_requests_are_kept_apart() -> None:
    task = find("shop", "two", 2, where=lambda t: all(g.change and g.kind != "address" for g in t.goals))
    user = user_of(task)
    opening = await user.opening()
    assert len(opening.text) > 40
    one = task.goals[0]
    first = await user.reply(f"Shall I {one.kind} the {one.wish['item']}?")
    assert first.consents == {0}
    rest = await user.reply("Is there anything else I can do for you?")
    assert "that's all" not in rest.text.lower()
    both = await user_of(task).reply("Shall I go ahead?")
    assert both.consents == {0, 1}
    numbers = await user_of(task).reply("What are the order numbers for both? Please give me the order number.")
    assert says(numbers, task.goals[0].wish["item"], task.goals[1].wish["item"])


async def test_a_refused_and_an_agreed_request_in_one_message() -> None:
    task = find("shop", "two", 2, True, False, lambda t: t.goals[1].kind == "address")
    user = user_of(task)
    await user.opening()
    item = task.goals[1].wish["item"]
    reply = await user.reply(
        f"I am sorry, the exchange is not possible. I can send the {item} elsewhere. Shall I go ahead?"
    )
    assert reply.consents == {1}


async def test_a_question_is_over_once_it_is_answered() -> None:
    task = find("shop", "tracking", 2, False, False, lambda t: t.goals[0].facts[0].kind == "date")
    user = user_of(task)
    await user.opening()
    assert says(await user.reply("Anything else?"), " ")
    await user.reply(f"It arrives on {task.goals[0].facts[0].value}.")
    after = await user.reply("Is there anything else I can help with?")
    assert task.goals[0].wish["item"] not in after.text


@pytest.mark.parametrize(
    "words",
    [
        "The exchange is started and you pay 2.25 for the orange yoga mat.",
        "I have processed it.",
        "Done!",
        "Exchanged.",
        "It's completed, you get {total} back.",
        "Your refund of {total} is on its way.",
        "The order has been updated successfully.",
    ],
)
async def test_a_report_is_thanked_for_and_repeats_no_request(words: str) -> None:
    task = find("shop", "cancel", 1)
    user = user_of(task)
    await user.opening()
    reply = await user.reply(words.format(total=task.goals[0].facts[0].value))
    assert not reply.consents
    assert "?" not in reply.text
    assert "cancel" not in reply.text.lower() and "order" not in reply.text.lower()


@pytest.mark.parametrize("words", ["", "asdf", "   ", "{order}", "cancel_order"])
async def test_what_means_nothing_gets_its_wish_again(words: str) -> None:
    reply = await hear(find("shop", "cancel", 1), words)
    assert reply.text and not reply.consents and not reply.done


async def test_it_hangs_up_after_too_many_useless_turns_only() -> None:
    task = find("shop", "cancel", 1)
    user = user_of(task)
    await user.opening()
    replies = [await user.reply("bla") for _ in range(PATIENCE)]
    assert [reply.done for reply in replies] == [False] * (PATIENCE - 1) + [True]
    user = user_of(task)
    for words in (
        "Your email?",
        "Your postcode?",
        "The order number?",
        "The reason?",
        "Shall I go ahead?",
        "Done, 20.50.",
    ):
        assert not (await user.reply(words)).done


async def test_openings_differ_by_seed_and_say_nothing_too_early() -> None:
    task = find("shop", "cancel", 1)
    openings = {(await user_of(task, seed).opening()).text for seed in range(30)}
    assert len(openings) > 25
    for text in openings:
        assert task.identity["email"] not in text
        assert task.goals[0].wish["order"] not in text


def test_typos_hit_words_of_templates_never_values() -> None:
    rng, phrases = generator(0, "test"), load_phrase_set(FIRST).domains["shop"]
    texts = {pick(phrases, "answer_address", rng, {"address": "14 Mill Lane, Leeds"}) for _ in range(400)}
    assert all("14 Mill Lane, Leeds" in text for text in texts)
    assert len(texts) > len(phrases["answer_address"])
