"""Parsing of replies that name helpers, by hand: the asked form, looser ones, and none by guess."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fama.selection.helper_choice import default_reply_tokens, read_choice, read_names
from fama.subsets import POOL, in_pool_order
from fama.text.tokens import estimate_tokens

READ: dict[str, tuple[str, ...]] = {
    '{"helpers": ["TSA", "DCE"]}': ("DCE", "TSA"),
    '{"helpers": []}': (),
    '```json\n{"helpers": ["DCE"]}\n```': ("DCE",),
    'Here you are:\n```\n{"helpers": ["DCE"]}\n```\nIt is simple.': ("DCE",),
    'Sure! {"helpers": ["Memory", "TSA"]} since the user repeats itself.': ("TSA", "Memory"),
    "{'helpers': ['DCE', 'TSA',]}": ("DCE", "TSA"),
    '{"helpers": "DCE, TSA and Memory"}': ("DCE", "TSA", "Memory"),
    '{"helpers": "DCE"}': ("DCE",),
    '{"Helpers": [{"name": "DCE"}, {"name": "tsa"}]}': ("DCE", "TSA"),
    '{"helpers": "none"}': (),
    '{"helpers": null}': (),
    '{"answer": ["none"]}': (),
    '["DCE", "Verifier"]': ("DCE", "Verifier"),
    "[DCE, TSA]": ("DCE", "TSA"),
    "[]": (),
    "DCE, TSA": ("DCE", "TSA"),
    "dce and tsa.": ("DCE", "TSA"),
    "- DCE\n- TSA\n": ("DCE", "TSA"),
    "Helpers: DCE, TSA (the policy matters)": ("DCE", "TSA"),
    "**Planner**": ("Planner",),
    "None.": (),
    "none of them, it is simple": (),
    '{"helpers": ["DCE (rules)"]}': ("DCE",),
    'the "Planner" tool.': ("Planner",),
    'the "Planner" and "Verifier".': ("Planner", "Verifier"),
    'the "Planner" to list requests that are still open.': ("Planner",),
    "only the TSA helper, and the Memory agent": ("TSA", "Memory"),
    "the Verifier. The user is known.": ("Verifier",),
    'Format {"helpers": [names]}, so: {"helpers": ["TOR"]}': ("TOR",),
}
UNREAD = [
    *("", "   ", "{}", "[names]", '{"DCE": false}', '{"helpers": {"DCE": true}}', '{"helpers": ["Nobody"]}'),
    *(
        "The Verifier has already checked the customer, so nothing more is needed.",
        "The Memory of the conversation is complete.",
    ),
    *("The Planner helper would break it into steps. I would choose TSA.", "The Verifier helper can be left out."),
    *("the tool find_customer", "the helpers", "The TSA helper is not needed.", "a yes of the customer, so Planner"),
    *("I would ask DCE.", "The agent needs TSA", "Memory is not needed.", "TSA isn't useful here", "sure"),
    *('{"helpers": ["Pla', '{"helpers": [', "[DCE", "Answer:"),
]


@pytest.mark.parametrize(("reply", "subset"), READ.items())
def test_a_choice_is_read(reply: str, subset: tuple[str, ...]) -> None:
    assert read_choice(reply, POOL) == (subset, ())


@pytest.mark.parametrize("reply", UNREAD)
def test_no_choice_is_guessed(reply: str) -> None:
    assert read_choice(reply, POOL).subset is None


@pytest.mark.parametrize(
    ("reply", "subset"),
    [
        ('{"helpers": ["DCE", "TSA", "Plan', ("DCE", "TSA")),
        ('{"helpers": ["DCE", "TSA"', ("DCE", "TSA")),
        ('```json\n{\n  "helpers": [\n    "DCE",\n    "TS', ("DCE",)),
        ('{"helpers": ["Pla', None),
        ("DCE, TSA, Plan", ("DCE", "TSA")),
        ("DCE, TSA", ("DCE",)),  # the last one may go on, as TSA:template
        ("TSA", None),
        ("non", None),
        ("none", None),
    ],
)
def test_complete_names_of_a_cut_reply_count(reply: str, subset: tuple[str, ...] | None) -> None:
    assert read_choice(reply, (*POOL, "TSA:template"), truncated=True).subset == subset


@pytest.mark.parametrize(
    ("reply", "subset", "unknown"),
    [
        ('{"helpers": ["DCE", "Nobody", "Oracle"]}', ("DCE",), ("Nobody", "Oracle")),
        ('{"helpers": ["Nobody", "Nobody"]}', None, ("Nobody",)),
        ("[names]", None, ("names",)),
        ('{"helpers": ["' + "x" * 99 + '"]}', None, ("x" * 40,)),
        (json.dumps({"helpers": [f"N{i}" for i in range(20)]}), None, tuple(f"N{i}" for i in range(6))),
    ],
)
def test_unknown_names_are_named(reply: str, subset: tuple[str, ...] | None, unknown: tuple[str, ...]) -> None:
    assert read_choice(reply, POOL) == (subset, unknown)


def test_a_member_with_its_form_is_a_name_of_its_own() -> None:
    pool = ("TSA", "TSA:template", "DCE")
    assert read_names("TSA:template, DCE", pool) == ("TSA:template", "DCE")
    assert read_choice('{"helpers": ["tsa:template"]}', pool).subset == ("TSA:template",)
    assert read_choice('{"helpers": ["DCE:template"]}', pool) == (None, ("DCE:template",))


@given(st.lists(st.sampled_from(POOL)), st.sampled_from(["{}", "```json\n{}\n```", "So: {} as I said", "{} {}"]))
def test_the_asked_form_is_read_wherever_it_stands(names: list[str], around: str) -> None:
    text = around.replace("{}", json.dumps({"helpers": names}))
    assert read_choice(text, POOL) == (in_pool_order(names, POOL), ())


@given(st.text(max_size=80) | st.text("[]{}\"',: DCETSAnone", max_size=80), st.booleans())
def test_any_text_is_read_without_error(text: str, truncated: bool) -> None:
    subset, unknown = read_choice(text, POOL, truncated)
    assert subset is None or subset == in_pool_order(subset, POOL)
    assert len(unknown) <= 6 and all(len(name) <= 40 for name in unknown)


def test_the_default_limit_holds_the_whole_pool_written_out() -> None:
    """Six names as indented and fenced JSON take at most 53 tokens; a pool of long names gets more."""
    written = "```json\n" + json.dumps({"helpers": list(POOL)}, indent=2) + "\n```"
    assert estimate_tokens(written) == 53 and default_reply_tokens(POOL) == 78
    assert default_reply_tokens(()) == 64
    assert default_reply_tokens([f"A very long name of a helper {i}" for i in range(12)]) > 150
