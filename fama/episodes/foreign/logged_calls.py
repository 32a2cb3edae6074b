"""Tool calls of foreign messages: wrapped or bare, arguments as an object, JSON text or a Python literal."""

import ast
import json
import warnings
from collections import Counter
from typing import Any, NamedTuple

from fama.episodes.foreign.fields import absent, cite, from_text, name_of
from fama.errors import BadInput
from fama.text.clean import clean_value
from fama.text.json_numbers import load_finite, load_nulled

UNREADABLE_ARGUMENTS = "calls with unreadable arguments"
ARGUMENTS = ("arguments", "args", "parameters", "input", "kwargs", "tool_kwargs")
#: Ids of a call, first the one that its result names: OpenAI's Responses give each item an ``id`` of its own, too.
_IDS = ("call_id", "tool_call_id", "toolCallId", "toolUseId", "id")
_NAMES = ("name", "toolName", "tool_name")
#: Arguments that say nothing, without their white space.
_NOTHING = frozenset({"", "{}", "[]", "null"})
_LONGEST_LITERAL = 200_000


class ForeignCall(NamedTuple):
    """A call as the log has it; ``id`` is None where it gives none. ``arguments`` is text."""

    id: str | None
    name: str
    arguments: str


def calls_in(value: Any, omitted: Counter[str]) -> list[ForeignCall]:
    """Return the calls of a message's field: a list, one object, or JSON text of either.

    Raises:
        BadInput: an entry is no call.
    """
    return [call_of(entry, omitted) for entry in entries_in(value)]


def entries_in(value: Any) -> list[Any]:
    """Return the entries of a field of calls; what stands for no call is left out.

    That is an empty value, a truth value, and an object that has neither a name nor arguments.
    """
    value = from_text(value)
    entries = [from_text(entry) for entry in (value if isinstance(value, list) else [value])]
    return [entry for entry in entries if not _is_none(entry)]


def _is_none(entry: Any) -> bool:
    if not isinstance(entry, dict):
        return isinstance(entry, bool) or not entry or absent(entry)
    name, given = name_and_arguments(entry)
    return name is None and (given is None or says_nothing(arguments_text(given)))


def says_nothing(arguments: str) -> bool:
    """Return whether the text of arguments holds none."""
    return "".join(arguments.split()) in _NOTHING


def call_of(entry: Any, omitted: Counter[str]) -> ForeignCall:
    """Return one call, wrapped in ``function`` or ``custom``, or bare.

    Raises:
        BadInput: it has no name.
    """
    name, given = name_and_arguments(entry) if isinstance(entry, dict) else (None, None)
    if name is None:
        raise BadInput(f"a tool call is {cite(entry)}, without a name; is this the right format?")
    call_id = next((found for field in _IDS if (found := name_of(entry.get(field)))), None)
    return ForeignCall(call_id, name, arguments_text(given, omitted))


def name_and_arguments(entry: dict[str, Any]) -> tuple[str | None, Any]:
    """Return the name of a call, and its arguments as they were given; None for what it does not have."""
    inner = from_text(entry.get("function") or entry.get("custom"))
    holder = inner if isinstance(inner, dict) else entry
    name = next((found for key in _NAMES if (found := name_of(holder.get(key))) is not None), None)
    if name is None and isinstance(inner, str):
        name = name_of(inner)
    return name, next((holder[key] for key in ARGUMENTS if holder.get(key) is not None), None)


def called_in(part: dict[str, Any], inner: dict[str, Any], omitted: Counter[str]) -> ForeignCall:
    """Return the call of a part whose name and arguments stand in ``inner``, the part itself or a field of it.

    Raises:
        BadInput: it has no name.
    """
    outer = {key: part.get(key) for key in (*_IDS, "toolName")}
    return call_of({**outer, **{key: value for key, value in inner.items() if value is not None}}, omitted)


def arguments_text(value: Any, omitted: Counter[str] | None = None) -> str:
    """Return arguments as JSON text: an object as it is, a text by JSON, else as a Python literal.

    NaN and infinite numbers are null, as in whole records. What is neither stays as it was written, and is counted.
    """
    if value is None:
        return "{}"
    if isinstance(value, str):
        if not value.strip():
            return value
        found = _object(value)
        if found is None and omitted is not None:
            omitted[UNREADABLE_ARGUMENTS] += 1
        return value if found is None else found
    if not isinstance(value, dict) and omitted is not None:
        omitted[UNREADABLE_ARGUMENTS] += 1
    return json.dumps(clean_value(value), ensure_ascii=False)


def _object(text: str, again: bool = True) -> str | None:
    """Return the JSON text of the object that a text holds, the text itself where it is that; None if it holds none."""
    try:
        value = load_finite(text, keys_once=False)  # as logged, whatever it says twice
    except (ValueError, RecursionError):
        value = _nulled(text)
        return json.dumps(value, ensure_ascii=False) if isinstance(value, dict) else None
    if isinstance(value, str) and again:
        return _object(value, again=False)
    return text if isinstance(value, dict) else None


def _nulled(text: str) -> Any:
    """Return what a text holds by JSON with NaN and Infinity as null, else as a Python literal."""
    try:
        return load_nulled(text)
    except (ValueError, RecursionError):
        return clean_value(literal(text))


def literal(text: str) -> Any:
    """Return the Python literal that a text is, if JSON can hold it; None for anything else. No code is run."""
    if len(text) > _LONGEST_LITERAL:
        return None
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            value = ast.literal_eval(text.strip())
        return json.loads(json.dumps(value))
    except (ValueError, TypeError, SyntaxError, RecursionError, MemoryError):
        return None
