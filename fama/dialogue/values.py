"""Values that a tool's parameters can take, as far as the visible state shows them."""

import re
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

from fama.dialogue.calls import Call, calls
from fama.dialogue.facts import EMAIL, ids_in, leaves, normal_token
from fama.dialogue.language import STOP, name_words, stem, words, words_at_end
from fama.dialogue.tools import ToolView, views
from fama.dialogue.turns import user_text, user_turns
from fama.episodes.state import VisibleState

#: A number in the user's words that is no part of an id, an address or a date.
NUMBER = re.compile(r"(?<![\w@.#-])\d{1,6}(?:\.\d+)?(?![\w@#-])")
_POSTCODE = 5
_ID_ENDINGS = ("id", "number", "no", "code", "key", "ref", "reference")


@dataclass(frozen=True)
class Found:
    """A value of a parameter and who gave it: the user, or a tool's result."""

    value: str
    by_user: bool


@lru_cache(maxsize=4_000)
def is_id(parameter: str) -> bool:
    """Return whether a parameter names one object: its last word is ``id`` or the like."""
    parts = name_words(parameter)
    return bool(parts) and parts[-1] in _ID_ENDINGS


def is_new(parameter: str) -> bool:
    """Return whether a parameter asks for another object than the present one (``new_thing_id``)."""
    return bool({"new", "target", "to"} & set(name_words(parameter)[:1]))


def thing_of(parameter: str) -> str:
    """Return what a parameter is called to the user: ``user`` for ``user_id``."""
    named = name_words(parameter)
    return " ".join(named[:-1] if len(named) > 1 and is_id(parameter) else named)


def roots_of(parameter: str) -> frozenset[str]:
    """Return stems of a parameter's own words: no ``id``, no stop words; all words when nothing else is left."""
    own = frozenset(stem(word) for word in name_words(parameter) if word not in _ID_ENDINGS and word not in STOP)
    return own or frozenset(stem(word) for word in name_words(parameter))


def shape(value: str) -> str:
    """Return the form of an id: letters as ``a``, runs as one, each digit as ``9``, without a leading ``#``."""
    return re.sub(r"a+", "a", re.sub(r"[^\W\d_]", "a", re.sub(r"\d", "9", value.lstrip("#"))))


def of_tools(parameter: str, made: tuple[Call, ...]) -> list[str]:
    """Return values of a parameter in tool results, latest result first.

    A field of the same name counts, the ``id`` field or the bare strings of a list named after the
    object (``things`` for ``thing_id``), and the plain text of a tool named after the parameter.
    """
    parts = name_words(parameter)
    base = stem(parts[-2]) if is_id(parameter) and len(parts) > 1 else ""
    values: list[str] = []
    for call in reversed(made):
        if not call.succeeded:
            continue
        if call.data is None:
            plain = (call.result or "").strip()
            if parameter in call.name and plain and " " not in plain:
                values.append(plain)
            continue
        values += [str(value) for _, key, value in call.leaves if value is not None and key == parameter]
        if base and not is_new(parameter):
            values += _under(call.data, base)
    return list(dict.fromkeys(values))


def _under(value: Any, base: str, depth: int = 0) -> list[str]:
    found: list[str] = []
    if depth > 8:
        return found
    if isinstance(value, dict):
        for key, inner in value.items():
            parts = name_words(str(key))
            if parts and stem(parts[-1]) == base:
                for item in inner if isinstance(inner, list) else [inner]:
                    if isinstance(item, str) and ids_in(item) == (item,):
                        found.append(item)
                    elif isinstance(item, dict) and isinstance(item.get("id"), str):
                        found.append(item["id"])
            found += _under(inner, base, depth + 1)
    elif isinstance(value, list):
        for inner in value:
            found += _under(inner, base, depth + 1)
    return found


def of_user(parameter: str, tool: ToolView, state: VisibleState) -> list[str]:
    """Return values of a parameter in the user's words, latest first, as far as names and forms tell.

    An id that the tools know under another name is none of this parameter's. One of a form that neither tools nor the
    schema show counts where the user names the parameter's object right before it. Where only the agent named it, the
    value has to be made of the signs of the ids that are shown. A number that a call gave as something else is none.
    Numbers of up to four digits are not looked at so.
    """
    text = "\n".join(said for _, said in reversed(user_turns(state)))
    if "mail" in parameter.lower():
        return list(dict.fromkeys(EMAIL.findall(text)))
    if not is_id(parameter) or is_new(parameter):
        return []
    made = calls(state)
    own = of_tools(parameter, made)
    mine = {normal_token(value) for value in own}
    given = {normal_token(str(value)) for call in made for _, key, value in leaves(call.arguments) if key != parameter}
    other = {
        normal_token(str(value))
        for call in made
        for _, key, value in (*call.leaves, *leaves(call.arguments))
        if key != parameter and is_id(key)
    }
    known = (*ids_in(dict(tool.schema).get(parameter, "")), *own)
    forms, signs = {shape(value) for value in known}, {_signs(value) for value in known}
    foreign = {
        shape(value)
        for seen in views(state)
        for name, schema in seen.schema
        if name != parameter and is_id(name)
        for value in ids_in(schema)
    } - forms
    found = []
    for value in ids_in(text):
        token = normal_token(value)
        if token in mine:
            found.append(value)
        elif token in other or shape(value) in foreign:
            continue
        elif shape(value) in forms or (
            not (token in given and token.isdigit() and not _is_short(token))
            and (
                _named_before(value, parameter, text)
                or ((_is_short(token) or not signs or _signs(value) in signs) and _asked_for(value, parameter, state))
            )
        ):
            found.append(value)
    return found


def _is_short(token: str) -> bool:
    """Return whether a value is a number shorter than postcodes are: nothing of its form is looked at."""
    return token.isdigit() and len(token) < _POSTCODE


def _signs(value: str) -> str | frozenset[str]:
    """Return the shape of a number, or the kinds of signs of a code: its letters and digits may be mixed in any way."""
    return shape(value) if value.lstrip("#").isdigit() else frozenset(shape(value))


def _named_before(value: str, parameter: str, text: str) -> bool:
    """Return whether the words just before a value name the parameter's object: ``thing 12`` for ``thing_id``."""
    before = words_at_end(text[: text.find(value)], 4)
    return bool(roots_of(parameter) & {stem(word) for word in before})


def _asked_for(value: str, parameter: str, state: VisibleState) -> bool:
    """Return whether the user gave a value in answer to words of the agent that name the parameter's object."""
    for index, text in user_turns(state):
        if index and value in text and state.messages[index - 1].role == "assistant":
            if roots_of(parameter) & {stem(word) for word in words(state.messages[index - 1].content or "")}:
                return True
    return False


def known_values(parameter: str, tool: ToolView, state: VisibleState) -> list[Found]:
    """Return what a parameter can be filled with: the user's values first, then those of tool results."""
    said = [Found(value, True) for value in of_user(parameter, tool, state)]
    have = {normal_token(found.value) for found in said}
    return said + [
        Found(value, False) for value in of_tools(parameter, calls(state)) if normal_token(value) not in have
    ]


def is_known(parameter: str, tool: ToolView, state: VisibleState) -> bool:
    """Return whether the agent can fill a parameter: an id or address in sight, other things the user spoke of.

    Spoken of means that the user named it, or answered when the agent asked for it.
    """
    if known_values(parameter, tool, state):
        return True
    if is_id(parameter) or "mail" in parameter.lower():
        return False
    roots = roots_of(parameter)
    for index, text in user_turns(state):
        before = state.messages[index - 1] if index else None
        asked = before.content if before is not None and before.role == "assistant" else ""
        answers = bool(asked) and any(sign.isdigit() or sign == "@" for sign in text)
        if roots & {stem(word) for word in words(text)}:
            return True
        if answers and roots & {stem(word) for word in words(asked or "")}:
            return True
    return False


def was_called(tool: ToolView, parameter: str, value: str, made: tuple[Call, ...]) -> bool:
    """Return whether a tool was called with a value, with whatever result but a busy one."""
    given = (str(call.arguments.get(parameter, "")) for call in made if call.name == tool.name and not call.busy)
    return any(normal_token(text) == normal_token(value) for text in given)


def mentioned(value: str, state: VisibleState) -> bool:
    """Return whether the user wrote a value."""
    return normal_token(value) in {normal_token(token) for token in ids_in(user_text(state))}


def record_of(call: Call) -> dict[str, Any]:
    """Return the scalar fields of the one record that a call returned, dicts inside it included, lists not."""
    if not call.succeeded or not isinstance(call.data, dict):
        return {}
    return _scalars(call.data, 0)


def _scalars(value: dict[str, Any], depth: int) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for key, inner in value.items():
        if isinstance(inner, dict) and depth < 3:
            found = {**_scalars(inner, depth + 1), **found}
        elif not isinstance(inner, dict | list):
            found[str(key)] = inner
    return found
