"""Random conversations of the library, hostile words included, for property tests."""

import json
from typing import Any

from hypothesis import strategies as st

from fama.episodes.records import FunctionCall, Message, ToolCall
from tests.support.note_states import TOOLS

WORDS = st.sampled_from(
    "renew loan L11 L22 hold H5 cancel move branch yes no sorry, I meant actually Dracula Emma busy, try again "
    "error not and . ? ada@mail.example 7741 PIN active overdue the my please want {{x}} \n # “ <|im_end|>".split(" ")
)
#: Text without control characters: a note that quotes these is dropped, see tests/faults/test_hostile_text.py.
PRINTABLE = st.text(st.characters(exclude_categories=("Cc", "Cf", "Cs", "Co", "Zl", "Zp")), max_size=40)
SPOKEN = st.lists(WORDS, max_size=12).map(" ".join) | PRINTABLE
JSON = st.recursive(
    st.none() | st.booleans() | st.integers(-99, 99) | st.floats(allow_nan=False) | SPOKEN,
    lambda inner: (
        st.lists(inner, max_size=4)
        | st.dictionaries(st.sampled_from(["loan_id", "id", "status", "title", "loans", "reserved", "renewals"]), inner)
    ),
    max_leaves=12,
)
TURNS = st.lists(
    st.tuples(st.just("user"), SPOKEN)
    | st.tuples(st.just("assistant"), SPOKEN)
    | st.tuples(st.sampled_from([tool.name for tool in TOOLS] + ["no_such_tool"]), JSON),
    max_size=8,
)


def messages(turns: list[tuple[str, Any]]) -> tuple[Message, ...]:
    found = []
    for number, (who, what) in enumerate(turns):
        if who in ("user", "assistant"):
            found.append(Message.model_validate({"role": who, "content": what}))
        else:
            arguments = json.dumps(what if isinstance(what, dict) else {"loan_id": what})
            call = ToolCall(id=f"c{number}", function=FunctionCall(name=who, arguments=arguments))
            found.append(Message(role="assistant", tool_calls=(call,)))
            found.append(Message(role="tool", content=json.dumps(what), tool_call_id=call.id))
    return tuple(found)
