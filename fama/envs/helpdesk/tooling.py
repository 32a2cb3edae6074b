"""Small things that the tools of both domains share."""

import json
from collections.abc import Callable, Mapping
from typing import Any

from fama.envs.helpdesk.task_records import Db, Tool, ToolError
from fama.episodes.records import ToolSpec


def make_tool(
    name: str,
    description: str,
    run: Callable[[Db, Mapping[str, Any]], Mapping[str, Any]],
    changes: bool = False,
    **arguments: str | tuple[str, ...],
) -> Tool:
    """Return a tool whose arguments are all required: ``"string"``, ``"integer"`` or a tuple of allowed words."""
    properties: dict[str, Any] = {
        key: {"type": kind} if isinstance(kind, str) else {"type": "string", "enum": list(kind)}
        for key, kind in arguments.items()
    }
    schema = {"type": "object", "properties": properties, "required": list(properties), "additionalProperties": False}
    spec = ToolSpec(name=name, description=description, parameters=json.dumps(schema))
    return Tool(spec, {key: properties[key]["type"] for key in properties}, run, changes)


def one_of(value: str, allowed: tuple[str, ...], name: str) -> str:
    """Return the allowed word that a value is.

    Raises:
        ToolError: it is none of them.
    """
    word = value.casefold().replace(" ", "_").replace("-", "_")
    if word not in allowed:
        raise ToolError(f"{name} must be one of: {', '.join(allowed)}")
    return word


def lookup(rows: Mapping[str, Any], key: str, what: str) -> Any:
    """Return the row of an id, written in any case.

    Raises:
        ToolError: there is none.
    """
    row = rows.get(key.upper().lstrip("#"))
    if row is None:
        raise ToolError(f"no {what} {key}")
    return row


def close_case(db: Db, args: Mapping[str, Any]) -> Mapping[str, Any]:
    """Accept one of the two outcomes; the engine ends the episode."""
    return {"closed": one_of(args["outcome"], ("resolved", "refused"), "outcome")}
