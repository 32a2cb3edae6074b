"""The JSON of a request: only its messages change."""

import json
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fama.serving.body import parse_body
from fama.serving.faults import Fault
from fama.serving.replies import whole_reply
from fama.serving.settings import ServeLimits

MESSAGES = [{"role": "user", "content": "a"}]
NOTED = [{"role": "user", "content": "a\n\nNote."}]
VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(), st.lists
)


def noted(text: str, **more: Any) -> str:
    return parse_body(text.encode("utf-8", "surrogatepass"), ServeLimits()).with_messages(NOTED, more).decode()


def test_all_but_the_messages_keeps_its_characters() -> None:
    told = json.dumps(NOTED)
    rest = '"seed" : 12345678901234567890123.0, "t":1.10,"x":1e999,"u":"\\u00fc ü",\n"deep":{"messages":[1]}'
    given = f' {{"messages":{json.dumps(MESSAGES)} , {rest}}}\n'
    assert noted(given) == f' {{"messages":{told} , {rest}}}\n'
    assert noted(given, add=False, t=3) == f' {{"messages":{told} , {rest}, "add": false}}'
    twice = f'{{"messages": [{{"role": "user"}}], "a": 1, "messages": {json.dumps(MESSAGES)}}}'
    assert noted(twice) == f'{{"messages": {told}, "a": 1, "messages": {told}}}', "whichever the upstream reads"


def test_roles_that_tools_state_stay_here() -> None:
    def request(tool: str, older: str) -> str:
        return f'{{"t":1.10, "tools": [{tool}], "functions":[{older}],\n"messages":{json.dumps(MESSAGES)}}}'

    stated = '{"type":"function","function":{"name":"a","parameters":{"type": "object", "x-fama-role": "read"}}}'
    plain = '{"type": "function", "function": {"name": "a", "parameters": {"type": "object"}}}'
    given = parse_body(request(stated, '{ "name":"b"}').encode(), ServeLimits())
    assert given.content.decode() == request(plain, '{ "name":"b"}')
    assert given.tree == json.loads(request(stated, '{ "name":"b"}')), "for the advice"
    told = json.dumps(NOTED)
    fields = f'"functions": [{{"name": "a"%s}}], "messages": {json.dumps(MESSAGES)}, "tools": [%s]'
    given_first = "{" + fields % (', "x-fama-role": "read"', stated) + "}"
    assert parse_body(given_first.encode(), ServeLimits()).content.decode() == "{" + fields % ("", plain) + "}"
    body = request(plain, '{ "name":"b"}')
    assert given.with_messages(NOTED, {}).decode() == body.replace(json.dumps(MESSAGES), told)
    body_bytes = body.encode()
    assert parse_body(body_bytes, ServeLimits()).content is body_bytes


@settings(max_examples=30, deadline=None)
@given(st.dictionaries(st.text(), VALUES, max_size=4), st.booleans(), st.sampled_from([None, 2]))
def test_the_object_is_that_of_json(tree: dict[str, Any], ascii_only: bool, indent: int | None) -> None:
    tree = {**tree, "messages": MESSAGES}
    text = json.dumps(tree, ensure_ascii=ascii_only, indent=indent)
    assert parse_body(text.encode("utf-8", "surrogatepass"), ServeLimits()).tree == tree
    assert json.loads(noted(text, more=1)) == {"more": 1, **tree, "messages": NOTED}


@pytest.mark.parametrize("text", ["{,}", '{"a" 1}', '{"a":1,}', '{"a":1} x', '{"a":NaN}', "{1:2}", '{"a":1', "{"])
def test_what_is_no_json_is_refused(text: str) -> None:
    with pytest.raises(ValueError):
        json.loads(text, parse_constant=lambda name: int(name))
    with pytest.raises(Fault, match="invalid_json"):
        parse_body(text.encode(), ServeLimits())


def test_a_reply_in_another_encoding_keeps_its_bytes() -> None:
    text = '{"choices": []}'
    assert whole_reply(text.encode("utf-16"), "", {"subset": []}).body == text.encode("utf-16")
    marked = whole_reply(text.encode("utf-8-sig"), "", {"subset": []}).body
    assert json.loads(marked) == {"choices": [], "fama": {"subset": []}}
