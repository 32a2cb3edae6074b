"""Detection of told facts: tolerant to formatting, strict about the value."""

import pytest

from fama.envs.helpdesk.stated_facts import numbers_in, share_stated, states_fact
from fama.envs.helpdesk.task_records import Fact

MONEY = Fact("money", "12.50")
DAY = Fact("date", "2025-06-20")


@pytest.mark.parametrize(
    "text",
    [
        "You get $12.50 back.",
        "The refund is 12.5",
        "12,50 EUR",
        "It comes to USD 12.50.",
        "Refund:12.50",
        "($12.50)",
        "**12.50**",
        "a refund of 12.50, thank you",
        "+12.50",
        "€12,50!",
    ],
)
def test_an_amount_is_told_in_many_forms(text: str) -> None:
    assert states_fact(text, MONEY)


@pytest.mark.parametrize("text", ["12.05", "112.50", "12.501", "order W1250", "12", "1.250", "", "12.51", "INV-12.50"])
def test_other_amounts_are_not_the_amount(text: str) -> None:
    assert not states_fact(text, MONEY)


def test_thousands_and_whole_amounts() -> None:
    assert states_fact("That is $1,234.00 a month.", Fact("money", "1234.00"))
    assert states_fact("That is 1234.", Fact("money", "1234.00"))
    assert states_fact("The new total is 203.", Fact("money", "203.00"))
    assert not states_fact("The new total is 203.5.", Fact("money", "203.00"))


def test_parts_of_ids_are_no_numbers() -> None:
    assert numbers_in("order W48213, item I2041, INV-1234 costs 5.00") == [5.0]


@pytest.mark.parametrize(
    "text",
    [
        "2025-06-20",
        "It arrives on June 20.",
        "on 20 June 2025",
        "the 20th of June",
        "June 20th",
        "Jun 20",
        "06/20/2025",
        "20.06.2025",
        "20/6/25",
        "2025/06/20",
    ],
)
def test_a_date_is_told_in_many_forms(text: str) -> None:
    assert states_fact(text, DAY)


@pytest.mark.parametrize("text", ["2025-06-21", "June 2", "20 July", "2025-06-200", "June", "120 June", ""])
def test_other_dates_are_not_the_date(text: str) -> None:
    assert not states_fact(text, DAY)


def test_counts_and_texts() -> None:
    assert states_fact("There are 3 free seats.", Fact("number", "3"))
    assert states_fact("You have three seats left", Fact("number", "3"))
    assert states_fact("There are no free seats.", Fact("number", "0"))
    assert not states_fact("There are 13 free seats.", Fact("number", "3"))
    assert states_fact("It's at the LEEDS  depot, right now", Fact("text", "Leeds depot"))
    assert not states_fact("It's in Leeds", Fact("text", "Leeds depot"))
    assert not states_fact("unpaid", Fact("text", "paid"))


def test_the_share_told() -> None:
    assert share_stated(["12.50"], []) == 1.0
    assert share_stated(["12.50", "on June 20"], [MONEY, DAY]) == 1.0
    assert share_stated(["12.50"], [MONEY, DAY]) == 0.5
    assert share_stated([], [MONEY]) == 0.0
