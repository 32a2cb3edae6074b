"""Values in texts and in data: normal forms, scalars, and the forms that only an identifier has."""

import json

import pytest

from fama.dialogue.facts import (
    IDENTIFIER,
    TOLD_VALUE,
    Leaf,
    data_of,
    ids_in,
    leaves,
    leaves_of,
    normal_text,
    normal_token,
)


@pytest.mark.parametrize(
    ("token", "normal"),
    [("#W12", "w12"), ("$51.00", "51"), ("2.", "2"), ("30%", "30"), ("0.50", "0.5"), ("1" * 29, "1" * 29), ("", "")],
)
def test_one_value_loses_its_formatting(token: str, normal: str) -> None:
    assert normal_token(token) == normal


def test_a_text_keeps_its_digits() -> None:
    assert normal_text("  Order #W12:\n$1,234.50, 2.0 KG ") == "order w12: $1234.50, 2.0 kg"
    assert normal_text("1,23") == "1,23"


def test_a_python_literal_is_data_and_code_is_text() -> None:
    assert data_of("{'id': 1, 'paid': True, 'items': ['a', None]}") == {"id": 1, "paid": True, "items": ["a", None]}
    assert data_of("{'id': open('x')}") is None and data_of("[see below] Hello") is None
    assert data_of("[" * 300 + "]" * 300) is None


def test_leaves_have_paths_keys_and_values() -> None:
    data = {"id": 1, "items": [{"color": "red", "tags": ["a", "b"]}, {"color": None}], "plain": [2, 3]}
    assert list(leaves(data)) == [
        Leaf("id", "id", 1),
        Leaf("items[0].color", "color", "red"),
        Leaf("items[0].tags", "tags", "a"),
        Leaf("items[0].tags", "tags", "b"),
        Leaf("items[1].color", "color", None),
        Leaf("plain", "plain", 2),
        Leaf("plain", "plain", 3),
    ]
    assert list(leaves("x")) == [Leaf("", "", "x")] and list(leaves({})) == []


def test_a_string_that_holds_json_counts_as_what_it_holds() -> None:
    assert list(leaves({"ids": '["4001", "4002"]', "note": "[sic]"})) == [
        Leaf("ids", "ids", "4001"),
        Leaf("ids", "ids", "4002"),
        Leaf("note", "note", "[sic]"),
    ]


def test_leaves_of_outputs_are_bounded_in_depth() -> None:
    assert leaves_of(json.dumps({"a": {"b": 1}})) == (Leaf("a.b", "b", 1),)
    assert leaves_of("[" * 40 + "1" + "]" * 40) == ()
    assert leaves_of("[" * 100_000 + "]" * 100_000) == leaves_of("plain text")


def test_identifiers_have_forms_that_words_and_numbers_lack() -> None:
    text = "Mia_Li_3818 (mia@x.example) returns #W1234567 and HAT057 from 12345678, not 1234567890, of 2024 or A4."
    found = [match[0] for match in IDENTIFIER.finditer(text)]
    assert found == ["Mia_Li_3818", "mia@x.example", "#W1234567", "HAT057", "12345678", "1234567890"]
    assert [match[0] for match in TOLD_VALUE.finditer("zip 10115, code 4WQ150, June 2024")] == ["10115", "4WQ150"]


@pytest.mark.parametrize("dash", ["—", "–"])
def test_a_dash_between_words_ends_an_id(dash: str) -> None:
    assert ids_in(f"the code M20IZO{dash}I also want a refund of W-12") == ("M20IZO", "W-12")
