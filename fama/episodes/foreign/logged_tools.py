"""Tool definitions and reference actions of foreign records."""

import json
from collections import Counter
from typing import Any, get_args

from fama.episodes.foreign.fields import cite, from_text, listed, mapping, name_of
from fama.episodes.foreign.logged_calls import ARGUMENTS, arguments_text
from fama.episodes.records import ROLE_KEY, GoldAction, ToolRole, ToolSpec
from fama.errors import BadInput

PROVIDED_TOOLS = "tools of the provider"
_SCHEMAS = ("parameters", "input_schema", "inputSchema", "args_schema")


def tools_of(value: Any) -> tuple[ToolSpec, ...]:
    """Return tools from definitions of OpenAI or Anthropic, wrapped or bare, as objects or JSON text.

    Raises:
        BadInput: a definition has no name, or states a role that is none.
    """
    value = from_text(value)
    if isinstance(value, dict):  # by name, or one alone
        alone = "name" in value or "function" in value
        value = [value] if alone else [{"name": name, **mapping(tool, name)} for name, tool in value.items()]
    found = []
    for entry in listed(value, "tools"):
        tool = from_text(entry)
        inner = from_text(tool.get("function") or tool) if isinstance(tool, dict) else tool
        name = name_of(inner.get("name")) if isinstance(inner, dict) else None
        if name is None:
            raise BadInput(f"a tool is {cite(entry)}, without a name; is this the right format?")
        schema = next((inner[key] for key in _SCHEMAS if inner.get(key)), None)
        parameters = json.dumps(_with_role(mapping(schema, "parameters"), inner, tool), ensure_ascii=False)
        found.append(ToolSpec(name=name, description=str(inner.get("description") or ""), parameters=parameters))
    return tuple(found)


def functions_of(value: Any, omitted: Counter[str] | None = None) -> tuple[ToolSpec, ...]:
    """Return the functions among a chat request's tools; custom tools and a server's own, such as search, are left out.

    These are counted in ``omitted``.

    Raises:
        BadInput: a function has no name, or states a role that is none.
    """
    value = from_text(value)
    if not isinstance(value, list):
        return tools_of(value)
    own = [entry for entry in value if not _is_other(entry)]
    if omitted is not None:
        omitted[PROVIDED_TOOLS] += len(value) - len(own)
    return tools_of(own)


def _is_other(entry: Any) -> bool:
    if not isinstance(entry, dict) or "function" in entry or name_of(entry.get("name")) is not None:
        return False
    return isinstance(entry.get("type"), str) and entry["type"] != "function"


def _with_role(schema: dict[str, Any], *holders: dict[str, Any]) -> dict[str, Any]:
    """Return the schema with the role that a definition states beside it.

    Raises:
        BadInput: what it states is no role.
    """
    stated = next((holder[ROLE_KEY] for holder in (schema, *holders) if holder.get(ROLE_KEY) is not None), None)
    if stated is None:
        return schema
    if stated not in get_args(ToolRole):
        known = ", ".join(get_args(ToolRole))
        raise BadInput(f"tool {holders[0].get('name')}: {ROLE_KEY} is {cite(stated)}, not one of {known}")
    return {**schema, ROLE_KEY: stated}


def gold_of(actions: Any) -> tuple[GoldAction, ...]:
    """Return reference actions with arguments under ``kwargs`` or a name that calls have, as an object or text.

    Raises:
        BadInput: an action has no name.
    """
    found = []
    for entry in listed(actions, "actions"):
        action = from_text(entry)
        name = name_of(action.get("name")) if isinstance(action, dict) else None
        if name is None:
            raise BadInput(f"a reference action is {cite(entry)}, without a name; is this the right format?")
        arguments = (action[key] for key in ("kwargs", *ARGUMENTS) if action.get(key) is not None)
        found.append(GoldAction(name=name, arguments=arguments_text(next(arguments, None))))
    return tuple(found)
