"""A key that an object gives twice: found by the fast check exactly where looking at every object finds it."""

import json
from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from fama.episodes.jsonl import line_of
from fama.text.json_numbers import RepeatedKey, check_keys, load_nulled
from tests.support.diagnosis_cases import agent, episode, user

NAMES = st.sampled_from(["a", "b", "A", "", "é", "\n", "\\", '"', '":', "\u2028", "\U0001f600", "a\0", "\x7f", "1"])
SCALARS = st.sampled_from(
    ["0", "1", "-0", "1.0", "1e3", "0.1", "1e400", "NaN", "-Infinity", "true", "null", "9" * 30, '"a"', '"\\u0061"']
)


def written(key: str, how: int) -> str:
    """Return a key as JSON text: as UTF-8, with ASCII escapes, or with every sign escaped."""
    if how == 2:
        units = key.encode("utf-16-be").hex()
        return '"' + "".join(f"\\u{units[i : i + 4]}" for i in range(0, len(units), 4)) + '"'
    return json.dumps(key, ensure_ascii=how == 1)


KEYS = st.builds(written, NAMES, st.sampled_from([0, 0, 0, 1, 2]))


def objects(inner: st.SearchStrategy[str]) -> st.SearchStrategy[str]:
    """Return texts of objects and lists; a key may come again."""
    space = st.sampled_from(["", "", "", " ", "\n\t"])
    members = st.lists(st.tuples(KEYS, inner), max_size=4)
    made = st.builds(
        lambda pairs, s: "{" + ",".join(f"{key}{s}:{s}{value}" for key, value in pairs) + "}", members, space
    )
    return made | st.lists(inner, max_size=3).map(lambda items: "[" + ",".join(items) + "]")


TEXTS = st.recursive(SCALARS | KEYS, objects, max_leaves=12)


def repeated(text: str) -> bool:
    """Look at every object of a text."""
    found = []

    def look(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
        found.append(len({key for key, _ in pairs}) < len(pairs))
        return dict(pairs)

    json.loads(text, object_pairs_hook=look)
    return any(found)


def refused(check: Callable[[], object]) -> bool:
    try:
        check()
    except RepeatedKey:
        return True
    return False


@settings(max_examples=500, deadline=None)
@given(TEXTS, st.sampled_from(["", " ", "\n", "\r\n"]))
@example('{"a":1,"\\u0061":1}', "")
@example('{"a":{"b":1,"b":1}}', "\n")
@example('[{"a":1},{"a":1,"a":1}]', "")
@example('{"":0,"":0}', "")
@example('{"\\ud83d\\ude00":1,"\U0001f600":1}', "")
def test_the_fast_check_is_exact(text: str, end: str) -> None:
    wanted = repeated(text)
    for given_text in (text + end, (text + end).encode()):
        assert refused(lambda: check_keys(given_text)) == wanted  # noqa: B023 - called at once
        assert refused(lambda: load_nulled(given_text, keys_once=True)) == wanted  # noqa: B023


@settings(max_examples=300, deadline=None)
@given(
    st.recursive(
        st.none() | st.integers() | st.floats() | st.text(), lambda v: st.dictionaries(st.text(), v), max_leaves=20
    ),
    st.data(),
)
def test_one_more_pair_in_a_compact_text_is_found(value: object, data: st.DataObject) -> None:
    """As lines are written: no space, UTF-8."""
    text = json.dumps(value, separators=(",", ":"), ensure_ascii=data.draw(st.booleans()))
    assert not refused(lambda: check_keys(text))
    starts = [i for i, sign in enumerate(text) if sign == "{" and not repeated_inside(text, i)]
    if starts:
        at = data.draw(st.sampled_from(starts)) + 1
        key = json.dumps(data.draw(st.text()))
        more = text[:at] + f"{key}:0,{key}:1" + ("" if text[at] == "}" else ",") + text[at:]
        assert refused(lambda: check_keys(more))
        assert refused(lambda: check_keys(more.encode("utf-8", "surrogatepass"))) or "\\ud" in text


def repeated_inside(text: str, place: int) -> bool:
    """Return whether a place is inside a string of a text."""
    inside = escaped = False
    for sign in text[:place]:
        if escaped:
            escaped = False
        elif sign == "\\":
            escaped = inside
        elif sign == '"':
            inside = not inside
    return inside


def test_a_big_file_with_one_repeated_key_far_inside() -> None:
    rows = [{"id": n, "text": "x" * 50} for n in range(20_000)]
    text = json.dumps({"rows": rows}, separators=(",", ":"))
    check_keys(text)
    with pytest.raises(RepeatedKey, match="'id'"):
        check_keys(text.replace('{"id":19999,', '{"id":19999,"id":19999,'))


def test_written_records_are_not_looked_at_object_by_object(monkeypatch: pytest.MonkeyPatch) -> None:
    line = line_of(episode(user('Größe \u2028 \x07 "quoted": 1'), agent("Done.")))

    def slow(*args: object, **options: object) -> object:
        raise AssertionError("the slow check was asked")

    monkeypatch.setattr(json, "loads", slow)
    check_keys(line)
    check_keys(line.decode())
    with pytest.raises(AssertionError, match="slow"):
        check_keys(line.replace(b'{"', b'{ "', 1))


@pytest.mark.parametrize("text", ["", "{", "[" * 100_000, '{"a":1} x', b"\xff"])
def test_what_is_no_json_is_none_by_either_check(text: str | bytes) -> None:
    with pytest.raises((ValueError, RecursionError)):
        check_keys(text)
