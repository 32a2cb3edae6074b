"""Values that a tool's parameters can take, as far as the visible state shows them."""

import re
from dataclasses import dataclass
from typing import Any

from fama.helpers.facts import EMAIL, data_of, ids_in, leaves, normal
from fama.helpers.history import Call, calls, user_text, user_turns
from fama.helpers.reading import ToolView
from fama.helpers.words import stem, words
from fama.state import VisibleState

_ID_ENDINGS = ("id", "number", "no", "code", "key", "ref", "reference")


@dataclass(frozen=True)
class Found:
    """A value of a parameter and who gave it: the user, or a tool's result."""

    value: str
    by_user: bool


def is_id(parameter: str) -> bool:
    """Whether a parameter names one object: its last word is ``id`` or the like."""
    parts = words(parameter)
    return bool(parts) and parts[-1] in _ID_ENDINGS


def shape(value: str) -> str:
    """The form of an id: letters as ``a``, digits as ``9``, runs of both shortened, signs kept."""
    return re.sub(r"9+", "9", re.sub(r"a+", "a", re.sub(r"[^\W\d_]", "a", re.sub(r"\d", "9", value))))


def of_tools(parameter: str, made: tuple[Call, ...]) -> list[str]:
    """Values of a parameter in tool results, latest result first.

    A field of the same name counts, the ``id`` field or the bare strings of a list named after the
    object (``things`` for ``thing_id``), and the plain text of a tool named after the parameter.
    """
    parts = words(parameter)
    base = stem(parts[-2]) if is_id(parameter) and len(parts) > 1 else ""
    values: list[str] = []
    for call in reversed(made):
        if call.failed:
            continue
        if call.data is None:
            plain = (call.result or "").strip()
            if parameter in call.name and plain and " " not in plain:
                values.append(plain)
            continue
        values += [str(value) for key, value in leaves(call.data) if value is not None and _names(key, parameter)]
        if base:
            values += _under(call.data, base)
    return list(dict.fromkeys(values))


def _names(key: str, parameter: str) -> bool:
    return key.lower() == parameter.lower()


def _under(value: Any, base: str, depth: int = 0) -> list[str]:
    found: list[str] = []
    if depth > 8:
        return found
    if isinstance(value, dict):
        for key, inner in value.items():
            parts = words(str(key))
            if parts and stem(parts[-1]) == base:
                for item in inner if isinstance(inner, list) else [inner]:
                    if isinstance(item, str) and ids_in(item) == [item]:
                        found.append(item)
                    elif isinstance(item, dict) and isinstance(item.get("id"), str):
                        found.append(item["id"])
            found += _under(inner, base, depth + 1)
    elif isinstance(value, list):
        for inner in value:
            found += _under(inner, base, depth + 1)
    return found


def of_user(parameter: str, tool: ToolView, state: VisibleState) -> list[str]:
    """Values of a parameter in the user's words, latest first, as far as its schema tells their form."""
    text = "\n".join(said for _, said in reversed(user_turns(state)))
    schema = dict(tool.schema).get(parameter, "")
    if "mail" in parameter.lower():
        return list(dict.fromkeys(EMAIL.findall(text)))
    if is_id(parameter):
        examples = {shape(example) for example in ids_in(schema)}
        examples |= {shape(value) for value in of_tools(parameter, calls(state))}
        said = ids_in(text)
        own = [value for value in said if _named_before(value, parameter, text)]
        return own or [value for value in said if shape(value) in examples]
    return []


def _named_before(value: str, parameter: str, text: str) -> bool:
    """Whether the words just before a value name the parameter's object: ``thing 12`` for ``thing_id``."""
    roots = {stem(word) for word in words(parameter) if word not in _ID_ENDINGS} or {stem(parameter)}
    before = words(text[: text.find(value)])[-4:]
    return bool(roots & {stem(word) for word in before})


def known_values(parameter: str, tool: ToolView, state: VisibleState) -> list[Found]:
    """What a parameter can be filled with: the user's values first, then those of tool results."""
    said = [Found(value, True) for value in of_user(parameter, tool, state)]
    have = {normal(found.value) for found in said}
    return said + [Found(value, False) for value in of_tools(parameter, calls(state)) if normal(value) not in have]


def was_called(tool: ToolView, parameter: str, value: str, made: tuple[Call, ...]) -> bool:
    """Whether a tool was called with a value, with whatever result."""
    return any(
        call.name == tool.name and normal(str(call.arguments.get(parameter, ""))) == normal(value) for call in made
    )


def mentioned(value: str, state: VisibleState) -> bool:
    """Whether the user wrote a value."""
    return normal(value) in {normal(token) for token in ids_in(user_text(state))}


def record_of(call: Call) -> dict[str, Any]:
    """The one record that a call returned, empty when it returned a list, an error or text."""
    data = data_of(call.result)
    return data if isinstance(data, dict) and not call.failed else {}
