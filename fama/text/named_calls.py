"""A tool call with its name and arguments: from a JSON object, and the name as the tools have it."""

import re
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from typing import Any

from fama.text.json_numbers import load_finite
from fama.text.json_objects import first_object

#: Parameter schemas by tool name; an empty schema is unknown.
Tools = Mapping[str, Mapping[str, Any]]

_NAME_KEYS = ("tool", "name", "function", "tool_name", "action")
_ARGUMENT_KEYS = (
    *("arguments", "args", "parameters", "params", "input", "action_input"),
    *("tool_input", "tool_args", "tool_arguments", "tool_parameters", "kwargs"),
)
_ENVELOPE_KEYS = frozenset({"id", "type", "thought"})
_NAMESPACE = re.compile(r"^(?:functions?|tools?|default_api|api)[./:]")
_NUMBER = re.compile(r":\d+$")
_PLAIN = re.compile(r"[\w./:@ -]{1,200}")


@dataclass(frozen=True)
class NamedCall:
    """A call as it was written. ``arguments`` is an object where it could be read as one."""

    name: str
    arguments: Any


def tool_name(name: str, known: Collection[str]) -> str | None:
    """Return the tool that a written name means; None where it is no name.

    Control tokens after a name are cut off. A name space before it (``functions.``) and a number behind it (``:0``)
    go only if that makes the name known, or nothing is known. A plainly written name of no tool stays: the environment
    answers it with an error, which the agent and the diagnosis see.
    """
    name = re.split(r"<\||<\uff5c", name, maxsplit=1)[0].strip()
    if name in known:
        return name
    bare = _NUMBER.sub("", _NAMESPACE.sub("", name))
    if bare in known or (not known and bare):
        name = bare
    return name if name in known or _PLAIN.fullmatch(name) else None


def named_call(value: Any, known: Collection[str]) -> NamedCall | None:
    """Return the call that a JSON object describes, whatever its keys are called; None if it describes none."""
    if not isinstance(value, dict):
        return None
    inner = value.get("function")
    if isinstance(inner, dict):
        return named_call(inner, known)
    key = next((key for key in _NAME_KEYS if isinstance(value.get(key), str)), None)
    if key is None:
        return None
    name = value[key].strip()
    holder = next((key for key in _ARGUMENT_KEYS if key in value), None)
    if not name or (holder is None and key not in ("tool", "tool_name") and name not in known):
        return None
    arguments: Any = (
        value[holder] if holder else {k: v for k, v in value.items() if k != key and k not in _ENVELOPE_KEYS}
    )
    if isinstance(arguments, str):
        arguments = arguments_of(arguments)
    return NamedCall(name, {} if arguments is None or arguments == [] else arguments)


def arguments_of(text: str) -> Any:
    """Return the object in the text of arguments, also where it is JSON text once more; else the text."""
    found = first_object(text.strip() or "{}")
    if found is None or text.lstrip().startswith('"'):
        try:
            again = load_finite(text)
        except (ValueError, RecursionError):
            return text if found is None else found
        return first_object(again) or text if isinstance(again, str) else text
    return found


def typed(values: Mapping[str, str], schema: Mapping[str, Any]) -> dict[str, Any]:
    """Return the arguments that a markup holds as text, in the types of the tool's schema.

    Text stays text where the schema says so or says nothing, except objects and lists without a schema.
    """
    properties = schema.get("properties")
    return {
        key: _typed(value, properties.get(key) if isinstance(properties, Mapping) else None)
        for key, value in values.items()
    }


def _typed(value: str, schema: Any) -> Any:
    kind = schema.get("type") if isinstance(schema, Mapping) else None
    kinds = kind if isinstance(kind, list) else [kind]
    if "string" in kinds or (kind is None and not value.lstrip().startswith(("{", "["))):
        return value
    try:
        return load_finite({"True": "true", "False": "false", "None": "null"}.get(value.strip(), value))
    except (ValueError, RecursionError):
        return value
