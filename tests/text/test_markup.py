"""Tool-call markup, thoughts and control tokens in a model's text: known forms, round trips, properties."""

import json
import re
import time
from typing import Any

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from fama.text.call_markup import has_sign
from fama.text.markup import UNCLOSED, read_markup
from fama.text.named_calls import NamedCall, tool_name

TOOLS: dict[str, dict[str, Any]] = {
    "find_train": {"properties": {"to": {"type": "string"}, "seats": {"type": "integer"}, "legs": {"type": "array"}}},
    "now": {},
}
ARGUMENTS = {"to": "0815", "seats": 2, "legs": ["a", "b"]}
CALL = NamedCall("find_train", ARGUMENTS)
BODY = json.dumps(ARGUMENTS)
NAMED = json.dumps({"name": "find_train", "arguments": ARGUMENTS})
PYTHON = "find_train(to='0815', seats=2, legs=['a', 'b'])"
XML = "".join(f"<parameter={key}>\n{value}\n</parameter>\n" for key, value in (("to", "0815"), ("seats", 2)))
XML += '<parameter=legs>\n["a", "b"]\n</parameter>\n'
INVOKE = '<invoke name="find_train"><parameter name="to">0815</parameter><parameter name="seats">2</parameter>'
INVOKE += '<parameter name="legs">["a", "b"]</parameter></invoke>'
DSML = re.sub(r"(</?)(?=\w)", "\\1\uff5cDSML\uff5c", f"<function_calls>{INVOKE}</function_calls>")
TAGGED = "".join(
    f"]<]minimax[>[<{key}>{value}]<]minimax[>[</{key}>"
    for key, value in (("to", "0815"), ("seats", "2"), ("legs", '["a", "b"]'))
)
PAIRS = "".join(
    f"<arg_key>{key}</arg_key>\n<arg_value>{value}</arg_value>\n"
    for key, value in (("to", "0815"), ("seats", "2"), ("legs", '["a", "b"]'))
)


def wide(*names: str) -> str:
    """DeepSeek's control tokens."""
    return "".join(f"<\uff5c{name.replace(' ', chr(0x2581))}\uff5c>" for name in names)


FORMS = {
    "hermes": f"<tool_call>\n{NAMED}\n</tool_call>",
    "hermes without an end": f"<tool_call>{NAMED}",
    "hermes, fenced": f"<tool_call>\n```json\n{NAMED}\n```\n</tool_call>",
    "qwen coder": f"<tool_call>\n<function=find_train>\n{XML}</function>\n</tool_call>",
    "qwen coder without a beginning": f"<function=find_train>\n{XML}</function>\n</tool_call>",
    "llama function": f"<function=find_train>{BODY}</function>",
    "llama json": f'<|python_tag|>{{"name": "find_train", "parameters": {BODY}}}<|eom_id|>',
    "llama pythonic": f"<|python_tag|>{PYTHON}<|eot_id|>",
    "pythonic": f"[{PYTHON}]",
    "mistral list": f"[TOOL_CALLS][{NAMED}]</s>",
    "mistral arguments": f"[TOOL_CALLS]find_train[ARGS]{BODY}",
    "mistral id": f"[TOOL_CALLS]find_train[CALL_ID]9f8e7d6c5[ARGS]{BODY}",
    "mistral without tokens": f"find_train{BODY}",
    "deepseek 3": f"{wide('tool calls begin', 'tool call begin')}function{wide('tool sep')}find_train\n"
    f"```json\n{BODY}\n```{wide('tool call end', 'tool calls end', 'end of sentence')}",
    "deepseek 3.1": f"{wide('tool call begin')}find_train{wide('tool sep')}{BODY}{wide('tool call end')}",
    "deepseek 3.2": DSML,
    "kimi": f"<|tool_calls_section_begin|><|tool_call_begin|>functions.find_train:0<|tool_call_argument_begin|>{BODY}"
    "<|tool_call_end|><|tool_calls_section_end|>",
    "glm": f"<tool_call>find_train\n{PAIRS}</tool_call>",
    "granite": f"<|tool_call|>[{NAMED}]",
    "phi": f"functools[{NAMED}]",
    "phi mini": f"<|tool_call|>[{NAMED}]<|/tool_call|>",
    "gemma": f"```tool_code\nprint(default_api.{PYTHON})\n```",
    "gemma 4": '<|tool_call>call:find_train{to:<|"|>0815<|"|>,seats:2,legs:["a","b"]}<tool_call|>',
    "lfm": f"<|tool_call_start|>[{PYTHON}]<|tool_call_end|>",
    "nemotron": f"<TOOLCALL>[{NAMED}]</TOOLCALL>",
    "command": f'<|START_ACTION|>[{{"tool_name": "find_train", "parameters": {BODY}}}]<|END_ACTION|>',
    "internlm": f"<|action_start|><|plugin|>\n{NAMED}<|action_end|>",
    "invoke": INVOKE,
    "minimax": f"<minimax:tool_call>\n{INVOKE}\n</minimax:tool_call>",
    "function calls": f"<function_calls>\n{INVOKE}\n</function_calls>",
    "harmony": f"<|channel|>commentary to=functions.find_train <|constrain|>json<|message|>{BODY}<|call|>",
    "harmony, whole": "<|channel|>analysis<|message|>First look.<|end|><|start|>assistant to=functions.find_train"
    f"<|channel|>commentary <|constrain|>json<|message|>{BODY}",
    "harmony without tokens": f"analysisFirst look.assistantcommentary to=functions.find_train json{BODY}",
    "deepseek, narrow": DSML.replace("\uff5c", "|"),
    "longcat": re.sub(r"(</?)(?=tool|arg)", r"\1longcat_", f"<tool_call>find_train\n{PAIRS}</tool_call>"),
    "minimax 3": f'<tool_call>\n]<]minimax[>[<invoke name="find_train">{TAGGED}]<]minimax[>[</invoke></tool_call>',
    "tool as a tag": f"<find_train>\n{TAGGED.replace(']<]minimax[>[', '')}\n</find_train>",
    "llama 4": f"<|python_start|>[{PYTHON}]<|python_end|>",
    "apertus": f'<|tools_prefix|>[{{"find_train": {BODY}}}]<|tools_suffix|>',
    "function gemma": "<start_function_call>call:find_train{to:<escape>0815<escape>,seats:2,legs:[<escape>a<escape>,"
    "<escape>b<escape>]}<end_function_call>",
    "functionary 2": f"<|from|>assistant\n<|recipient|>find_train\n<|content|>{BODY}<|stop|>",
    "functionary 3": f">>>find_train\n{BODY}",
    "qwen agent": f"\u273fFUNCTION\u273f: find_train\n\u273fARGS\u273f: {BODY}\n\u273fRESULT\u273f",
    "step": f"{wide('tool call begin')}function{wide('tool sep')}"
    + re.sub(r"(</?)(?=invoke|parameter)", r"\1steptml:", INVOKE)
    + wide("tool call end"),
    "seed": f"<seed:tool_call><function=find_train>\n{XML}</function></seed:tool_call>",
    "a thought before": f"<think>\nMaybe {PYTHON}?\n</think>\n\n<tool_call>\n{NAMED}\n</tool_call><|im_end|>",
}


@pytest.mark.parametrize("form", FORMS)
def test_a_call_is_read_in_every_markup(form: str) -> None:
    found = read_markup(FORMS[form], TOOLS)
    assert (found.calls, found.words, found.problem) == ((CALL,), "", "")


@pytest.mark.parametrize("form", FORMS)
def test_a_cut_call_is_not_made_up(form: str) -> None:
    """Whatever a cut leaves: the whole call (only end marks are gone), or none, and no markup in the words."""
    for length in range(1, len(FORMS[form])):
        found = read_markup(FORMS[form][:length], TOOLS)
        assert found.calls in ((), (CALL,)), FORMS[form][:length]
        assert not has_sign(found.words)


SAID = {
    "final channel": ("<|channel|>final<|message|>At nine.<|return|>", "At nine.", ""),
    "analysis and final": (
        "<|channel|>analysis<|message|>They ask when.<|end|><|start|>assistant<|channel|>final<|message|>At nine.",
        "At nine.",
        "They ask when.",
    ),
    "channels without tokens": ("analysisThey ask when.assistantfinalAt nine.", "At nine.", "They ask when."),
    "closed": ("<think>a</think>At nine.", "At nine.", "a"),
    "nested": ("<think>a<think>b</think>c</think>At nine.", "At nine.", "a\nb\nc"),
    "opened twice": ("<think>\n<think>a</think>At nine.", "At nine.", "a"),
    "closed only": ("a\n</think>\n\nAt nine.", "At nine.", "a"),
    "other names": ("<thinking>a</thinking><reasoning>b</reasoning>At nine.", "At nine.", "a\nb"),
    "magistral": ("[THINK]a[/THINK]At nine.", "At nine.", "a"),
    "two thoughts": ("<think>a</think>At <think>b</think>nine.", "At nine.", "a\nb"),
    "end token": ("At nine.<|im_end|>", "At nine.", ""),
    "role header": ("<|im_start|>assistant\nAt nine.<|im_end|>\n", "At nine.", ""),
    "llama header": ("<|start_header_id|>assistant<|end_header_id|>\n\nAt nine.<|eot_id|>", "At nine.", ""),
    "run on": ("At nine.<|im_end|>\n<|im_start|>user\nThen close it.", "At nine.", ""),
    "answer tags": ("<think>a</think><answer>At nine.</answer>", "At nine.", "a"),
    "token tags": ("<|think|>a<|/think|>At nine.", "At nine.", "a"),
    "begin and end": ("<|begin_thinking|>a<|end_thinking|>At nine.", "At nine.", "a"),
    "claude": ("<antThinking>a</antThinking><analysis>b</analysis>At nine.", "At nine.", "a\nb"),
    "granite": ("Here is my thought process:\na\nHere is my response:\nAt nine.", "At nine.", "a"),
    "solar": ("<|think|>a<|end|><|begin|>assistant<|content|>At nine.<|end|>", "At nine.", "a"),
    "functionary": (">>>all\nAt nine.", "At nine.", ""),
    "qwen agent": ("\u273fRETURN\u273f: At nine.", "At nine.", ""),
    "stray": ("At <|unknown_token|>nine.</s>", "At nine.", ""),
}


@pytest.mark.parametrize("form", SAID)
def test_words_come_without_markup(form: str) -> None:
    text, words, thought = SAID[form]
    found = read_markup(text, TOOLS)
    assert (found.words, found.thought, found.calls, found.problem) == (words, thought, (), "")


@pytest.mark.parametrize(
    "text",
    [
        "<think>I could call now()",
        f"<think>a</think><think>b <tool_call>{NAMED}</tool_call>",
        f"<think>a<think>b</think>{NAMED}",
        "At nine. [THINK]or ten",
        "Here's my thought process:\nI could call now()",
        "<|think|>I could call now()",
    ],
)
def test_an_unclosed_thought_holds_nothing(text: str) -> None:
    found = read_markup(text, TOOLS)
    assert (found.words, found.calls, found.problem) == ("", (), UNCLOSED) and found.thought


@pytest.mark.parametrize(
    "text",
    [
        "<tool_call>find the train</tool_call>",
        "I look. <function=find_train><parameter=to>Rome",
        '[TOOL_CALLS]find_train[ARGS]{"to":',
        "<|channel|>commentary to=functions.find_train<|message|>not JSON<|call|>",
        "<invoke name='find_train'>x</invoke>",
        "<|python_tag|>import os",
        "<arg_key>to</arg_key>",
        "<invoke name='find_train'><legs><item>a</item></legs></invoke>",
        "<find_train>to Rome</find_train>",
        "At nine. <tool_ca",
        "Call: find_train(to='0815')<bot_end>",
        "<use_mcp_tool><tool_name>find_train</tool_name></use_mcp_tool>",
        "analysisI could call now()",
        '<tool_call>{"name": "find_train", "arguments": {"seats": NaN}}</tool_call>',
        '<tool_call>{"name": "find_train", "arguments": {"seats": 1e400}}</tool_call>',
        '<tool_call>{"name": "find_train", "arguments": {"legs": ["a"</tool_call>',
    ],
)
def test_what_cannot_be_read_is_told(text: str) -> None:
    found = read_markup(text, TOOLS)
    assert found.problem and not found.words and not found.calls


def test_a_call_in_a_made_up_turn_is_not_read() -> None:
    text = f"Shall I?<|im_end|>\n<|im_start|>user\nyes<|im_end|>\n<|im_start|>assistant\n<tool_call>{NAMED}</tool_call>"
    assert read_markup(text, TOOLS).words == "Shall I?" and not read_markup(text, TOOLS).calls


def test_several_calls_and_words_beside_them() -> None:
    text = f'Two things.\n<tool_call>[{NAMED}, {{"name": "now", "arguments": {{}}}}]</tool_call>'
    found = read_markup(text, TOOLS)
    assert found.calls == (CALL, NamedCall("now", {})) and found.words == "Two things."
    assert len(read_markup(f"[TOOL_CALLS]now[ARGS]{{}}[TOOL_CALLS]find_train[ARGS]{BODY}", TOOLS).calls) == 2


@pytest.mark.parametrize(
    ("written", "meant"),
    [
        ("now", "now"),
        ("functions.now", "now"),
        ("functions.now:3", "now"),
        ("now<|channel|>commentary", "now"),
        ("default_api.now", "now"),
        ("later", "later"),
        ("functions.later", "functions.later"),
        ("later.on", "later.on"),
        ("<b>now</b>", None),
        ('now"}', None),
        ("", None),
    ],
)
def test_names_of_tools(written: str, meant: str | None) -> None:
    assert tool_name(written, TOOLS) == meant


def test_values_take_the_types_of_the_schema_only() -> None:
    text = "<function=find_train><parameter=to>0815</parameter><parameter=seats>2</parameter></function>"
    assert read_markup(text, TOOLS).calls[0].arguments == {"to": "0815", "seats": 2}
    assert read_markup(text).calls[0].arguments == {"to": "0815", "seats": "2"}


@pytest.mark.parametrize(
    "text",
    [
        "Hello, is 3 < 4 > 2?",
        "  two lines\n\nkept  ",
        "<b>bold</b> and [a list] (of things) f(x)",
        '{"tool": "find_train", "arguments": {"to": "Rome"}}',
        "analysis shows that the final price is 3.",
        "| a | b |\n|---|---|",
        "``` \ncode\n```",
    ],
)
def test_a_text_without_markup_stays_as_it_is(text: str) -> None:
    assert read_markup(text, TOOLS).words == text


pieces = st.lists(
    st.sampled_from(
        [
            *(
                "<think>",
                "</think>",
                "[THINK]",
                "<|",
                "|>",
                "<|im_end|>",
                "<|im_start|>user",
                "<tool_call>",
                "</tool_call>",
            ),
            *(
                "<function=now>",
                "</function>",
                "<parameter=a>",
                "</parameter>",
                "[TOOL_CALLS]",
                "[ARGS]",
                "{",
                "}",
                '"',
            ),
            *("<|channel|>", "<|message|>", "analysis", "final", " to=functions.now", "<arg_key>", "</arg_key>", "now"),
            *(
                "[now()]",
                "```tool_code\n",
                "```",
                "\n",
                " ",
                "Hello",
                "\ud800",
                "\x00",
                NAMED,
                "<\uff5ctool\u2581sep\uff5c>",
            ),
        ]
    ),
    max_size=12,
).map("".join)


@settings(max_examples=400)
@given(st.text() | pieces)
@example("<|<|a|>b|>")
@example("<th<think>x</think>ink>y")
@example("<tool_<|a|>call>")
def test_reading_never_raises_and_is_idempotent(text: str) -> None:
    found = read_markup(text, TOOLS)
    again = read_markup(found.words, TOOLS)
    assert (again.words, again.calls, again.problem, again.thought) == (found.words, (), "", "")
    assert not has_sign(found.words)
    json.dumps([found.words, found.thought, [call.arguments for call in found.calls]], ensure_ascii=False).encode()


plain = st.text(st.characters(exclude_categories=("Cs", "Cc"), exclude_characters="<>[]{}()|`\u25c1\uff5c"))


@given(plain.filter(lambda text: not text.lstrip().startswith(("analysis", "commentary", "assistant", "functools"))))
def test_plain_words_are_unchanged(text: str) -> None:
    found = read_markup(text, TOOLS)
    assert (found.words, found.thought, found.calls, found.problem) == (text, "", (), "")


values = st.recursive(
    st.none() | st.booleans() | st.integers(-(10**9), 10**9) | plain,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(plain, inner, max_size=3),
    max_leaves=6,
)
WRITERS = {
    "hermes": lambda body, named: f"<tool_call>\n{named}\n</tool_call>",
    "mistral": lambda body, named: f"[TOOL_CALLS]now[ARGS]{body}",
    "mistral list": lambda body, named: f"[TOOL_CALLS][{named}]",
    "llama": lambda body, named: f"<|python_tag|>{named}<|eom_id|>",
    "deepseek": lambda body, named: f"{wide('tool call begin')}now{wide('tool sep')}{body}{wide('tool call end')}",
    "kimi": lambda body, named: (
        f"<|tool_call_begin|>functions.now:1<|tool_call_argument_begin|>{body}<|tool_call_end|>"
    ),
    "granite": lambda body, named: f"<|tool_call|>[{named}]",
    "phi": lambda body, named: f"functools[{named}]",
    "harmony": lambda body, named: f"<|channel|>commentary to=functions.now <|constrain|>json<|message|>{body}<|call|>",
    "function": lambda body, named: f"<function=now>{body}</function>",
}


@pytest.mark.parametrize("writer", WRITERS)
@settings(max_examples=60)
@given(st.dictionaries(plain.filter(bool), values, max_size=3))
def test_round_trip_of_arguments(writer: str, arguments: dict[str, Any]) -> None:
    body = json.dumps(arguments, ensure_ascii=False)
    text = WRITERS[writer](body, json.dumps({"name": "now", "arguments": arguments}, ensure_ascii=False))
    assert read_markup(text, TOOLS).calls == (NamedCall("now", arguments),)


texts = st.dictionaries(
    st.text("abcdefgh_", min_size=1), plain.map(str.strip).filter(lambda text: text[:1] not in ("{", "[")), max_size=3
)


@settings(max_examples=60)
@given(texts)
def test_round_trip_of_text_parameters(arguments: dict[str, str]) -> None:
    parameters = "".join(f"<parameter={key}>\n{value}\n</parameter>\n" for key, value in arguments.items())
    assert read_markup(f"<function=now>\n{parameters}</function>", TOOLS).calls == (NamedCall("now", arguments),)
    pairs = "".join(f"<arg_key>{key}</arg_key>\n<arg_value>{value}</arg_value>\n" for key, value in arguments.items())
    assert read_markup(f"<tool_call>now\n{pairs}</tool_call>", TOOLS).calls == (NamedCall("now", arguments),)


@pytest.mark.parametrize(
    "piece",
    [
        *(
            "<think>",
            "</think>",
            "<tool_call>",
            "<function=a>",
            "<parameter=a>",
            "<arg_key></arg_key><arg_value></arg_value>",
        ),
        *(
            "[TOOL_CALLS]",
            "<|a",
            "<|<|a|>",
            "{",
            "[now(",
            "<|channel|>",
            "<|message|>",
            " ",
            "\n",
            "```",
            "<invoke name=a>",
        ),
        *("<a>", "<find_train>", "<|think|>", "<|end|><|begin|>", "\u273fFUNCTION\u273f:", "<escape>", ">>>all\n"),
        *("a=", "<tool_call>{", "<|im_end|>", "assistantfinal", "'", "<tool_call>now", "name{"),
    ],
)
def test_hostile_text_takes_no_time(piece: str) -> None:
    text = piece * (20_000 // len(piece))
    for whole in (
        text,
        f"<tool_call>now{text}",
        f"<tool_call>now{text}</tool_call>",
        f"analysis{text}",
        f"now{text}}}",
        f"<invoke name='now'>{text}</invoke>",
        f"<|begin|>\u273fRESULT\u273f<|recipient|><start_function_call>Here is my thought process:{text}",
    ):
        started = time.process_time()
        read_markup(whole, TOOLS)
        assert time.process_time() - started < 3.0, whole[:60]
