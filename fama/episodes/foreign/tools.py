"""Tool definitions and reference actions of foreign records."""

import json
from typing import Any

from fama.episodes.foreign.calls import arguments_text
from fama.episodes.foreign.fields import from_text, listed, mapping, name_of, shown
from fama.episodes.records import ROLE_KEY, GoldAction, ToolSpec
from fama.errors import BadInput

_SCHEMAS = ("parameters", "input_schema", "inputSchema", "args_schema")


def tools_of(value: Any) -> tuple[ToolSpec, ...]:
    """Return tools from definitions of OpenAI or Anthropic, wrapped or bare, as objects or JSON text.

    Raises:
        BadInput: a definition has no name.
    """
    value = from_text(value)
    if isinstance(value, dict):  # by name, or one alone
        alone = "name" in value or "function" in value
        value = [value] if alone else [{"name": name, **mapping(tool, name)} for name, tool in value.items()]
    found = []
    for entry in listed(value, "tools"):
        tool = from_text(entry)
        inner = from_text(tool.get("function", tool)) if isinstance(tool, dict) else tool
        name = name_of(inner.get("name")) if isinstance(inner, dict) else None
        if name is None:
            raise BadInput(f"a tool is {shown(entry)}, without a name; is this the right format?")
        schema = next((inner[key] for key in _SCHEMAS if inner.get(key)), None)
        parameters = json.dumps(_with_role(mapping(schema, "parameters"), inner, tool), ensure_ascii=False)
        found.append(ToolSpec(name=name, description=str(inner.get("description") or ""), parameters=parameters))
    return tuple(found)


def _with_role(schema: dict[str, Any], *holders: dict[str, Any]) -> dict[str, Any]:
    """Return the schema with the role that a definition states beside it."""
    stated = next((holder[ROLE_KEY] for holder in holders if ROLE_KEY in holder), None)
    return schema if stated is None or ROLE_KEY in schema else {**schema, ROLE_KEY: stated}


def gold_of(actions: Any) -> tuple[GoldAction, ...]:
    """Return reference actions with arguments under ``kwargs`` or ``arguments``, as an object or text.

    Raises:
        BadInput: an action has no name.
    """
    found = []
    for entry in listed(actions, "actions"):
        action = from_text(entry)
        name = name_of(action.get("name")) if isinstance(action, dict) else None
        if name is None:
            raise BadInput(f"a reference action is {shown(entry)}, without a name; is this the right format?")
        arguments = action.get("kwargs", action.get("arguments"))
        found.append(GoldAction(name=name, arguments=arguments_text(arguments)))
    return tuple(found)
